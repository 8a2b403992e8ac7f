"""A log record before it is one: what the thread that logged knows, without the work that another thread can do."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

#: Bytes that every record takes with it, more or less.
SMALL = 1024


class QueuedRecord:
    """`place` is file, line and function of whoever logged it; `exc_text` the text of a traceback that was made
    before."""

    __slots__ = (
        "args",
        "context",
        "created",
        "exc_info",
        "exc_text",
        "extra",
        "level",
        "logger",
        "msg",
        "place",
        "thread",
    )

    def __init__(
        self,
        logger: logging.Logger,
        level: int,
        msg: object,
        args: Any,
        exc_info: Any,
        extra: Mapping[str, object] | None,
        place: tuple[str, int, str],
        exc_text: str | None,
    ) -> None:
        self.logger: Any = logger
        self.level = level
        self.msg = msg
        self.args = args
        self.exc_info = exc_info
        self.extra = extra
        self.place = place
        self.exc_text = exc_text
        self.created = time.time()
        self.thread = threading.current_thread()
        self.context = contextvars.copy_context()

    @property
    def size(self) -> int:
        """Bytes of its texts, where they are many; else 0."""
        size = len(self.msg) if isinstance(self.msg, str) else 0
        if self.exc_text is not None:
            size += len(self.exc_text)
        if type(self.args) is tuple:
            size += sum(len(one) for one in self.args if isinstance(one, str | bytes))
        return size if size > SMALL else 0

    def record(self) -> logging.LogRecord:
        """The record, as if it had been made when and where it was logged."""
        file, line, function = self.place
        logger = self.logger
        made: logging.LogRecord = logger.makeRecord(
            logger.name, self.level, file, line, self.msg, self.args, self.exc_info, function, self.extra
        )
        made.relativeCreated += (self.created - made.created) * 1000
        made.created = self.created
        made.msecs = (self.created - int(self.created)) * 1000
        made.thread, made.threadName = self.thread.ident, self.thread.name
        if self.exc_text is not None:
            made.exc_text = self.exc_text
        return made
