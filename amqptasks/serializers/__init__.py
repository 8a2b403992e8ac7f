"""How a value becomes the bytes of a body, and what the content type says about it: one file a kind.

json, msgpack, yaml and pickle are here, with the names and content types that Celery gives them; `register` adds one of
your own. A worker reads those only that its app's `accept_content` names.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from amqptasks.errors import INTERRUPTIONS, ConfigurationError

#: The modules of the kinds here, each with a `SERIALIZER`. Imported when first asked for: most programs use json alone.
_KINDS = ("json", "msgpack", "yaml", "pickle")

#: What kombu names its encodings of text; all of them are UTF-8, a part of it, or none at all.
ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "us-ascii", "binary", None, ""})


class Undecodable(Exception):
    """These bytes are not what their content type says; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Serializer:
    """`name` is for options, `content_type` and `content_encoding` (`utf-8` or `binary`) travel with each message.

    `dumps` may return text or bytes and raises what it likes for what it cannot carry; `loads` gets bytes.
    """

    name: str
    dumps: Callable[[Any], bytes | str]
    loads: Callable[[bytes], Any]
    content_type: str
    content_encoding: str = "utf-8"

    def encode(self, value: object) -> bytes:
        """Raises TypeError, ValueError or RecursionError for what cannot be sent, and what interrupts a worker's task
        from outside."""
        try:
            found = self.dumps(value)
        except (TypeError, ValueError, RecursionError, *INTERRUPTIONS):
            raise
        except Exception as error:  # a PicklingError, a YAMLError, whatever the user's own function raises
            raise ValueError(str(error) or type(error).__name__) from error
        return found.encode() if isinstance(found, str) else found

    def decode(self, data: bytes) -> Any:
        """Raises `Undecodable` only, whatever the bytes are, and what interrupts a worker's task from outside."""
        try:
            return self.loads(data)
        except (Undecodable, *INTERRUPTIONS):
            raise
        except RecursionError:
            raise Undecodable("nested too deeply") from None
        except (Exception, SystemExit) as error:  # a pickle runs code, which may ask to end the process
            raise Undecodable(str(error) or type(error).__name__) from None


_registered: dict[str, Serializer] = {}


def register(
    name: str,
    dumps: Callable[[Any], bytes | str],
    loads: Callable[[bytes], Any],
    content_type: str,
    content_encoding: str = "utf-8",
) -> Serializer:
    """Add a serializer, for `serializer=` and `accept_content=`. Do so on both sides, before the `App` is made.

    `content_encoding` is `utf-8` for text and `binary` for anything else. Raises `ConfigurationError` for a name or
    content type that another serializer has; the same registration again changes nothing.
    """
    if content_encoding not in ENCODINGS or not content_encoding:
        raise ConfigurationError(f"content_encoding {content_encoding!r} of {name!r} is neither 'utf-8' nor 'binary'")
    added = Serializer(name, dumps, loads, content_type, content_encoding)
    for known in _known():
        if known != added and (known.name == name or known.content_type == content_type):
            raise ConfigurationError(
                f"serializer {name!r} ({content_type}) cannot be registered: {known.name!r} ({known.content_type}) is"
            )
    _registered[name] = added
    return added


def find(name: str) -> Serializer:
    """By name or content type. Raises `ConfigurationError` where there is none, or its library is not installed."""
    if name in _registered:
        return _registered[name]
    if name in _KINDS:
        return _import(name)
    for known in _known():
        if known.content_type == name:
            return known
    names = [*_KINDS, *_registered]
    close = difflib.get_close_matches(str(name), names, n=1)
    suggestion = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}"
    raise ConfigurationError(f"there is no serializer {name!r}; {suggestion} Others: `serializers.register`")


def _known() -> list[Serializer]:
    """All that can be used here: without those whose library is not installed."""
    found = list(_registered.values())
    for name in _KINDS:
        try:
            found.append(_import(name))
        except ConfigurationError:  # only asked for by its content type, or as a name already taken
            continue
    return found


def _import(name: str) -> Serializer:
    try:
        found = import_module(f"{__name__}.{name}").SERIALIZER
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"serializer {name!r} needs {error.name}: pip install 'amqptasks[{name}]', or leave it out"
        ) from error
    assert isinstance(found, Serializer)
    return found
