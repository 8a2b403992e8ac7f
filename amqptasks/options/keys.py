"""Keys of limits and of unique calls: text with names of arguments."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.untrusted import bounds


def checked_key(key: object) -> str:
    """A key that may be one: a function would be your code in the thread that keeps the connections, so it is text.
    Raises `ConfigurationError`."""
    if not isinstance(key, str):
        raise ConfigurationError(f'a key is text with names of arguments, as "account-{{account}}", not {key!r}')
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(key) if name is not None]
    except ValueError as error:
        raise ConfigurationError(f"the key {key!r} cannot be read: {error}") from None
    if not fields or any(not name or name[0].isdigit() for name in fields):
        raise ConfigurationError(f'the key {key!r} names no argument: write it as "account-{{account}}"')
    return key


def text_of(key: str, arguments: Mapping[str, Any]) -> str:
    """What a key comes to for these arguments. Raises `ConfigurationError` where it names what is not there, and where
    it would be larger than `bounds.LARGEST_KEY`."""
    try:
        if all(map(_is_small, arguments.values())):
            return key.format_map(arguments)
        return _BOUNDED.vformat(key, (), arguments)
    except bounds.OutOfBounds as error:
        raise ConfigurationError(f"what the key {key!r} names {error}") from None
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the key {key!r} does not fit the arguments {', '.join(arguments) or '(none)'}: {error!r}"
        ) from None


def _is_small(value: object) -> bool:
    """At first sight."""
    if isinstance(value, str | bytes):
        return len(value) <= bounds.LARGEST_KEY
    return not isinstance(value, list | tuple | Mapping)


class _Bounded(string.Formatter):
    """Looks at the size of a value before it becomes text: whoever calls a task decides about it, and text of a hundred
    megabytes is made in one go."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        bounds.key(value)
        return super().convert_field(value, conversion)


_BOUNDED = _Bounded()
