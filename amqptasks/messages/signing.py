"""Signatures of messages: HMAC-SHA256 (RFC 2104) over the body and the headers that say what runs, when and for whom.

    x-amqptasks-signature: v1:KEY:MAC        KEY names the secret, MAC is in hexadecimal

What is signed, byte by byte, is what `signed_bytes` returns: see docs/security.md, with test vectors. A signature says
who made a message. It does not make it secret, and does not keep somebody from sending it once more (replay).
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable, Mapping

from amqptasks.errors import INTERRUPTIONS, ConfigurationError
from amqptasks.messages.headers import Wrong, short
from amqptasks.messages.own_headers import SIGNATURE
from amqptasks.messages.properties import REPLY_TO, Properties
from amqptasks.options import environment
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

Keys = Mapping[str, str | bytes]

#: The first part of what is signed, and of the header: another way of signing would get another number.
VERSION = "v1"

#: Headers that are covered, in this order. Not `retries`: it changes on the way, and means little to an attacker, who
#: could as well hold the message back. Not our own headers: the delay ladder and the broker add and remove them.
_HEADERS = ("task", "id", "eta", "expires", "compression")

#: Bytes. A shorter key than the hash is long weakens it (RFC 2104, section 3).
SHORTEST_SECRET = 32

#: Seconds for which the keys of a callable are kept. Rotation takes longer than that; asking costs time.
KEEP_KEYS = 60.0

_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SIGNATURE = re.compile(rf"{VERSION}:({_KEY_NAME.pattern}):([0-9a-f]{{64}})")

#: What makes a good secret, for messages.
_MAKE_ONE = "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"


class Signing:
    """Signs what is published and checks what is consumed.

    `keys` has secrets by name, or is a function that returns them, which is asked again once a minute. The first one
    signs, all of them verify: so a new key is added behind the others, then put first, and the old one removed when
    nothing signed with it waits any more. With `required` False, messages without a signature are still run: for the
    time until all publishers sign. A wrong signature is never let through.

    Raises `ConfigurationError` for a secret under 32 bytes, or no key at all. Secrets are never shown.
    """

    def __init__(self, keys: Keys | Callable[[], Keys], *, required: bool = True) -> None:
        self.required = required
        self._source: Callable[[], Keys] | None = None if isinstance(keys, Mapping) else keys
        self._lock = threading.Lock()
        self._fetched_at = monotonic()
        self._keys = _checked(keys if isinstance(keys, Mapping) else keys())

    @classmethod
    def from_environment(cls, name: str = environment.SIGNING_KEYS, *, required: bool = True) -> Signing:
        """Keys from a variable such as `2026-11=SECRET;2026-08=SECRET`; the first signs. Raises `ConfigurationError`
        where it is not set or not of that form."""
        text = environment.variable(name)
        if not text:
            raise ConfigurationError(f"{name} is not set: write KEY=SECRET into it, several separated by ;")
        keys: dict[str, str | bytes] = {}
        for part in filter(None, map(str.strip, text.split(";"))):
            key, equals, secret = part.partition("=")
            if not equals or not _KEY_NAME.fullmatch(key):  # never show it: it may be the secret alone
                raise ConfigurationError(f"part {len(keys) + 1} of {name} is not of the form KEY=SECRET")
            keys[key] = secret
        return cls(keys, required=required)

    def __repr__(self) -> str:
        return f"Signing(keys={list(self._keys)}, required={self.required})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Signing holds secrets and is not pickled: make it anew where it is needed")

    def sign(self, properties: Properties, body: bytes, like: object = None) -> None:
        """Put the signature into the headers. The key is the one of the signature `like`, where this app has it: an
        answer to who has no newer key yet. Raises `ConfigurationError` for a header that cannot be signed."""
        keys = self._current()
        found = _SIGNATURE.fullmatch(like) if isinstance(like, str) else None
        name = found[1] if found is not None and found[1] in keys else next(iter(keys))
        try:
            signed = signed_bytes(properties, body)
        except ValueError as error:
            raise ConfigurationError(f"the message cannot be signed: {error}") from None
        headers = properties.headers = {} if properties.headers is None else properties.headers
        headers[SIGNATURE] = f"{VERSION}:{name}:{_mac(keys[name], signed)}"

    def verify(self, properties: Properties, body: bytes) -> bool:
        """Whether there is a signature, and it is right. Raises `Wrong` with the reason `unsigned` or `bad-signature`,
        and nothing else, for what must not run."""
        given = properties.headers.get(SIGNATURE) if properties.headers else None
        if given is None:
            if self.required:
                raise Wrong("unsigned", "the message has no signature, and this app requires one")
            return False
        found = _SIGNATURE.fullmatch(given) if isinstance(given, str) else None
        if found is None:
            raise Wrong("bad-signature", f"header {SIGNATURE!r} is {short(given)}, not {VERSION}:KEY:MAC")
        name, mac = found.groups()
        secret = self._current().get(name) or self._current(unknown=True).get(name)
        if secret is None:
            raise Wrong("bad-signature", f"it is signed with a key {name!r}, which this app does not have")
        try:
            signed = signed_bytes(properties, body)
        except ValueError as error:
            raise Wrong("bad-signature", str(error)) from None
        if not hmac.compare_digest(_mac(secret, signed), mac):
            raise Wrong("bad-signature", f"its signature with key {name!r} does not fit: it was changed on its way")
        return True

    def _current(self, unknown: bool = False) -> dict[str, bytes]:
        """The keys now. Those of a callable are fetched again when they are old, and for an `unknown` name once."""
        source = self._source
        if source is None:
            return self._keys
        age = monotonic() - self._fetched_at
        if age < (KEEP_KEYS / 60 if unknown else KEEP_KEYS) or not self._lock.acquire(blocking=unknown):
            return self._keys
        try:
            self._keys = _checked(source())
        except INTERRUPTIONS:
            raise
        except Exception as error:  # the user's code; its text could show a secret
            logger.error(  # noqa: TRY400 - as above
                "the signing keys could not be fetched again (%s): the known ones stay in use", type(error).__name__
            )
        finally:
            self._fetched_at = monotonic()
            self._lock.release()
        return self._keys


def signed_bytes(properties: Properties, body: bytes) -> bytes:
    """What the MAC is made of: one line for each field, then the body. Raises ValueError for a field that is no text.

    A line is `name:length:value`, the length in bytes of UTF-8, or `name:-` for what is not there, null or empty.
    """
    headers = properties.headers or {}
    reply_to = properties.reply_to
    if isinstance(reply_to, str) and reply_to.startswith(REPLY_TO):
        reply_to = REPLY_TO  # the broker adds the address of the channel behind it
    fields = [(name, headers.get(name)) for name in _HEADERS]
    fields += [
        ("content_type", properties.content_type),
        ("content_encoding", properties.content_encoding),
        ("correlation_id", properties.correlation_id),
        ("reply_to", reply_to),
    ]
    return b"amqptasks %b\n%b%b" % (
        VERSION.encode(),
        b"".join(_line(name, value) for name, value in fields),
        b"body:%d:%b" % (len(body), body),
    )


def _line(name: str, value: object) -> bytes:
    if value is None or value == "":
        return b"%b:-\n" % name.encode()
    if not isinstance(value, str):
        raise ValueError(f"{name} is {short(value)}, and only text can be signed")  # noqa: TRY004 - as a lone surrogate
    data = value.encode()
    return b"%b:%d:%b\n" % (name.encode(), len(data), data)


def _mac(secret: bytes, signed: bytes) -> str:
    return hmac.digest(secret, signed, "sha256").hex()


def _checked(keys: Keys) -> dict[str, bytes]:
    checked: dict[str, bytes] = {}
    for name, secret in keys.items():
        if not _KEY_NAME.fullmatch(name):
            raise ConfigurationError(
                "the name of a signing key has 1 to 64 letters, digits, dots, dashes or underlines"
            )
        data = secret.encode() if isinstance(secret, str) else bytes(secret)
        if len(data) < SHORTEST_SECRET:
            raise ConfigurationError(
                f"signing key {name!r} has {len(data)} bytes; it needs {SHORTEST_SECRET}: {_MAKE_ONE}"
            )
        checked[name] = data
    if not checked:
        raise ConfigurationError(f"there is no signing key: {_MAKE_ONE}")
    return checked
