"""One JSON object an event, for machines."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import Any

import orjson

from amqptasks.logs.plain_lines import cut
from amqptasks.logs.success import SuccessLine, name_and_attempt

#: What every record has; all else in it is a field of whoever logged it.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "exc_text"}

#: Fields of ours under shorter names.
_NAMES = {"task_name": "task", "task_id": "id"}


class JsonLines(logging.Formatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, `process`, `thread`; where they are known `task`, `id`,
    `queue`, `attempt`, `runtime` (seconds), `action` and what else the record carries; `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": cut(record.getMessage()),
            "process": record.process,
            "thread": record.threadName,
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and value is not None:
                line.setdefault(_NAMES.get(name, name), value)
        if record.exc_text is None and record.exc_info:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["traceback"] = cut(record.exc_text)
        if record.stack_info:
            line["stack"] = record.stack_info
        return _line(line)

    def line(self, values: SuccessLine) -> str:
        """The line of a task that succeeded. A busy worker writes thousands a second."""
        created, thread, headers, identity, queue, runtime = values
        name, attempt = name_and_attempt(headers)
        return (
            _line(
                {
                    "time": datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds"),
                    "level": "info",
                    "logger": "amqptasks.task",
                    "message": f"{name}[{identity}] succeeded in {runtime:.3f} s",
                    "process": os.getpid(),
                    "thread": thread,
                    "action": "success",
                    "task": name,
                    "id": identity,
                    "queue": queue,
                    "attempt": attempt,
                    "runtime": runtime,
                }
            )
            + "\n"
        )


def _line(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, str, orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # a value without an end, a lone surrogate, a number of a hundred digits
        return orjson.dumps({name: _safe(value) for name, value in line.items()}).decode()


def _safe(value: object) -> object:
    if value is None or isinstance(value, bool | float):
        return value
    return str(value).encode(errors="backslashreplace").decode()
