"""What a worker process does when it gets a signal, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from amqptasks import log_queue

if TYPE_CHECKING:
    from amqptasks.worker.node import Node


class _Wish:
    """Whether HUP asked for a new beginning. No `Event`: a handler that sets one can meet its lock held."""

    again = False


def obey_signals(node: Node) -> None:
    """TERM and INT stop it, a second one or QUIT at once, HUP stops it and begins anew."""
    asked = False

    def ask(*, cold: bool) -> None:
        nonlocal asked
        if not node.started:
            raise SystemExit(0)
        first, asked = not asked, True  # at once: the next signal may come in the midst of this
        if first:
            # In a thread: with `-P solo` a task has the main one. Before the stop: until a thread runs, Python 3.11
            # takes it for the one that starts it, and what is to interrupt the task would end this one instead.
            threading.Thread(target=_leave, args=(node,), name="amqptasks-leave", daemon=True).start()
        if cold or not first:
            node.stop_now()
        else:
            node.stop()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        _Wish.again = False
        ask(cold=False)

    def stop_now(_signum: int, _frame: FrameType | None) -> None:
        _Wish.again = False
        ask(cold=True)

    def begin_anew(_signum: int, _frame: FrameType | None) -> None:
        if node.started and not asked:
            _Wish.again = True
            ask(cold=False)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGQUIT, stop_now)
    signal.signal(signal.SIGHUP, begin_anew)


def run(node: Node) -> None:
    """Wait until it has stopped; from the main thread."""
    node.wait()
    if node.cold or _Wish.again:
        _end()


def _leave(node: Node) -> None:
    if node.leave():
        _end()


def _end() -> NoReturn:
    """At once: tasks may still be running in threads, and nobody waits for them. Or begin anew."""
    log_queue.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if _Wish.again:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    os._exit(0)
