"""Waiting in the main thread, which is where the handlers of signals run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from amqptasks.runtime.clock import monotonic

#: Seconds of one wait. A signal that comes between Python's last look and the wait itself interrupts nothing: its
#: handler runs when the wait is over, which may be a minute later on a busy machine if it is a long one.
ONE_WAIT = 0.2


def awaited(event: threading.Event, timeout: float, in_vain: Callable[[], bool] = lambda: False) -> bool:
    """As `event.wait(timeout)`, in seconds, in short waits. It also ends when `in_vain()` is true."""
    deadline = monotonic() + timeout
    while not event.wait(max(0.0, min(ONE_WAIT, deadline - monotonic()))):
        if monotonic() >= deadline or in_vain():
            return event.is_set()
    return True
