"""An example, changed a little: what costs a hundredth of drawing one anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from tests.fuzz.values import ODD_FIELDS, ODD_JSON

#: Changes of one example, at most.
MOST = 3

#: Bytes and characters that readers take for something.
_SPLICES = (
    "",
    "\x00",
    "\n",
    '"',
    "{",
    "[",
    "]",
    "}",
    ":",
    "\\u0000",
    "\ud800",
    "9" * 400,
    "-1",
    "1e999",
    "null",
    "${X}",
)


def mutated(
    examples: Sequence[dict[str, Any]], changed: Sequence[str], mixed: Sequence[str], source: random.Random
) -> dict[str, Any]:
    """One of the examples. Inside of the parts `changed`, which keep their types, some of it is replaced by odd values
    or by parts of the others. Of the parts `mixed`, some are another example's."""
    found = deepcopy(source.choice(examples))
    for _ in range(source.randint(1, MOST)):
        name = source.choice([name for name in (*changed, *mixed) if name in found])
        other = source.choice(examples)
        if name in mixed:
            found[name] = deepcopy(other.get(name, found[name]))
            continue
        value = _deeper(deepcopy(found[name]), name, examples, source)
        if type(value) is type(found[name]):
            found[name] = value
    return found


def _deeper(value: Any, name: str, examples: Sequence[Any], source: random.Random) -> Any:
    if isinstance(value, dict | list) and value and source.random() < 0.7:
        key = source.choice(list(value)) if isinstance(value, dict) else source.randrange(len(value))
        if source.random() < 0.15:
            del value[key]
        else:
            value[key] = _deeper(value[key], str(key), examples, source)
        return value
    if isinstance(value, bytes | str) and source.random() < 0.6:
        return _spliced(value, source)
    if source.random() < 0.3:
        other = source.choice(examples)
        if isinstance(other, dict) and name in other:
            return deepcopy(other[name])
    if isinstance(value, bytes):
        return _spliced(value, source)
    return deepcopy(source.choice(ODD_FIELDS if source.random() < 0.3 else ODD_JSON))


def _spliced(value: Any, source: random.Random) -> Any:
    """Something put in, over some of it, or some of it twice."""
    begin = source.randint(0, len(value))
    end = min(len(value), begin + source.choice((0, 0, 1, 4, 40)))
    piece: Any = source.choice((*_SPLICES, None))
    if piece is None:
        piece = value[begin : begin + 40] * 2
    elif isinstance(value, bytes):
        piece = piece.encode("utf-8", "surrogatepass")
    return value[:begin] + piece + value[end:]
