"""Keys of limits and of unique calls: text with names of arguments."""

from __future__ import annotations

import string

from amqptasks.errors import ConfigurationError


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
