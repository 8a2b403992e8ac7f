"""The one place that leans on pika's private methods, and why each is needed.

`tests/unit/test_pika_internals.py` fails when a pika release changes one of them.

1. pika writes each frame by itself: three system calls a message, one an ack. `Wire` collects the frames of one turn
   of the loop and writes them together.
2. After `basic_cancel` pika answers deliveries that were already under way with `basic.reject(requeue)`, which counts
   as a failed attempt on every release of RabbitMQ. `WireChannel` hands them over like all others.
3. A header frame over the negotiated size would make the broker close the whole connection (501), again and again
   when the message is published anew. `Wire` refuses to write it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pika import BasicProperties, SelectConnection
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.frame import Header, Method
from pika.spec import Basic

OnDelivery = Callable[[Basic.Deliver, BasicProperties, bytes], None]

#: AMQP 0-9-1 section 4.2.3: type, channel and size before a frame's payload, the end octet behind it.
FRAME_OVERHEAD = 8

#: Bytes: RabbitMQ's `initial_frame_max`, for what is written before both sides have agreed.
INITIAL_FRAME = 4096


class FrameTooLarge(ValueError):
    """A frame is larger than what client and broker agreed on; nothing was written."""


class WireChannel(Channel):
    """One consumer at most, whose deliveries all go to `on_delivery`, also after its cancel."""

    on_delivery: OnDelivery | None = None

    def _on_deliver(self, method_frame: Method[Basic.Deliver], header_frame: Header, body: bytes) -> None:
        if self.on_delivery is not None:
            self.on_delivery(method_frame.method, header_frame.properties, body)


class Wire(SelectConnection):
    """A connection that writes once a turn of its loop."""

    def __init__(self, *args: object, custom_ioloop: IOLoop, **kwargs: object) -> None:
        self._corked: list[bytes] = []
        self._loop = custom_ioloop
        super().__init__(*args, custom_ioloop=custom_ioloop, **kwargs)  # type: ignore[arg-type]

    def _create_channel(self, channel_number: int, on_open_callback: Callable[[Channel], object] | None) -> Channel:
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
