"""The frames of the hot paths as bytes: publish and ack out, deliver and confirm in (AMQP 0-9-1, 4.2).

Everything else that crosses a connection is pika's to encode and decode.
"""

from __future__ import annotations

import struct

from pika.spec import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD

from amqptasks.amqp.wire.tables import encode_properties, short_string
from amqptasks.messages.outgoing import Template

#: Type, channel and size in front of a frame's payload (4.2.3).
FRAME_START = struct.Struct(">BHI")

#: Those seven octets and the end octet behind the payload.
FRAME_OVERHEAD = 8

#: Class, weight and body size in front of the properties in a header frame's payload (4.2.6.1).
HEADER_START = struct.Struct(">HHQ")

#: Class and method of `basic.deliver` and `basic.ack`, as they begin a method frame's payload.
DELIVER = b"\x00\x3c\x00\x3c"
ACK = b"\x00\x3c\x00\x50"

#: From the end octet of a method frame on: that, then the header frame's start (4.2.3) and its payload's (4.2.6.1).
HEADER_AHEAD = struct.Struct(">BBHIHHQ")

#: From the end octet of a header frame on: that, and the body frame's start.
BODY_AHEAD = struct.Struct(">BBHI")

_BASIC = 60
_END = bytes((FRAME_END,))
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"  # class, method, a reserved short
_ACK_FRAME = struct.Struct(">BHIHHQBB")
_ACK_SIZE = 13
_LONG = struct.Struct(">I")
_LONG_LONG = struct.Struct(">Q")
_CONTENT_START = b"\x00\x3c\x00\x00"  # class and weight; the body size follows


def publish_method(channel: int, exchange: str, routing_key: str, *, mandatory: bool) -> bytes:
    """The method frame of a `basic.publish`. Raises `ValueError` for names over 255 bytes."""
    payload = _PUBLISH + short_string(exchange) + short_string(routing_key) + (b"\x01" if mandatory else b"\x00")
    return FRAME_START.pack(FRAME_METHOD, channel, len(payload)) + payload + _END


def content(channel: int, properties: bytes, body: bytes, largest: int) -> list[bytes]:
    """The header frame, and body frames of at most `largest` bytes of payload."""
    size = len(body)
    pieces = [
        FRAME_START.pack(FRAME_HEADER, channel, HEADER_START.size + len(properties)),
        HEADER_START.pack(_BASIC, 0, size),
        properties,
        _END,
    ]
    for start in range(0, size, largest):
        part = body if size <= largest else body[start : start + largest]
        pieces += (FRAME_START.pack(FRAME_BODY, channel, len(part)), part, _END)
    return pieces


class Stamp:
    """The frames of a template's messages on one channel: all bytes but those of the id and the body, made once.
    `size` is that of the properties."""

    #: Stands for the id while the rest is encoded: as long as one, and in no text that anybody sends.
    _IDENTITY = "\x00\x01" * 18

    def __init__(self, channel: int, template: Template) -> None:
        properties = encode_properties(template.properties.identified(self._IDENTITY))
        before, between, behind = properties.split(self._IDENTITY.encode())
        method = publish_method(channel, template.exchange, template.routing_key, mandatory=template.mandatory)
        self.size = len(properties)
        header = FRAME_START.pack(FRAME_HEADER, channel, HEADER_START.size + self.size)
        self._start = method + header + _CONTENT_START
        self._before = before
        self._between = between
        self._behind = behind + _END + bytes((FRAME_BODY,)) + channel.to_bytes(2, "big")

    def frames(self, identity: str, body: bytes) -> bytes:
        """The whole message, for a body that fits into one frame and is not empty."""
        name, size = identity.encode(), len(body)
        return b"".join(
            (
                self._start,
                _LONG_LONG.pack(size),
                self._before,
                name,
                self._between,
                name,
                self._behind,
                _LONG.pack(size),
                body,
                _END,
            )
        )


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """A whole `basic.ack` frame."""
    return _ACK_FRAME.pack(FRAME_METHOD, channel, _ACK_SIZE, _BASIC, 80, tag, multiple, FRAME_END)


def read_confirm(buffer: bytes, offset: int) -> tuple[int, bool]:
    """Delivery tag and `multiple` of a `basic.ack` whose arguments begin at `offset`."""
    return _LONG_LONG.unpack_from(buffer, offset)[0], bool(buffer[offset + 8] & 1)


class Deliveries:
    """Reads the arguments of `basic.deliver`, and remembers those before: in a row they differ in the delivery tag."""

    __slots__ = ("_after", "_before", "_rest", "_tag")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._tag = 0  # where it stands, behind `_before`
        self._rest = False, "", ""

    def read(self, buffer: bytes, start: int, end: int) -> tuple[int, bool, str, str]:
        """As `read_deliver`, for arguments from `start` to `end`."""
        place = start + self._tag
        if buffer[start:place] == self._before and buffer[place + 8 : end] == self._after:
            return (_LONG_LONG.unpack_from(buffer, place)[0], *self._rest)
        tag, redelivered, exchange, routing_key = read_deliver(buffer, start)
        self._rest = redelivered, exchange, routing_key
        self._tag = 1 + buffer[start]
        self._before = buffer[start : start + self._tag]
        self._after = buffer[start + self._tag + 8 : end]
        return tag, redelivered, exchange, routing_key


def read_deliver(buffer: bytes, offset: int) -> tuple[int, bool, str, str]:
    """Delivery tag, redelivered, exchange and routing key of a `basic.deliver` whose arguments begin at `offset`."""
    offset += 1 + buffer[offset]  # the consumer tag: a channel has one consumer
    tag = _LONG_LONG.unpack_from(buffer, offset)[0]
    redelivered = bool(buffer[offset + 8] & 1)
    start = offset + 10
    end = start + buffer[offset + 9]
    exchange = buffer[start:end].decode("utf-8", "surrogateescape")
    start = end + 1
    return tag, redelivered, exchange, buffer[start : start + buffer[end]].decode("utf-8", "surrogateescape")
