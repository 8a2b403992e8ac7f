"""One line an event, for people."""

from __future__ import annotations

import logging
import os
import time

from amqptasks.logs.success import SuccessLine, name_and_attempt
from amqptasks.untrusted.bounds import LONGEST_LINE, LONGEST_TRACEBACK
from amqptasks.untrusted.printable import INDENT, printable, printable_lines

#: When, how bad, which process and thread, what.
FORMAT = "%(asctime)s %(levelname)s %(process)d/%(threadName)s %(message)s"

#: ANSI's colours by level (https://www.ecma-international.org/publications-and-standards/standards/ecma-48/, SGR).
_COLOURS = {logging.DEBUG: 2, logging.WARNING: 33, logging.ERROR: 31, logging.CRITICAL: 41}


class PlainLines(logging.Formatter):
    """The message stays one line, whatever is in it; a traceback follows in lines of its own. They are indented, so
    that the text of an exception cannot look like a line of the log. Both are cut where they are very long."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__(FORMAT)
        self._colours = colours
        self._second = self._process = 0
        self._time = ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message, LONGEST_LINE) + _where(record)
        line = super().formatMessage(record)
        colour = _COLOURS.get(record.levelno) if self._colours else None
        return line if colour is None else f"\x1b[{colour}m{line}\x1b[0m"

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = cut(record.exc_text)
        head, more, rest = super().format(record).partition("\n")
        return f"{head}\n{INDENT}{printable_lines(rest)}" if more else head

    def line(self, values: SuccessLine) -> str:
        """The line of a task that succeeded. A busy worker writes thousands a second."""
        created, thread, headers, identity, queue, runtime = values
        name, attempt = name_and_attempt(headers)
        second = int(created)
        if second != self._second:
            self._second = second
            self._time, self._process = time.strftime(self.default_time_format, time.localtime(second)), os.getpid()
        line = (
            f"{self._time},{int((created - second) * 1000):03d} INFO {self._process}/{thread}"
            f" {name}[{identity}] succeeded in {runtime:.3f} s [queue={queue} attempt={attempt}]"
        )
        return f"{line if line.isascii() and line.isprintable() else printable(line, LONGEST_LINE)}\n"


def cut(text: str) -> str:
    """A long traceback without its middle: the beginning says what was called, the end what went wrong."""
    if len(text) <= LONGEST_TRACEBACK:
        return text
    half = LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters are left out ...\n{text[-half:]}"


def _where(record: logging.LogRecord) -> str:
    """The task that a line comes from; lines about a task name it themselves, and get what they leave out."""
    identity = getattr(record, "task_id", None)
    if identity is None:
        return ""
    fields = [("queue", getattr(record, "queue", None)), ("attempt", getattr(record, "attempt", None))]
    if str(identity) not in record.message:
        fields = [("task", getattr(record, "task_name", None)), ("id", identity), *fields]
    shown = " ".join(f"{name}={value}" for name, value in fields if value is not None)
    return printable(f" [{shown}]", LONGEST_LINE) if shown else ""
