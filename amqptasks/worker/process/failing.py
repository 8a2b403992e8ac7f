"""How the process of a worker ends that can go no further."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final, NoReturn

from amqptasks.runtime import log_queue
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

#: Exit status of a worker that stood still, or that lost the thread of its connections.
STANDSTILL: Final = 6

#: Seconds for the last line: whatever blocks the log must not keep the messages from others.
LAST_LINE = 2.0

#: Seconds for the log to write it, before it is written past the log.
FLUSHED_WITHIN = 1.0


def end_process(why: str) -> NoReturn:
    """At once, with the status `STANDSTILL` and a line: the broker has the messages back when the process ends. From
    any thread, whatever the others do."""
    try:
        saying = threading.Thread(target=_say, args=(why,), daemon=True)
        saying.start()
        saying.join(LAST_LINE)
    finally:
        os._exit(STANDSTILL)


def _say(why: str) -> None:
    try:
        logger.critical("the worker ends: %s", why, extra={"action": "worker_failed"})
        if not log_queue.flush(FLUSHED_WITHIN):
            os.write(2, f"amqptasks: the worker ends: {why}\n".encode(errors="replace"))
        log_queue.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # the log is gone, too: then the plain way
        os.write(2, f"amqptasks: the worker ends: {why}\n".encode(errors="replace"))
