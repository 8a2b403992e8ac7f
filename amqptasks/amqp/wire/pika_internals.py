"""The one place that leans on pika's private methods, and why each is needed.

`tests/unit/amqp/test_pika_internals.py` fails when a pika release changes one of them.

1. pika writes each frame by itself: three system calls a message, one an ack. `Wire` collects the frames of one turn
   of the loop and writes them together, at once: pika waits for the poller to say that it may, a turn of the loop more
   each time. It also reads at most 4 KiB at once, ten messages; `Wire` has it read more.
2. pika decodes and dispatches each frame by way of objects and callback tables, 20 microseconds a message. `Wire` reads
   deliveries and confirms straight from the buffer, and writes publishes and acks as bytes; all else is pika's.
3. After `basic_cancel` pika answers deliveries that were already under way with `basic.reject(requeue)`, which counts
   as a failed attempt on every release of RabbitMQ. `WireChannel` hands them over like all others.
4. For a header frame over the negotiated size the broker closes the connection (501). `Wire` refuses to write it.
5. pika does not say whether TCP stands while it opens a connection. `Wire.is_accepted` looks.
6. pika's decoder of headers raises at some, which breaks the connection. `TolerantConnection` decodes them itself.
7. The timers of pika's loop go by `time.monotonic`, which freezegun freezes. `TolerantConnection` puts ours in their
   place for a blocking connection; a link has a loop of its own (`loop.py`).
8. A forked child must close its copies of the connections. `watched_descriptors` finds those of a blocking one.
9. pika's encoder of arguments knows no floats. `TolerantConnection` has them encoded by us.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from pika import ConnectionParameters, SelectConnection, exceptions
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport as PlaintextTransport
from pika.amqp_object import Method
from pika.channel import Channel
from pika.connection import Parameters
from pika.frame import Frame, Header, ProtocolHeader, decode_frame
from pika.spec import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD

from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire import connector, wire_frames
from amqptasks.amqp.wire.arguments import with_arguments
from amqptasks.amqp.wire.content_header import decode_properties
from amqptasks.amqp.wire.familiar_headers import FamiliarHeaders
from amqptasks.amqp.wire.properties import ReceivedProperties
from amqptasks.amqp.wire.tables import encode_properties
from amqptasks.amqp.wire.wire_frames import (
    ACK,
    BODY_AHEAD,
    DELIVER,
    FRAME_OVERHEAD,
    FRAME_START,
    HEADER_AHEAD,
    HEADER_START,
    Deliveries,
    Stamp,
)
from amqptasks.messages.delivery import Likeness
from amqptasks.messages.outgoing import Outgoing, Template, Templated
from amqptasks.messages.properties import Properties
from amqptasks.runtime.clock.timers import Timers

#: Delivery tag, redelivered, exchange, routing key, properties, body.
OnDelivery = Callable[[int, bool, str, str, Properties, bytes], None]

#: As `OnDelivery`, with what the properties are like, and the id, in their place.
OnAlike = Callable[[int, bool, str, str, Likeness, str, bytes], None]

#: Delivery tag, multiple.
OnConfirm = Callable[[int, bool], None]

#: Bytes: RabbitMQ's `initial_frame_max`, for what is written before both sides have agreed.
INITIAL_FRAME = 4096

#: Pairs of exchange and routing key whose method frame is kept, and templates. An app has some dozens; reply addresses
#: come and go.
KEPT_FRAMES = 1000


#: Bytes that are read from the socket at once: some 150 small messages.
READ = 65536

#: Frames of a message whose body fits into one: method, header, body.
MESSAGE_FRAMES = 3


def watched_descriptors(loop: IOLoop) -> list[int]:
    """All sockets and pipes that a loop watches: its connections, also those that are being made."""
    return list(cast("Any", loop)._poller._fd_handlers)


def _with_our_timers(loop: IOLoop) -> IOLoop:
    loop._timer = cast("Any", Timers())
    return loop


class FrameTooLarge(ValueError):
    """A frame is larger than what client and broker agreed on; nothing was written."""


class WireChannel(Channel):
    """One consumer at most, whose deliveries all go to `on_delivery`, also after its cancel, but those that are like an
    earlier one to `on_alike`, where that is wanted. Confirms go to `on_confirm`."""

    on_delivery: OnDelivery | None = None
    on_alike: OnAlike | None = None
    on_confirm: OnConfirm | None = None

    def __init__(self, connection: Wire, number: int, opened: Callable[[Channel], Any] | None) -> None:
        super().__init__(connection, number, opened)
        self._wire = connection
        self._methods: dict[tuple[str, str, bool], bytes] = {}
        self._stamps: dict[Template, Stamp] = {}
        self._headers = FamiliarHeaders()
        self._deliveries = Deliveries()
        self._delivered: tuple[int, bool, str, str] | None = None
        self._properties: Properties | None = None
        self._missing = 0
        self._parts: list[bytes] = []

    def publish(self, outgoing: Outgoing) -> None:
        """`basic.publish`, written at the end of this turn. Raises `ValueError` for what AMQP cannot carry,
        `FrameTooLarge` for too many headers, `ChannelWrongStateError`."""
        if not self.is_open:
            raise exceptions.ChannelWrongStateError("the channel is not open")
        largest = self._wire.largest_payload
        if type(outgoing) is Templated and 0 < len(outgoing.body) <= largest:
            stamp = self._stamps.get(outgoing.template) or self._stamp(outgoing.template)
            _check(stamp.size, largest)
            self._wire.cork(stamp.frames(outgoing.identity, outgoing.body))
            return
        key = (outgoing.exchange, outgoing.routing_key, outgoing.mandatory)
        method = self._methods.get(key)
        if method is None:
            if len(self._methods) >= KEPT_FRAMES:
                self._methods.clear()
            method = self._methods[key] = wire_frames.publish_method(
                self.channel_number, outgoing.exchange, outgoing.routing_key, mandatory=outgoing.mandatory
            )
        properties = encode_properties(outgoing.properties)
        _check(len(properties), largest)
        self._wire.cork(method, *wire_frames.content(self.channel_number, properties, outgoing.body, largest))

    def _stamp(self, template: Template) -> Stamp:
        if len(self._stamps) >= KEPT_FRAMES:
            self._stamps.clear()
        stamp = self._stamps[template] = Stamp(self.channel_number, template)
        return stamp

    def ack(self, tag: int, *, multiple: bool) -> None:
        """`basic.ack`, written at the end of this turn."""
        self._wire.cork(wire_frames.ack(self.channel_number, tag, multiple=multiple))

    def protected(self, callback: Callable[[], object]) -> Callable[[], None]:
        """`callback`, after a raise of which the connection is broken off, and comes back: nobody knows what was
        written of this turn."""
        return self._wire.guard.protected(callback, self._wire.abort)

    def fail(self, error: Exception) -> bool:
        """Whoever hears of what came raised: nobody knows what became of it, so all that the channel has goes back."""
        self._wire.guard.failed("what takes the messages of a channel", error)
        if self.is_open:
            self.close(reply_text="a message could not be taken")
        return True

    def take(self, kind: int, buffer: bytes, start: int, end: int) -> bool:
        """The payload of a frame for this channel; False when it is not one of ours but pika's."""
        if kind == FRAME_METHOD:
            method = buffer[start : start + 4]
            if method == DELIVER:
                self._delivered = self._deliveries.read(buffer, start + 4, end)
                return True
            if method == ACK and self.on_confirm is not None:
                self.on_confirm(*wire_frames.read_confirm(buffer, start + 4))
                return True
            return False
        if self._delivered is None:  # the content of something else: a returned message
            return False
        if kind == FRAME_HEADER:
            self._missing = HEADER_START.unpack_from(buffer, start)[2]
            self._properties = self._headers.decode(buffer[start + HEADER_START.size : end])
        elif kind == FRAME_BODY:
            self._parts.append(buffer[start:end])
            self._missing -= end - start
        if self._missing == 0:
            self._hand_over()
        return True

    def take_whole(self, buffer: bytes, start: int, end: int) -> int:
        """A message like an earlier one, in three frames, all here; the first is a `basic.deliver` from `start` to its
        end octet at `end`. Where the message ends; 0 when it is to be taken frame by frame."""
        if self.on_alike is None or len(buffer) < end + HEADER_AHEAD.size:
            return 0
        number, header = self.channel_number, end + HEADER_AHEAD.size
        size: int
        length: int
        end_octet, kind, channel, size, _, _, length = HEADER_AHEAD.unpack_from(buffer, end)
        header_end = header + size - HEADER_START.size
        if kind != FRAME_HEADER or channel != number or len(buffer) < header_end + BODY_AHEAD.size + length + 1:
            return 0
        header_octet, kind, channel, size = BODY_AHEAD.unpack_from(buffer, header_end)
        body_end = header_end + BODY_AHEAD.size + size
        if (
            kind != FRAME_BODY
            or channel != number
            or size != length
            or not end_octet == header_octet == buffer[body_end] == FRAME_END
        ):
            return 0
        recognised = self._headers.recognise(buffer[header:header_end])
        if recognised is None:
            return 0
        if self.is_open:
            delivered = self._deliveries.read(buffer, start + 4, end)
            self.on_alike(*delivered, *recognised, buffer[body_end - size : body_end])
        return body_end + 1

    def _hand_over(self) -> None:
        assert self._delivered is not None
        assert self._properties is not None
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        delivered, properties = self._delivered, self._properties
        self._delivered, self._properties, self._parts = None, None, []
        if self.on_delivery is not None and self.is_open:
            self.on_delivery(*delivered, properties, body)


class TolerantConnection(SelectConnection):
    """Decodes the content headers that it receives with `content_header.py`, to `ReceivedProperties`, and encodes the
    arguments of what it declares with `arguments.py`."""

    def _send_method(self, channel_number: int, method: Method, content: Any = None) -> None:
        super()._send_method(channel_number, with_arguments(method), content)

    @classmethod
    def create_connection(
        cls,
        connection_configs: Sequence[Parameters],
        on_done: Callable[[Any], None],
        custom_ioloop: Any = None,
        workflow: Any = None,
    ) -> Any:
        """See pika. A blocking connection makes its loop itself, and first hands it over here."""
        return super().create_connection(connection_configs, on_done, _with_our_timers(custom_ioloop), workflow)

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        """A connection that is closed before the broker has spoken ends with a class, where pika means its instance,
        and fails at its own assertion."""
        super()._on_connection_workflow_done(conn_or_exc() if isinstance(conn_or_exc, type) else conn_or_exc)

    def _read_frame(self) -> tuple[int, Frame | ProtocolHeader | None]:
        buffer = self._frame_buffer
        if len(buffer) < FRAME_START.size or buffer[0] != FRAME_HEADER:
            return super()._read_frame()
        size = FRAME_START.unpack_from(buffer)[2]
        end = FRAME_START.size + size
        if len(buffer) <= end or buffer[end] != FRAME_END:
            return super()._read_frame()  # not all of it is here, or it is broken
        return end + 1, _header(buffer, 0, end)


class Wire(TolerantConnection):
    """A connection that reads and writes the frames of the hot paths itself, and writes once a turn of its loop."""

    def __init__(
        self,
        parameters: ConnectionParameters,
        loop: Loop,
        *,
        on_open: Callable[[], None],
        on_closed: Callable[[BaseException], None],
    ) -> None:
        self._corked: list[bytes] = []
        self._received = b""
        self._loop = loop
        self.guard = loop.guard
        self._uncork_or_abort = loop.guard.protected(self._uncork, self.abort)
        opened = loop.guard.protected(on_open, self.abort)
        super().__init__(
            parameters,
            on_open_callback=lambda _wire: opened(),
            on_open_error_callback=loop.guard.wrapped(lambda _wire, error: on_closed(error)),
            on_close_callback=loop.guard.wrapped(lambda _wire, error: on_closed(error)),
            custom_ioloop=cast("Any", loop),  # as its adapter takes it: any `AbstractSelectorIOLoop`
        )

    @property
    def is_accepted(self) -> bool:
        """True once the TCP connection stands, whatever the other side says on it. Many tell it by silence."""
        return self._transport is not None or connector.is_beyond_tcp(self._connection_workflow)

    @property
    def has_no_socket(self) -> bool:
        """See `connector.has_no_socket`."""
        return self._transport is None and connector.has_no_socket(self._connection_workflow)

    @property
    def largest_payload(self) -> int:
        """Bytes that one frame can carry."""
        return self._body_max_length or INITIAL_FRAME  # None before the sizes are negotiated

    def cork(self, *frames: bytes) -> None:
        """Write these, whole frames in order, with all others of this turn."""
        if not self._corked:
            self._loop.call_later(0, self._uncork_or_abort)
        self._corked.extend(frames)
        self.frames_sent += 1  # for the heartbeat, which asks only whether anything was sent

    def abort(self) -> None:
        """Close the socket without a goodbye: the broker does not read one."""
        if self._transport is not None:
            self._terminate_stream(exceptions.StreamLostError("no answer to the goodbye"))

    def cut(self) -> None:
        """Shut the socket down, with no word to pika: its loop has ended."""
        sock = getattr(self._transport, "_sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _create_channel(self, channel_number: int, on_open_callback: Callable[[Channel], Any] | None) -> Channel:
        return WireChannel(self, channel_number, on_open_callback)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        largest = self.largest_payload + FRAME_OVERHEAD
        for frame in marshaled_frames:
            if len(frame) > largest:
                raise FrameTooLarge(f"a frame of {len(frame)} bytes, the limit is {largest}")
        self.cork(*marshaled_frames)

    def _uncork(self) -> None:
        frames, self._corked = self._corked, []
        if frames and self._transport is not None:
            data = b"".join(frames)
            self.bytes_sent += len(data)
            left = self._write_now(data)
            if left:
                self._adapter_emit_data(left)

    def _write_now(self, data: bytes) -> bytes:
        """What the socket did not take."""
        transport: Any = self._transport
        if type(transport) is not PlaintextTransport or transport._sock is None or transport.get_write_buffer_size():
            return data
        try:
            return data[transport._sock.send(data) :]
        except OSError:  # it is full, or broken: pika finds that out once more, and sees to it
            return data

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = READ
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        buffer = self._received + data_in if self._received else data_in
        self.bytes_received += len(data_in)
        position, available = 0, len(buffer)
        channels = cast("dict[int, WireChannel]", self._channels)
        while available - position >= FRAME_OVERHEAD:
            kind, number, size = FRAME_START.unpack_from(buffer, position)
            start = position + FRAME_START.size
            end = start + size
            if end >= available:
                break
            channel = channels.get(number) if buffer[end] == FRAME_END else None
            taken = False
            if channel is not None:
                try:
                    if kind == FRAME_METHOD and buffer[start : start + 4] == DELIVER:
                        after = channel.take_whole(buffer, start, end)
                        if after:
                            self.frames_received += MESSAGE_FRAMES
                            position = after
                            continue
                    taken = channel.take(kind, buffer, start, end)
                except Exception as error:
                    taken = channel.fail(error)
            if taken:
                self.frames_received += 1
            else:
                self._process_frame(
                    _header(buffer, position, end)
                    if kind == FRAME_HEADER
                    else cast("Frame", decode_frame(buffer[position : end + 1])[1])
                )
            position = end + 1
        self._received = buffer[position:]
        if self._received[:4] == b"AMQP":
            super()._on_data_available(self._received)


def _check(properties: int, largest: int) -> None:
    """Raises `FrameTooLarge` for more bytes of properties than a header frame may hold."""
    if properties + HEADER_START.size > largest:
        raise FrameTooLarge(f"{properties} bytes of headers, the limit is {largest - HEADER_START.size}")


def _header(buffer: bytes, position: int, end: int) -> Header:
    """The header frame from `position` to its end octet at `end`."""
    start, number = position + FRAME_START.size, FRAME_START.unpack_from(buffer, position)[1]
    size, properties = HEADER_START.unpack_from(buffer, start)[2], buffer[start + HEADER_START.size : end]
    return Header(number, size, ReceivedProperties(decode_properties(properties)))
