"""Words that YAML 1.1 and YAML 1.2 read differently. We read YAML 1.1, as most tools in Python do; editors read 1.2.

https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_FRACTION = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class OldWord:
    """A word without quotes: we read it as `value`, a reader of YAML 1.2 as `newer`."""

    text: str
    value: object
    newer: object
    file: str | None = None
    line: int | None = None


def old_word(text: str, value: object) -> OldWord | None:
    """None where both read the same in `text`, which we read as `value`."""
    newer = read_as_newer(text)
    return None if type(newer) is type(value) and newer == value else OldWord(text, value, newer)


def read_as_newer(text: str) -> object:
    """What the core schema of YAML 1.2 reads in a text without quotes."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text.lower() == "true"
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _FRACTION.fullmatch(text):
        return float(text)
    if _NO_FRACTION.fullmatch(text):
        return float(text.replace(".", ""))
    return text
