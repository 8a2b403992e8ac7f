"""What we lean on in pika beyond its documented interface: fails when a release changes it, and says what to look at.

Each name here is used in `amqp/wire/pika_internals.py`, `amqp/blocking/blocking_connection.py` or
`messages/properties.py`.
"""

from __future__ import annotations

import inspect
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from freezegun import freeze_time
from pika import BlockingConnection, ConnectionParameters, SelectConnection, spec
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.connection_workflow import AMQPConnector
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport as PlaintextTransport
from pika.callback import CallbackManager
from pika.channel import Channel
from pika.connection import Connection
from pika.frame import Body, Header, Method, decode_frame

import amqptasks
from amqptasks.amqp.blocking.blocking_connection import BoundedConnection
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire import connector, wire_frames
from amqptasks.amqp.wire.pika_internals import (
    FrameTooLarge,
    TolerantConnection,
    Wire,
    WireChannel,
    watched_descriptors,
)
from amqptasks.amqp.wire.tables import encode_properties
from amqptasks.messages.outgoing import Outgoing, Template, Templated
from amqptasks.messages.properties import REPLY_TO, Properties
from amqptasks.runtime.clock.timers import Timers


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (Connection, "_on_data_available", ["self", "data_in"]),
        (Connection, "_process_frame", ["self", "frame_value"]),
        (Connection, "_read_frame", ["self"]),
        (Connection, "_output_marshaled_frames", ["self", "marshaled_frames"]),
        (Connection, "_create_channel", ["self", "channel_number", "on_open_callback"]),
        (Connection, "_send_method", ["self", "channel_number", "method", "content"]),
        (SelectConnection, "_adapter_emit_data", ["self", "data"]),
        (SelectConnection, "_proto_connection_made", ["self", "transport"]),
        (PlaintextTransport, "get_write_buffer_size", ["self"]),
        (Channel, "__init__", ["self", "connection", "channel_number", "on_open_callback"]),
        (BlockingConnection, "_flush_output", ["self", "waiters"]),
        (BlockingConnection, "_cleanup", ["self"]),
        (BlockingChannel, "_flush_output", ["self", "waiters"]),
        (Channel, "_send_method", ["self", "method", "content"]),
        (CallbackManager, "add", ["self", "prefix", "key", "callback", "one_shot", "only_caller", "arguments"]),
        (CallbackManager, "remove", ["self", "prefix", "key", "callback_value", "arguments"]),
        (BlockingConnection, "__init__", ["self", "parameters", "_impl_class"]),
        (SelectConnection, "_on_connection_workflow_done", ["self", "conn_or_exc"]),
    ],
)
def test_a_method_that_we_override_or_call_is_as_we_know_it(owner: type, name: str, parameters: list[str]) -> None:
    method = getattr(owner, name, None)
    assert method is not None, f"pika {pika.__version__} has no {owner.__name__}.{name} any more"
    assert list(inspect.signature(method).parameters) == parameters


def test_what_we_override_is_called_by_pika() -> None:
    """An override that nobody calls any more would be silently without effect."""
    connection = inspect.getsource(Connection)
    for call in ("self._output_marshaled_frames(", "self._create_channel(", "self._read_frame()"):
        assert call in connection, call
    blocking = inspect.getsource(BlockingConnection) + inspect.getsource(
        inspect.getmodule(BlockingConnection).BlockingChannel  # type: ignore[union-attr]
    )
    assert "_flush_output(" in blocking
    assert "self.connection._flush_output(" in blocking or "connection._flush_output(" in blocking


def test_what_is_below_pikas_blocking_side_is_where_we_look() -> None:
    """`server_properties` and `channel_below` read an attribute; tests on a broker see that it is the right one."""
    module = inspect.getmodule(BlockingConnection)
    assert module is not None
    source = inspect.getsource(module)
    assert source.count("self._impl = ") == len((BlockingConnection, "BlockingChannel"))
    assert "self._impl = channel_impl" in source


def test_nothing_else_looks_below_pikas_blocking_side() -> None:
    package = Path(amqptasks.__file__).parent
    users = {path.name for path in package.rglob("*.py") if "._impl" in path.read_text()}
    assert users == {"blocking_connection.py"}


def test_pikas_loop_asks_the_timers_that_a_blocking_connection_puts_in_place_of_its_own() -> None:
    source = inspect.getsource(inspect.getmodule(IOLoop))  # type: ignore[arg-type]
    asked = set(re.findall(r"self\._timer\.(\w+)\(", source))
    assert asked == {"call_later", "remove_timeout", "get_remaining_interval", "process_timeouts", "close"}
    assert all(hasattr(Timers, name) for name in asked)
    assert list(inspect.signature(SelectConnection.create_connection).parameters) == list(
        inspect.signature(TolerantConnection.create_connection).parameters
    )


def test_the_timers_of_a_links_loop_come_while_freezegun_has_frozen_the_clock() -> None:
    loop, came = Loop(), []
    with freeze_time("2001-01-01"):
        loop.call_later(0.01, lambda: came.append(1))
        loop.call_later(0.02, loop.stop)
        loop.start()
    assert came == [1]
    loop.close()


def test_watched_descriptors_are_all_that_the_loop_of_a_blocking_connection_watches() -> None:
    loop = IOLoop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_handler(ours.fileno(), lambda *_: None, IOLoop.READ)
        assert ours.fileno() in watched_descriptors(loop)
        loop.remove_handler(ours.fileno())
        assert ours.fileno() not in watched_descriptors(loop)
    loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class Sink:
    """In place of the transport."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


@pytest.fixture
def wire(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection that stands, as far as pika knows, with one open channel; what it writes is in `wire.sink`."""
    monkeypatch.setattr(Connection, "connect", lambda self: None, raising=False)
    monkeypatch.setattr(SelectConnection, "_adapter_connect_stream", lambda self: None)
    made: Any = Wire(ConnectionParameters(), loop, on_open=lambda: None, on_closed=lambda _error: None)
    for attribute in ("_frame_buffer", "_channels", "_transport", "_body_max_length", "bytes_received", "frames_sent"):
        assert hasattr(made, attribute), attribute
    made._body_max_length = 100
    made._transport = made.sink = Sink()
    made.connection_state = Connection.CONNECTION_OPEN
    channel = made._create_channel(1, lambda _channel: None)
    assert isinstance(channel, WireChannel)
    channel._set_state(Channel.OPEN)
    made._channels[1] = made.first = channel
    return made


def turn(loop: Loop) -> None:
    loop.run_due()
    loop.run_due()


def frames(data: bytes) -> list[Any]:
    """As pika reads them."""
    found = []
    while data:
        size, frame = decode_frame(data)
        assert frame is not None, data
        found.append(frame)
        data = data[size:]
    return found


def test_what_the_socket_takes_is_written_at_once_and_pika_gets_the_rest(wire: Any, loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    wanted: list[int] = []
    services = SimpleNamespace(set_reader=lambda *_: None, set_writer=lambda descriptor, _: wanted.append(descriptor))
    with ours, theirs:
        wire._transport = PlaintextTransport(ours, wire, services)  # type: ignore[arg-type]
        assert PlaintextTransport._MAX_RECV_BYTES, "the name of pika's limit, which ours stands for"
        wire.cork(b"frames", b" of a turn")
        turn(loop)
        assert theirs.recv(100) == b"frames of a turn"
        assert not wanted, "nothing was left to wait for"
        large = bytes(range(256)) * 40_000
        wire.cork(large, b"the end")
        turn(loop)
        wire.cork(b", and more")
        turn(loop)
        assert wanted == [ours.fileno()], "pika waits until the socket takes the rest"
        left = b"".join(wire._transport._tx_buffers)
        sent = theirs.recv(len(large))
        while len(sent) + len(left) < len(large) + len(b"the end, and more"):
            sent += theirs.recv(len(large))
        assert sent + left == large + b"the end, and more"


def test_a_publish_is_what_pika_would_have_written(wire: Any, loop: Loop) -> None:
    properties = Properties(content_type="application/json", headers={"n": 1}, correlation_id="c")
    body = bytes(range(256))
    wire.first.publish(Outgoing("tasks", "email.send", body, properties))
    turn(loop)
    assert len(wire.sink.writes) == 1, "one write a turn"
    method, header, *bodies = frames(wire.sink.writes[0])
    assert isinstance(method, Method)
    assert isinstance(method.method, spec.Basic.Publish)
    assert (method.channel_number, method.method.exchange, method.method.routing_key, method.method.mandatory) == (
        1,
        "tasks",
        "email.send",
        True,
    )
    assert isinstance(header, Header)
    assert header.body_size == len(body)
    assert header.properties.headers == {"n": 1}
    assert all(isinstance(one, Body) for one in bodies)
    assert [len(one.fragment) for one in bodies] == [100, 100, 56]
    assert b"".join(one.fragment for one in bodies) == body


def test_an_empty_body_has_no_body_frame(wire: Any, loop: Loop) -> None:
    wire.first.publish(Outgoing("", "q", b"", Properties()))
    turn(loop)
    assert [type(frame) for frame in frames(wire.sink.writes[0])] == [Method, Header]


@pytest.mark.parametrize("multiple", [True, False])
def test_an_ack_is_what_pika_would_have_written(wire: Any, loop: Loop, multiple: bool) -> None:
    wire.first.ack(2**40 + 7, multiple=multiple)
    turn(loop)
    expected = Method(1, spec.Basic.Ack(2**40 + 7, multiple)).marshal()
    assert wire.sink.writes == [expected]


def test_all_of_one_turn_is_one_write_in_order(wire: Any, loop: Loop) -> None:
    wire.first.ack(1, multiple=False)
    wire.first.basic_nack(2)
    wire.first.publish(Outgoing("", "q", b"x", Properties()))
    turn(loop)
    kinds = [type(frame.method) for frame in frames(wire.sink.writes[0]) if isinstance(frame, Method)]
    assert kinds == [spec.Basic.Ack, spec.Basic.Nack, spec.Basic.Publish]
    assert len(wire.sink.writes) == 1


def test_headers_too_large_for_a_frame_are_refused_and_nothing_is_written(wire: Any, loop: Loop) -> None:
    with pytest.raises(FrameTooLarge):
        wire.first.publish(Outgoing("", "q", b"x", Properties(headers={"large": "x" * 200})))
    turn(loop)
    assert wire.sink.writes == []


def delivery_frames(tag: int, body: bytes, size: int) -> bytes:
    """As pika, in the broker's place, would write them."""
    method = spec.Basic.Deliver("consumer", tag, True, "tasks", "email.send")
    data = Method(1, method).marshal() + Header(1, len(body), pika.BasicProperties(headers={"n": tag})).marshal()
    for start in range(0, len(body), size):
        data += Body(1, body[start : start + size]).marshal()
    return data


@pytest.mark.parametrize("piece", [1, 7, 64, 100_000])
def test_deliveries_are_read_however_the_bytes_come(wire: Any, piece: int) -> None:
    """Also after a cancel, where pika itself would reject them."""
    got: list[Any] = []
    wire.first.on_delivery = lambda *delivered: got.append(delivered)
    data = b"".join(delivery_frames(tag, b"b" * (tag * 50), 100) for tag in range(5))
    for start in range(0, len(data), piece):
        wire._on_data_available(data[start : start + piece])
    assert [(tag, redelivered, exchange, key, len(body)) for tag, redelivered, exchange, key, _, body in got] == [
        (tag, True, "tasks", "email.send", tag * 50) for tag in range(5)
    ]
    assert [properties.headers for *_, properties, _ in got] == [{"n": tag} for tag in range(5)]
    assert wire.bytes_received == len(data), "what pika's heartbeat looks at"


def test_confirms_are_read_and_nacks_are_left_to_pika(wire: Any) -> None:
    got: list[Any] = []
    left: list[Any] = []
    wire.first.on_confirm = lambda tag, multiple: got.append((tag, multiple))
    wire._process_frame = left.append
    acks = Method(1, spec.Basic.Ack(7, True)).marshal() + Method(1, spec.Basic.Ack(8, False)).marshal()
    wire._on_data_available(acks + Method(1, spec.Basic.Nack(9, False)).marshal())
    assert got == [(7, True), (8, False)]
    assert [type(frame.method) for frame in left] == [spec.Basic.Nack]


@pytest.mark.parametrize("kind", [Wire, TolerantConnection])
def test_a_header_that_pika_cannot_read_is_read(kind: type, wire: Any) -> None:
    fields = b"\x01nT" + struct.pack(">Q", 1_763_838_000_000)
    payload = wire_frames.HEADER_START.pack(60, 0, 5) + b"\x20\x00" + struct.pack(">I", len(fields)) + fields
    data = wire_frames.FRAME_START.pack(spec.FRAME_HEADER, 1, len(payload)) + payload + bytes([spec.FRAME_END])
    with pytest.raises(ValueError, match="year"):
        decode_frame(data)
    wire._frame_buffer = data
    size, frame = kind._read_frame(wire)  # type: ignore[attr-defined]
    assert size == len(data)
    assert (frame.channel_number, frame.body_size, frame.properties.ours.headers) == (1, 5, {"n": 1_763_838_000_000})
    wire._frame_buffer = data[:-1]
    assert kind._read_frame(wire) == (0, None), "not all of it is here"  # type: ignore[attr-defined]


def test_blocking_connections_read_tolerantly_too() -> None:
    assert issubclass(BoundedConnection, BlockingConnection)
    made: list[Any] = []

    def create(self: Any, parameters: Any, kind: Callable[..., Any]) -> Any:
        made.append(kind)
        raise InterruptedError

    original = BlockingConnection._create_connection
    BlockingConnection._create_connection = create  # type: ignore[method-assign,assignment]
    try:
        with pytest.raises(InterruptedError):
            BoundedConnection(ConnectionParameters())
    finally:
        BlockingConnection._create_connection = original  # type: ignore[method-assign]
    assert made == [TolerantConnection]


def test_encoded_properties_are_those_of_pika() -> None:
    ours = encode_properties(Properties(content_type="a/b", headers={"n": 1}, priority=3, correlation_id="c"))
    theirs = pika.BasicProperties(content_type="a/b", headers={"n": 1}, priority=3, correlation_id="c", delivery_mode=2)
    assert ours == b"".join(theirs.encode())


IDENTITIES = ["01a20539-3176-73c1-95de-8ad0177657c8", "01a20539-3176-73c1-95de-8ad0ffb6def9"]


@pytest.mark.parametrize("body", [b"", b"[]", bytes(100), bytes(101), bytes(500)], ids=len)
@pytest.mark.parametrize("mandatory", [True, False])
def test_a_message_of_a_template_is_written_as_any_other(
    wire: Any, loop: Loop, body: bytes, mandatory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_body_max_length", 250)
    properties = Properties(
        content_type="application/json",
        headers={"task": "shop.send", "id": "x", "timelimit": [None, 2.5], "häufig": "ü"},
        priority=7,
        correlation_id="x",
        reply_to=REPLY_TO,
    )
    template = Template("tasks", "email.send", properties, mandatory)
    for identity in IDENTITIES:
        wire.first.publish(Templated(template, identity, body))
        wire.first.publish(Outgoing("tasks", "email.send", body, template.properties.identified(identity), mandatory))
    turn(loop)
    written = [marshalled(frame) for frame in frames(wire.sink.writes[0])]
    half = len(written) // 4
    assert written[:half] == written[half : 2 * half]
    assert written[2 * half : 3 * half] == written[3 * half :]
    assert written[:half] != written[2 * half : 3 * half], "each has its own id"


def marshalled(frame: Any) -> bytes:
    """What tells two frames apart."""
    if isinstance(frame, Header):
        return repr((frame.channel_number, frame.body_size, vars(frame.properties))).encode()
    if isinstance(frame, Body):
        return frame.fragment
    return repr((frame.channel_number, vars(frame.method))).encode()


def test_headers_of_a_template_that_are_too_large_are_refused_before_anything_is_written(wire: Any, loop: Loop) -> None:
    template = Template("tasks", "k", Properties(headers={"id": "x", "long": "l" * 100}, correlation_id="x"))
    with pytest.raises(FrameTooLarge, match="bytes of headers"):
        wire.first.publish(Templated(template, IDENTITIES[0], b"[]"))
    turn(loop)
    assert wire.sink.writes == []


def test_pikas_connector_has_a_state_and_no_socket_at_first() -> None:
    """`amqp/wire/connector.py` leans on it."""
    made = AMQPConnector(lambda _parameters: None, SimpleNamespace())  # type: ignore[arg-type, return-value]
    assert (made._state, made._sock) == (AMQPConnector._STATE_INIT, None)
    assert len({AMQPConnector._STATE_INIT, AMQPConnector._STATE_TCP, *connector.BEYOND_TCP}) == 4
    assert not connector.has_no_socket(SimpleNamespace(_connector=made))
    made._state = AMQPConnector._STATE_TCP
    assert connector.has_no_socket(SimpleNamespace(_connector=made))
