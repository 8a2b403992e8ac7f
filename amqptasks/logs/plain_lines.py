"""One line an event, for people."""

from __future__ import annotations

import logging
import re

#: When, how bad, which process and thread, what.
FORMAT = "%(asctime)s %(levelname)s %(process)d/%(threadName)s %(message)s"

#: What would begin another line, or move the cursor of a terminal: the texts of tasks and exceptions come from outside.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: ANSI's colours by level (https://www.ecma-international.org/publications-and-standards/standards/ecma-48/, SGR).
_COLOURS = {logging.DEBUG: 2, logging.WARNING: 33, logging.ERROR: 31, logging.CRITICAL: 41}


class PlainLines(logging.Formatter):
    """The message stays one line, whatever is in it; a traceback follows in lines of its own."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__(FORMAT)
        self._colours = colours

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _CONTROL.sub(_escaped, record.message) + _where(record)
        line = super().formatMessage(record)
        colour = _COLOURS.get(record.levelno) if self._colours else None
        return line if colour is None else f"\x1b[{colour}m{line}\x1b[0m"


def _where(record: logging.LogRecord) -> str:
    """The task that a line comes from; lines about a task name it themselves, and get what they leave out."""
    identity = getattr(record, "task_id", None)
    if identity is None:
        return ""
    fields = [("queue", getattr(record, "queue", None)), ("attempt", getattr(record, "attempt", None))]
    if identity not in record.message:
        fields = [("task", getattr(record, "task_name", None)), ("id", identity), *fields]
    shown = " ".join(f"{name}={value}" for name, value in fields if value is not None)
    return _CONTROL.sub(_escaped, f" [{shown}]") if shown else ""


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
