"""Values on the command line: moments, rates, JSON. Each is a `type=` of click's, which calls it with the text."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import click

from amqptasks.errors import ConfigurationError
from amqptasks.options import CALL
from amqptasks.options.catalogue import Option
from amqptasks.options.command_line import COMMAND_LINE
from amqptasks.options.kinds import Flag, OneOf, Optional, Seconds, Unfit, Whole
from amqptasks.options.workers import WORKER
from amqptasks.topology import durations

Function = TypeVar("Function", bound=Callable[..., Any])


def seconds_since_1970(text: str) -> float:
    """`2h` (ago), or a time in ISO 8601 (UTC where it names no zone)."""
    ago = durations.seconds(text)
    return iso_moment(text).timestamp() if ago is None else time.time() - ago


def iso_moment(text: str) -> datetime:
    """ISO 8601; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time; write it as 2026-05-01T12:00 (UTC)") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def seconds_or_moment(text: str) -> float | datetime:
    """`90`, `1h 30m`, or a time in ISO 8601."""
    found = durations.seconds(text)
    if found is not None:
        return found
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else iso_moment(text)


class OptionValue(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """The value of an option that is described, checked as where it is given in Python. A text is read as a number
    first, where the option takes one."""

    def __init__(self, name: str, option: Option, read: Callable[[str], Any] = str) -> None:
        self.name = name
        self._option = option
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._option.kind.read(self._read(value) if isinstance(value, str) else value)
        except (ValueError, ConfigurationError) as error:
            self.fail(f"{value!r}: {str(error) or f'give {self._option.kind.wanted}'}", param, ctx)


class OptionOfCall(OptionValue):
    """Of a call."""

    def __init__(self, name: str, read: Callable[[str], Any] = str) -> None:
        super().__init__(name, CALL[name], read)


def worker_option(*flags: str, **more: Any) -> Callable[[Function], Function]:
    """`click.option` with the type and the help of the option of a worker that the first long flag names."""
    name = next(flag for flag in flags if flag.startswith("--"))[2:].replace("-", "_")
    option = (WORKER | COMMAND_LINE)[name]
    kind = option.kind.kind if isinstance(option.kind, Optional) else option.kind
    text = f"{option.line[0].upper()}{option.line[1:]}."
    if isinstance(kind, Flag):
        more["is_flag"] = True
    else:
        text += f"  [default: {option.default}]"
    if isinstance(kind, OneOf):
        more["type"] = click.Choice(kind.names, case_sensitive=False)
    elif isinstance(kind, Whole):
        more = {"type": OptionValue(name, option, whole), "metavar": "NUMBER", **more}
    elif isinstance(kind, Seconds):
        more = {"type": OptionValue(name, option, number), "metavar": "SECONDS", **more}
    elif not isinstance(kind, Flag):
        more = {"type": OptionValue(name, option), "metavar": "TEXT", **more}
    return click.option(*flags, help=text, **more)


def whole(text: str) -> int:
    """A number of things."""
    try:
        return int(text)
    except ValueError:
        raise Unfit from None


def number(text: str) -> float:
    """Seconds as a number."""
    try:
        return float(text)
    except ValueError:
        raise Unfit from None


def duration(text: str) -> float:
    """`90s`, `1h 30m`, `250ms`, in seconds."""
    found = durations.seconds(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write 90s, 30m or 1h 30m")
    return found


def rate(text: str) -> float:
    """`50/s`, `10/m`, `100/h` or `50` (a second), as a number a second."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/([smh]))?", text.strip())
    if found is None or float(found[1]) == 0:
        raise click.BadParameter(f"{text!r} is no rate; write 50/s, 10/m or 100/h")
    return float(found[1]) / durations.UNITS[found[2] or "s"]


def json_list(text: str) -> list[Any]:
    found = _json(text)
    if not isinstance(found, list):
        raise click.BadParameter(f"{text!r} is no list; write '[1, \"two\"]'")
    return found


def json_object(text: str) -> dict[str, Any]:
    found = _json(text)
    if not isinstance(found, dict):
        raise click.BadParameter(f"{text!r} is no object; write '{{\"amount\": 5}}'")
    return found


def json_or_text(text: str) -> Any:
    """What the text says in JSON, else the text: 5 is a number, `five` a text, `"5"` a text too."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text!r} is no JSON: {error}") from None


def _no_constant(name: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(f"{name} is no JSON")
