"""The single values of the file: durations, percentages, numbers, patterns."""

from __future__ import annotations

import re
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from amqptasks.topology import durations
from amqptasks.topology.model.part import Wrong
from amqptasks.untrusted.bounds import LARGEST_NUMBER, LONGEST_NAME


def _duration(value: object) -> object:
    found = durations.seconds(value) if isinstance(value, str) else None
    if found is None:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        hint = "Write a unit: `5s`, `250ms`, `10m`, `2h`, `14d`" if numeric else "Write it as `5s`, `250ms` or `1h 30m`"
        raise Wrong("is no duration", hint)
    return found


def _lasting(value: object) -> object:
    found = _duration(value)
    if not isinstance(found, float) or not 0 < found <= durations.TEN_YEARS:
        raise Wrong("must be longer than nothing and at most ten years", "Write `14d`, or remove the key")
    return found


def _ttl(value: object) -> object:
    found = _duration(value)
    return found if found == 0 else _lasting(value)


def _age(value: object) -> object:
    return value if isinstance(value, str) and durations.age(value) is not None else _lasting(value)


def _percentage(value: object) -> object:
    found = durations.fraction(value) if isinstance(value, str) else None
    if found is None or found > 1:
        raise Wrong("is no percentage from 0% to 100%", "Write it as `10%`")
    return found


def _expression(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        re.compile(value)
    except re.error as error:
        hint = "A dot, a bracket or a star that is meant as such needs a backslash before it"
        raise Wrong(f"is no regular expression: {error.msg}", hint) from None
    return value


def _argument(value: object, inside: tuple[str | int, ...] = ()) -> object:
    """What a field table of AMQP can carry. Raises `Wrong` for the rest, before anything is declared."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        for name in value:
            if len(name.encode()) > LONGEST_NAME:
                raise Wrong(f"the name is too long: AMQP's limit is {LONGEST_NAME} bytes", None, (*inside, name))
        return {name: _argument(one, (*inside, name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_argument(one, (*inside, index)) for index, one in enumerate(value)]
    if isinstance(value, int) and not -LARGEST_NUMBER - 1 <= value <= LARGEST_NUMBER:
        raise Wrong("has more than 64 bits, which AMQP cannot carry", "Write it in quotes, as a text", inside)
    if isinstance(value, float) and not isfinite(value):
        raise Wrong("is no number that AMQP can carry", "Write a number", inside)
    if value is not None and not isinstance(value, int | float):
        raise Wrong("is binary data, which cannot be declared from a file", "Write a text", inside)
    return value


def _written(pattern: str, example: str) -> dict[str, object]:
    """For editors: as it is written, or with a variable in it."""
    return {"type": "string", "pattern": rf"^\s*({pattern})\s*$|\$\{{", "examples": [example]}


def _written_above_nothing(pattern: str, example: str) -> dict[str, object]:
    """The same, of what is no duration of zeros."""
    return {**_written(pattern, example), "allOf": [{"pattern": r"[1-9]|\$\{"}]}


#: Percentages of at most 100: a pattern cannot compare numbers.
_UP_TO_100 = rf"(?=0*(100(\.0*)?|\d{{0,2}}(\.\d*)?)\s*%){durations.PERCENTAGE}"

_SIXTY_FOUR_BITS = {"type": "integer", "minimum": -LARGEST_NUMBER - 1, "maximum": LARGEST_NUMBER}

#: Untyped values, in RabbitMQ's spelling: what it does not know it keeps as it is.
Arguments = Annotated[
    dict[str, Any],
    AfterValidator(_argument),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"maxLength": LONGEST_NAME},
            "additionalProperties": {
                "anyOf": [
                    {"type": ["string", "boolean", "null", "array", "object"]},
                    _SIXTY_FOUR_BITS,
                    {"type": "number", "not": {"type": "integer"}},
                ]
            },
        }
    ),
]
#: In seconds.
Duration = Annotated[float, BeforeValidator(_duration), WithJsonSchema(_written(durations.PATTERN, "5s"))]
Lasting = Annotated[float, BeforeValidator(_lasting), WithJsonSchema(_written_above_nothing(durations.PATTERN, "14d"))]
#: How long a message may wait; `0s`: only where it can be delivered at once.
Ttl = Annotated[float, BeforeValidator(_ttl), WithJsonSchema(_written(durations.PATTERN, "1h"))]
#: A duration, or RabbitMQ's own spelling, which is kept as it is.
Age = Annotated[
    float | str,
    BeforeValidator(_age),
    WithJsonSchema(_written_above_nothing(f"{durations.PATTERN}|{durations.AGE}", "7d")),
]
#: As a fraction.
Percentage = Annotated[float, BeforeValidator(_percentage), WithJsonSchema(_written(_UP_TO_100, "10%"))]
Count = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
#: A number that may be none at all.
Bound = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
#: AMQP's octet.
Priority = Annotated[int, Field(ge=0, le=255)]
Text = Annotated[str, Field(min_length=1)]
#: Over the names of objects. RabbitMQ's are Perl's, which differ from Python's only where hardly anybody goes.
Expression = Annotated[str, BeforeValidator(_expression)]
