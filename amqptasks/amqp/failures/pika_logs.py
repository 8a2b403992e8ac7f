"""pika's log records about our own connections, out of the way of the people who read a program's log.

pika warns about every channel that a broker closes and every connection that cannot be had, in several lines and with
tracebacks. Most of these are answers that we asked for (is this queue there?), the rest becomes an exception or a line
of ours. They stay to be had: logger `amqptasks.pika`, level debug. Other uses of pika in the process are left alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from amqptasks.runtime.log_queue import get_logger

#: The loggers through which pika speaks; a filter on a logger does not see what its children log.
SPEAKERS = (
    "pika.channel",
    "pika.connection",
    "pika.heartbeat",
    "pika.adapters.base_connection",
    "pika.adapters.blocking_connection",
    "pika.adapters.select_connection",
    "pika.adapters.utils.connection_workflow",
    "pika.adapters.utils.io_services_utils",
    "pika.adapters.utils.selector_ioloop_adapter",
)

logger = get_logger("amqptasks.pika")

_mine = threading.local()


@contextmanager
def quietly() -> Iterator[None]:
    """What pika logs in this thread within the block goes to our own logger instead."""
    before = getattr(_mine, "quiet", False)
    _mine.quiet = True
    try:
        yield
    finally:
        _mine.quiet = before


def _demote(record: logging.LogRecord) -> bool:
    if not getattr(_mine, "quiet", False):
        return True
    logger.debug("%s", record.getMessage())
    return False


for _name in SPEAKERS:
    logging.getLogger(_name).addFilter(_demote)
