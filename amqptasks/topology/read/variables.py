"""Variables of the environment in a topology file: `${NAME}` and `${NAME:-default}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

#: What the names of YAML's own types begin with (https://yaml.org/type/).
TAG = "tag:yaml.org,2002:"

#: `${NAME}` and `${NAME:-default}`, as in a shell; `$${` is a literal `${`.
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)\{|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\{)")


class Filled(str):
    """A text that came from variables alone (`"${MAX}"`): it is text where text is wanted, and `value`, which is what
    YAML reads in it, where a number or a truth is wanted. Quotes around a variable are necessary inside { }."""

    value: object

    def __new__(cls, text: str, value: object) -> Filled:
        made = super().__new__(cls, text)
        made.value = value
        return made

    def __deepcopy__(self, _memo: dict[int, object]) -> Filled:
        return self


#: Of a text that no UTF-8 can hold. YAML's `"\\uD800"` makes one, and so does a variable whose bytes are no UTF-8.
HALF = "holds half of a surrogate pair, or a byte that is no UTF-8"
HALF_HINT = "Write the character itself"


def is_text(value: str) -> bool:
    """Whether AMQP and JSON can carry it."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def substitute(text: str, environment: Mapping[str, str], *, may_be_empty: bool = True) -> str:
    """Fills variables in. Raises `LookupError`, whose text names the variable, for one that is not set, and for one
    that is empty where it must not be."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            raise LookupError("`${` without a name and `}` after it")
        set_to = environment.get(name)
        if default is not None:
            return set_to or default
        if set_to is None:
            raise LookupError(f"the environment variable {name} is not set")
        if not set_to and not may_be_empty:
            raise LookupError(f"the environment variable {name} is set, but empty")
        return set_to

    return _VARIABLE.sub(value, text)


def filled(text: str, environment: Mapping[str, str]) -> str:
    """As `substitute`, for a text that is quoted. One that is nothing but variables becomes `Filled`."""
    found = substitute(text, environment)
    if "${" not in text or "$${" in text or _VARIABLE.sub("", text).strip():
        return found
    return Filled(found, plain_value(found.strip()))


def plain_value(text: str) -> object:
    """What YAML reads in a text without quotes; a date is text to us, and so is what cannot be read."""
    loader = yaml.SafeLoader("")
    tag: str = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag == f"{TAG}timestamp":
        return text
    try:
        value: object = loader.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError):
        return text
    return value
