"""Logging that nobody waits for: records pass through bounded queues to threads that format, handle and write them.

The thread that owns the connections logs too. A log handler may send a mail, publish a message, raise, or write to a
terminal that nobody reads. So the handlers never run on that thread: its records go through `loggers.HANDLERS`, and
the lines that this library writes itself go through the queue of a `QueuedWriter`. A queue that is full drops records
and counts them.
"""

from amqptasks.runtime.log_queue.loggers import (
    QueuedLogger,
    begin,
    dropped,
    end,
    flush,
    get_logger,
    never_wait,
    shutdown,
    waits_never,
)
from amqptasks.runtime.log_queue.writer import QueuedWriter

__all__ = [
    "QueuedLogger",
    "QueuedWriter",
    "begin",
    "dropped",
    "end",
    "flush",
    "get_logger",
    "never_wait",
    "shutdown",
    "waits_never",
]
