"""The bytes of a message to a value, as its content type, content encoding and compression say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from amqptasks.messages import compression, large_bodies
from amqptasks.messages.headers import Reason, Wrong, short
from amqptasks.messages.properties import Properties
from amqptasks.serializers import ENCODINGS, Serializer, Undecodable, find, json
from amqptasks.untrusted.bounds import LARGE_BODY

#: Other names of JSON. A message without a content type was published by hand: JSON is what our documentation tells to
#: send.
_JSON_TYPES = ("application/x-json", "text/json", "", None)


@dataclass(frozen=True, slots=True)
class Reader:
    """`accept` has the serializers to read with, by content type; `largest` bytes may come out of a compressed body
    (None: `compression.LARGEST_BODY`)."""

    accept: Mapping[str | None, Serializer]
    largest: int | None = None

    def read(self, properties: Properties, body: bytes) -> Any:
        """Raises `Wrong` only."""
        serializer = self.accept.get(properties.content_type)
        if serializer is None:
            raise Wrong("content-type", f"content type {short(properties.content_type)} is not in accept_content")
        encoding = properties.content_encoding
        if encoding not in ENCODINGS and str(encoding).lower() not in ENCODINGS:
            raise Wrong("content-encoding", f"content encoding {short(encoding)} is not known here; send utf-8")
        headers = properties.headers
        packed = headers.get("compression") if headers else None
        plain: bytes | bytearray = body
        if packed:
            try:
                plain = compression.decompress(packed, body, self.largest)
            except compression.Unreadable as error:
                raise Wrong("compression", str(error)) from None
        try:
            if len(plain) < LARGE_BODY:
                return serializer.decode(bytes(plain))
            is_json = serializer is json.SERIALIZER
            with large_bodies.in_turn(pauses=not is_json):
                # To copy a large body would keep other threads from the interpreter. A `loads` gets bytes.
                return serializer.decode(cast("bytes", plain) if is_json else bytes(plain))
        except Undecodable as error:
            reason: Reason = "json" if serializer.name == "json" else "undecodable"
            raise Wrong(reason, short_text(f"the body is no {serializer.name.upper()}: {error}")) from None


def reader(names: tuple[str, ...], largest: int | None = None) -> Reader:
    """For the serializers of these names or content types. Raises `ConfigurationError` for one that is not there."""
    accept: dict[str | None, Serializer] = {}
    for name in names:
        serializer = find(name)
        accept[serializer.content_type] = serializer
        if serializer is json.SERIALIZER:
            accept.update(dict.fromkeys(_JSON_TYPES, serializer))
    return Reader(accept, largest)


def short_text(text: str) -> str:
    """What a library says of bad bytes may quote all of them."""
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}..."


#: Characters of a detail that are worth reading.
_LONGEST_DETAIL = 250

JSON_ONLY = reader(("json",))
