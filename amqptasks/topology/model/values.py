"""The single values of the file: durations, percentages, numbers, patterns."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from amqptasks.topology import durations
from amqptasks.topology.model.part import Wrong

#: RabbitMQ takes lengths and limits up to a signed 64-bit number.
LARGEST_NUMBER = 2**63 - 1


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


def _written(pattern: str, example: str) -> dict[str, object]:
    """For editors: as it is written, or with a variable in it."""
    return {"type": "string", "pattern": rf"^\s*({pattern})\s*$|\$\{{", "examples": [example]}


#: In seconds.
Duration = Annotated[float, BeforeValidator(_duration), WithJsonSchema(_written(durations.PATTERN, "5s"))]
Lasting = Annotated[float, BeforeValidator(_lasting), WithJsonSchema(_written(durations.PATTERN, "14d"))]
#: As a fraction.
Percentage = Annotated[float, BeforeValidator(_percentage), WithJsonSchema(_written(durations.PERCENTAGE, "10%"))]
Count = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
#: A number that may be none at all.
Bound = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
#: AMQP's octet.
Priority = Annotated[int, Field(ge=0, le=255)]
Text = Annotated[str, Field(min_length=1)]
#: Over the names of objects. RabbitMQ's are Perl's, which differ from Python's only where hardly anybody goes.
Expression = Annotated[str, BeforeValidator(_expression)]
