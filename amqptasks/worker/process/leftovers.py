"""A program that has done its work, and threads of its own that keep it from ending.

Python waits for every thread that is no daemon thread, and after that for every exit handler. A worker that has settled
everything, and a command that has said everything, do not wait for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import sys
import threading
from typing import NoReturn

from amqptasks.runtime import log_queue
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker.process.stacks import place_of

logger = get_logger(__name__)

#: Seconds for threads of the program to end by themselves, once everything else has.
WITHIN = 3.0

#: Seconds for exit handlers that run while such a thread does.
EXIT_WITHIN = 5.0


class _State:
    expected = False
    exiting = False


def expected() -> None:
    """The program ends from here on. Asked for again, it does nothing."""
    if not _State.expected:
        _State.expected = True
        atexit.register(_exits)  # the last that is registered is the first that is called


def watch(status: int) -> None:
    """End the process with this status in a while, unless it ends by itself. Does nothing where somebody watches."""
    if _State.expected or not _others():
        return
    expected()
    timer = threading.Timer(WITHIN, leave, (status,))
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # no thread can be started any more
        leave(status)


def leave(status: int) -> NoReturn:
    """Name what still runs, call the exit handlers where nobody has, and end."""
    others = _others()
    if others:
        logger.warning(
            "all is done, and the program ends though threads of its own still run: %s. Make them daemon threads, or"
            " end them when `worker_shutdown` is sent",
            ", ".join(map(place_of, others)),
            extra={"action": "threads_left"},
        )
    elif _State.exiting:
        logger.warning(
            "all is done, and the program ends though an exit handler still runs: %s",
            place_of(threading.main_thread()),
            extra={"action": "exit_handler_left"},
        )
    if not _State.exiting:
        with contextlib.suppress(RuntimeError, OSError, ValueError):
            faulthandler.dump_traceback_later(EXIT_WITHIN, exit=True)
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        log_queue.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _exits() -> None:
    _State.exiting = True


def _others() -> list[threading.Thread]:
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]
