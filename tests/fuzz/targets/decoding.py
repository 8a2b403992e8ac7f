"""Bytes of a content header and a body, to a request, a reply and a dead letter."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from amqptasks.amqp.wire.content_header import decode_properties
from amqptasks.amqp.wire.tables import encode_properties
from amqptasks.dead_letters import dead_letter
from amqptasks.messages.codec import Codec
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request
from amqptasks.results import reply
from tests.fuzz import values
from tests.fuzz.target import Target

KEYS = {"one": "k" * 32}

#: Every reader that there is: JSON alone; everything but pickle; signed.
CODECS = (
    Codec(),
    Codec(accept_content=("json", "yaml", "msgpack"), largest_body=1_000_000),
    Codec(signing=KEYS),
)

_EMBEDDED = values.likely(
    {
        "task": st.just("shop.work"),
        "args": st.just([1]),
        "kwargs": st.just({}),
        "options": values.likely({"queue": st.just("emails"), "countdown": st.just(5), "chain": st.just([])}),
        "subtask_type": st.none(),
        "immutable": st.booleans(),
    }
)
EMBED = values.likely(
    {
        "callbacks": st.lists(_EMBEDDED, max_size=2),
        "errbacks": st.lists(_EMBEDDED, max_size=2),
        "chain": st.lists(_EMBEDDED, max_size=2),
        "chord": st.none(),
    }
)
BODY = values.bodies(
    st.tuples(st.lists(values.JSON, max_size=2), st.dictionaries(st.just("a"), values.JSON), EMBED).map(list)
)
IDS = st.just("0199a1b2-0000-7000-8000-000000000000")
HEADERS = values.likely(
    {
        "task": st.just("shop.work"),
        "id": IDS,
        "lang": st.just("py"),
        "root_id": IDS,
        "parent_id": IDS,
        "group": st.none(),
        "retries": st.integers(0, 3),
        "eta": st.sampled_from(("2026-11-30T12:00:00+00:00", "2026-11-30T12:00:00.5", "tomorrow")),
        "expires": st.sampled_from(("9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00")),
        "timelimit": st.lists(st.none() | st.integers(0, 60), min_size=2, max_size=2),
        "argsrepr": st.just("(1,)"),
        "origin": st.just("gen1@host"),
        "compression": st.sampled_from(("application/x-gzip", "zlib", "zstd", "application/zstd")),
        "stamps": values.JSON,
        "x-death": values.likely({"time": values.FIELDS}).map(lambda one: [one]),
        "x-amqptasks-first-time": st.just(1e9),
        "x-amqptasks-deliveries": st.integers(0, 30),
        "x-delivery-count": st.integers(0, 30),
        "x-acquired-count": st.integers(0, 30),
        "x-amqptasks-reason": st.just("failed"),
        "x-amqptasks-to": st.just("amqptasks.queues"),
        "x-amqptasks-signature": st.just("one:" + "0" * 64),
    },
    odd=values.NESTED_FIELDS,
)
PROPERTIES = values.likely(
    {
        "content_type": st.sampled_from(("application/json", "application/x-yaml", "application/x-msgpack", "text/x")),
        "content_encoding": st.sampled_from(("utf-8", "binary", "latin-1", "nonsense")),
        "correlation_id": IDS,
        "reply_to": st.just("amq.rabbitmq.reply-to"),
        "expiration": st.just("1000"),
        "message_id": IDS,
        "timestamp": st.sampled_from((0, 2**63, 1764500000)),
        "type": st.just("t"),
        "app_id": st.just("a"),
    },
    odd=values.TEXTS | values.NUMBERS,
)

_FLIPS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)).map(list), max_size=3)


def check(example: dict[str, Any]) -> None:
    header = _header(example)
    if header is None:
        return
    try:
        properties = decode_properties(header)
    except ValueError:
        return  # no broker sends such bytes, and what reads frames says so
    given = example["body"]
    for codec in CODECS:
        _is_request(codec.decode(properties, given))
        _is_request(codec.decode_unverified(properties, given))
        said = reply.parse(given, properties, codec.reader)
        assert isinstance(said.status, str)
        assert said.exception is None or isinstance(said.exception, Exception)
        dead = dead_letter.read(values.delivery(given, properties.headers), codec)
        assert isinstance(dead.reason, str)


def _header(example: dict[str, Any]) -> bytes | None:
    """The bytes, some of them changed; None for values that AMQP cannot carry, which are refused in words."""
    if isinstance(example["properties"], bytes):
        return example["properties"]
    try:
        header = bytearray(encode_properties(Properties(headers=example["headers"], **example["properties"])))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None  # nobody can send it
    for place, octet in example["flips"]:
        if place < len(header):
            header[place] = octet
    return bytes(header)


def _is_request(found: Request | Malformed) -> None:
    """Each field is what the rest of a worker takes it for."""
    if isinstance(found, Malformed):
        assert isinstance(found.reason, str)
        assert isinstance(found.detail, str)
        return
    assert isinstance(found.task, str)
    assert isinstance(found.id, str)
    assert isinstance(found.args, list | tuple)
    assert isinstance(found.kwargs, dict)
    assert isinstance(found.retries, int)
    assert found.retries >= 0
    for one in fields(found):
        getattr(found, one.name)


TARGET = Target(
    "decoding",
    st.one_of(
        st.fixed_dictionaries({"properties": PROPERTIES, "headers": HEADERS, "flips": _FLIPS, "body": BODY}),
        st.fixed_dictionaries(
            {"properties": st.binary(max_size=60), "headers": HEADERS, "flips": _FLIPS, "body": BODY}
        ),
    ),
    check,
    changed=("body", "headers", "properties"),
    mixed=("flips",),
)
