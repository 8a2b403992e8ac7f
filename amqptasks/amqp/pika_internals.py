"""The one place that leans on pika's private methods, and why each is needed.

`tests/unit/test_pika_internals.py` fails when a pika release changes one of them.

1. pika writes each frame by itself: three system calls a message, one an ack. `Wire` collects the frames of one turn
   of the loop and writes them together.
2. After `basic_cancel` pika answers deliveries that were already under way with `basic.reject(requeue)`, which counts
   as a failed attempt on every release of RabbitMQ. `WireChannel` hands them over like all others.
3. A header frame over the negotiated size would make the broker close the whole connection (501), again and again
   when the message is published anew. `Wire` refuses to write it.
4. pika's decoder of content headers raises at some that the broker delivers, and breaks the connection each time.
   `TolerantConnection` decodes them itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from pika import BasicProperties, ConnectionParameters, SelectConnection
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.frame import Frame, Header, Method, ProtocolHeader
from pika.spec import FRAME_END, FRAME_HEADER, Basic

from amqptasks.amqp.content_header import decode_properties

OnDelivery = Callable[[Basic.Deliver, BasicProperties, bytes], None]

#: AMQP 0-9-1 section 4.2.3: type, channel and size before a frame's payload, the end octet behind it.
FRAME_OVERHEAD = 8

#: Bytes: RabbitMQ's `initial_frame_max`, for what is written before both sides have agreed.
INITIAL_FRAME = 4096


class FrameTooLarge(ValueError):
    """A frame is larger than what client and broker agreed on; nothing was written."""


#: AMQP 0-9-1 section 4.2.3: type, channel and size of a frame; and of a header frame's payload (4.2.6.1) class, weight
#: and body size, in front of the properties.
_FRAME_START = struct.Struct(">BHI")
_HEADER_START = struct.Struct(">HHQ")


class WireChannel(Channel):
    """One consumer at most, whose deliveries all go to `on_delivery`, also after its cancel."""

    on_delivery: OnDelivery | None = None

    def _on_deliver(self, method_frame: Method[Basic.Deliver], header_frame: Header, body: bytes) -> None:
        if self.on_delivery is not None:
            self.on_delivery(method_frame.method, header_frame.properties, body)


class TolerantConnection(SelectConnection):
    """Decodes the content headers that it receives with `content_header.py`."""

    def _read_frame(self) -> tuple[int, Frame | ProtocolHeader | None]:
        buffer = self._frame_buffer
        if len(buffer) < _FRAME_START.size or buffer[0] != FRAME_HEADER:
            return super()._read_frame()
        _, channel, size = _FRAME_START.unpack_from(buffer)
        start, end = _FRAME_START.size, _FRAME_START.size + size
        if len(buffer) <= end or buffer[end] != FRAME_END:
            return super()._read_frame()  # not all of it is here, or it is broken
        body_size = _HEADER_START.unpack_from(buffer, start)[2]
        properties = decode_properties(buffer[start + _HEADER_START.size : end])
        return end + 1, Header(channel, body_size, properties)


class Wire(TolerantConnection):
    """A connection that writes once a turn of its loop."""

    def __init__(
        self,
        parameters: ConnectionParameters,
        loop: IOLoop,
        *,
        on_open: Callable[[], None],
        on_closed: Callable[[BaseException], None],
    ) -> None:
        self._corked: list[bytes] = []
        self._loop = loop
        super().__init__(
            parameters,
            on_open_callback=lambda _wire: on_open(),
            on_open_error_callback=lambda _wire, error: on_closed(error),
            on_close_callback=lambda _wire, error: on_closed(error),
            custom_ioloop=loop,
        )

    def _create_channel(self, channel_number: int, on_open_callback: Callable[[Channel], Any] | None) -> Channel:
        return WireChannel(self, channel_number, on_open_callback)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        largest = (self._body_max_length or INITIAL_FRAME) + FRAME_OVERHEAD  # None before the sizes are negotiated
        for frame in marshaled_frames:
            if len(frame) > largest:
                raise FrameTooLarge(f"a frame of {len(frame)} bytes, the limit is {largest}")
            self.bytes_sent += len(frame)
        self.frames_sent += len(marshaled_frames)
        if not self._corked:
            self._loop.call_later(0, self._uncork)
        self._corked.extend(marshaled_frames)

    def _uncork(self) -> None:
        frames, self._corked = self._corked, []
        if frames and self._transport is not None:
            self._adapter_emit_data(b"".join(frames))
