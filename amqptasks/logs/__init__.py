"""Logging: a logger for tasks, and what a command sets up for the process that it owns.

The library itself configures nothing: in your program, its records go wherever you send them.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import Literal, TextIO

from amqptasks.logs.context import TaskContext
from amqptasks.logs.json_lines import JsonLines
from amqptasks.logs.plain_lines import PlainLines
from amqptasks.runtime.log_queue import QueuedWriter

Form = Literal["plain", "json"]

#: The logger above all of this library's.
OURS = "amqptasks"

FORMS: tuple[Form, ...] = ("plain", "json")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a command was told of logging: `level` and `form` as of `configure`."""

    level: str
    form: Form


class Lines(QueuedWriter):
    """The handler of a process that `configure` set up. It writes on a thread of its own once a worker has begun."""


def get_task_logger(name: str) -> logging.Logger:
    """The logger of that name, whose records carry `task_name`, `task_id`, `queue` and `attempt` of the task that they
    come from (outside a task: None). Wherever it is configured to write, it writes there still."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, TaskContext) for known in logger.filters):
        logger.addFilter(TaskContext())
    return logger


def configure(level: str, form: Form = "plain", stream: TextIO | None = None) -> None:
    """Write all records from `level` up to `stream` (default: stderr). For a process of ours, not for a library.

    Where the user's own code has given the root logger a handler, that is left as it is, and `level` is for our records
    alone. A process that is a copy of one that was set up stays as it is.
    """
    root = logging.getLogger()
    if _is_ours(root):
        return
    if root.handlers:
        logging.getLogger(OURS).setLevel(level.upper())
        return
    stream = sys.stderr if stream is None else stream
    handler = Lines(stream, [TaskContext()])  # records of the user's plain loggers too
    handler.setFormatter(JsonLines() if form == "json" else PlainLines(colours=_wants_colours(stream)))
    root.addHandler(handler)
    root.setLevel(level.upper())


def current_level() -> int:
    """From which level on our own records are written."""
    return logging.getLogger(OURS).getEffectiveLevel()


def change_level(wanted: int) -> None:
    """Write all records from `wanted` up from now on, or our own alone: whatever `configure` gave its level to. What
    the user's own handlers leave out they still do: one that sends mails has its level for a reason."""
    root = logging.getLogger()
    logging.getLogger(OURS).setLevel(wanted)
    if _is_ours(root):
        root.setLevel(wanted)


def _is_ours(root: logging.Logger) -> bool:
    return any(isinstance(handler, Lines) for handler in root.handlers)


def _wants_colours(stream: TextIO | None) -> bool:
    """On a terminal, unless https://no-color.org says otherwise, or where https://force-color.org asks for them."""
    if os.environ.get("NO_COLOR"):
        return False
    if stream is None or stream.closed:
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")
