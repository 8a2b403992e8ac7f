"""The handler of a process that is ours: a thread formats its lines and writes many of them at once."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TextIO

from amqptasks.runtime.log_queue.log_thread import LogThread
from amqptasks.runtime.log_queue.queued_record import SMALL, QueuedRecord

#: Seconds for which lines are gathered: some hundred lines of a busy worker become one write, and nobody who reads a
#: log notices.
GATHER = 0.01

#: Seconds between two tries to write to a terminal or pipe that takes nothing now.
FULL_FOR = 1.0


class QueuedWriter(logging.Handler):
    """Writes to `stream`: through its descriptor, where it has one, so that a task that closes `sys.stderr` stops no
    line. Before a worker begins (see `loggers.begin`), lines are written at once."""

    #: The one of this process.
    of_process: ClassVar[QueuedWriter | None] = None

    #: Whether lines go through the queue.
    queued: ClassVar[bool] = False

    def __init__(self, stream: TextIO | None, filters: Sequence[logging.Filter] = ()) -> None:
        super().__init__()
        self.stream = stream
        for one in filters:
            self.addFilter(one)
        self._filters = list(self.filters)
        self._descriptor = _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._thread = LogThread("amqptasks-log-writer", self._write, GATHER)
        self._unwritten = 0  # lines that the stream refused
        self._told = 0
        #: The record that it got last, from another than its own thread.
        self.last: logging.LogRecord | None = None
        QueuedWriter.of_process = self

    def createLock(self) -> None:
        """None: formatting runs the user's code, and no thread must wait for that of another."""
        self.lock = None

    @property
    def is_untouched(self) -> bool:
        """True while nobody has given it a level or another filter."""
        return self.level == logging.NOTSET and self.filters == self._filters

    @property
    def dropped(self) -> int:
        """Lines that were not written: there was no room for them, or the stream refused them."""
        return self._thread.dropped + self._unwritten

    def handle(self, record: logging.LogRecord) -> bool:
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Format it here, as its arguments may change, and have it written."""
        self.last = record
        try:
            line = self.format(record) + "\n"
        except Exception:  # as of every handler: `logging.raiseExceptions` says whether the user hears of it
            self.handleError(record)
            return
        self.put(line, len(line) if len(line) > SMALL else 0)

    def put(self, item: Any, size: int = 0) -> None:
        """Have something written: a text that ends with a line break, a `QueuedRecord`, or values that the formatter
        knows (see `line`)."""
        if self.queued:
            self._thread.put(item, size)
        else:
            self._write([item])

    @property
    def put_line(self) -> Callable[[tuple[Any, ...]], object]:
        """What `put` comes to, for values of the formatter's. To be asked for again every now and then."""
        return self._thread.put if self.queued else self.put

    def say(self, level: int, words: str) -> None:
        """A line of our own about logging."""
        self.put(self._said(level, words))

    def line(self, values: tuple[Any, ...]) -> str:
        """The text for values that are no record, for formatters with a method `line`."""
        made: str = self.formatter.line(values)  # type: ignore[union-attr]
        return made

    def wait(self, timeout: float) -> bool:
        """Wait until all is written; False where that takes longer than `timeout` seconds."""
        return self._thread.flush(timeout)

    def flush(self) -> None:
        """Nothing: `loggers.flush` waits, in a bounded time."""

    def close(self) -> None:
        if QueuedWriter.of_process is self:
            QueuedWriter.of_process = None
        super().close()

    def _write(self, items: Sequence[Any]) -> None:
        try:
            line: Callable[[Any], str] = self.formatter.line  # type: ignore[union-attr]
        except AttributeError:  # a formatter of the user's
            line = self._text
        lines = [line(item) if type(item) is tuple else self._text(item) for item in items]
        if self.dropped > self._told:
            dropped, self._told = self.dropped - self._told, self.dropped
            lines.insert(0, self._said(logging.WARNING, f"{dropped} log lines were dropped: nobody took them in time"))
        if not self._put_out("".join(lines)):
            self._unwritten += len(items)

    def _text(self, item: Any) -> str:
        try:
            if type(item) is str:
                return item
            if type(item) is tuple:
                return self.line(item)
            text: str = item.context.run(self._formatted, item)
        except Exception as error:  # of an argument's text: this line is lost, the others are not
            return self._said(logging.ERROR, f"a log record could not be formatted: {type(error).__name__}")
        return text

    def _formatted(self, queued: QueuedRecord) -> str:
        record = queued.record()
        return self.format(record) + "\n" if self.filter(record) else ""

    def _said(self, level: int, words: str) -> str:
        record = logging.LogRecord("amqptasks.runtime.log_queue", level, __file__, 0, words, (), None)
        record.action = "log"
        try:
            self.filter(record)
            return self.format(record) + "\n"
        except Exception:  # a formatter of the user's
            return f"{words}\n"

    def _put_out(self, text: str) -> bool:
        """Write it, however long that takes; False where the stream refuses it."""
        if self._descriptor is None:
            if self.stream is None:
                return True  # the process was started without stderr
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):  # it is closed
                return False
            return True
        data = memoryview(text.encode(self._encoding, "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another program made the terminal's descriptor non-blocking
                with contextlib.suppress(OSError, ValueError):
                    select.select([], [self._descriptor], [], FULL_FOR)
            except OSError:
                return False
        return True


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError, AttributeError):
        return None
