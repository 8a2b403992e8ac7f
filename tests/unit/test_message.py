"""Protocol 2 both ways; a message that is no task is a value, never an exception."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from unittest import mock
from uuid import UUID

import celery
import orjson
import pytest
from celery.worker.request import Request as CeleryRequest
from hypothesis import HealthCheck, given, settings, strategies as st
from kombu.message import Message
from kombu.utils import json as kombu_json

from amqptasks import serializers
from amqptasks.errors import ConfigurationError
from amqptasks.messages import compression
from amqptasks.messages.headers import RESERVED
from amqptasks.messages.ids import task_id
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed, decode, encode, task_name
from amqptasks.messages.request import Request

BODY = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


def properties(content_type: str | None = "application/json", **headers: object) -> Properties:
    return Properties(content_type=content_type, content_encoding="utf-8", headers={"task": "t", "id": "1", **headers})


def celery_message(**options: object) -> tuple[Properties, bytes]:
    """What a Celery producer publishes, as our link would hand it over."""
    app = celery.Celery(set_as_current=False, broker="memory://")
    message = app.amqp.as_task_v2("6fb0", "shop.send", **options)
    body = kombu_json.dumps(message.body).encode()
    return (
        Properties(
            content_type="application/json",
            content_encoding="utf-8",
            headers=message.headers,
            correlation_id=message.properties["correlation_id"],
            reply_to=message.properties["reply_to"],
        ),
        body,
    )


def test_a_plain_message_carries_two_headers_and_celerys_body() -> None:
    body, sent = encode(Request("shop.send", "6fb0", (1, "a"), {"b": None}))
    assert sent == Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"task": "shop.send", "id": "6fb0"},
        delivery_mode=2,
        correlation_id="6fb0",
    )
    assert orjson.loads(body) == [[1, "a"], {"b": None}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))]


def test_every_field_survives_the_way_there_and_back() -> None:
    request = Request(
        "shop.send", "6fb0", (1,), {"b": [2]}, retries=4, root_id="root", parent_id="parent", group="group",
        eta=datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC), expires=datetime(2031, 1, 1, tzinfo=UTC),
        time_limit=10.5, soft_time_limit=5, origin="me@here", argsrepr="(1,)", kwargsrepr="{}", shadow="other",
        ignore_result=True, reply_to="replies", correlation_id="c", priority=7, callbacks=[{"task": "x"}],
        errbacks=[{"task": "y"}], chain=[{"task": "z"}], chord={"task": "w"}, headers={"x-amqptasks-a": 1, "user": "u"},
    )  # fmt: skip
    body, sent = encode(request)
    assert decode(sent, body) == request


def test_everything_that_a_celery_producer_sends_is_understood() -> None:
    sent, body = celery_message(
        args=(1, datetime(2020, 1, 1, tzinfo=UTC), Decimal("1.50")),
        kwargs={"id": UUID(int=5), "raw": b"\xff", "when": date(2020, 1, 2)},
        countdown=60, expires=120, retries=2, time_limit=30, soft_time_limit=20, root_id="r", parent_id="p",
        group_id="g", group_index=3, reply_to="queue", shadow="s", ignore_result=False, chain=[{"task": "next"}],
        callbacks=[{"task": "ok"}], errbacks=[{"task": "bad"}], chord={"task": "body"},
    )  # fmt: skip
    request = decode(sent, body)
    assert isinstance(request, Request)
    assert request.args == (1, datetime(2020, 1, 1, tzinfo=UTC), Decimal("1.50"))
    assert request.kwargs == {"id": UUID(int=5), "raw": b"\xff", "when": date(2020, 1, 2)}
    assert request.eta is not None
    assert request.expires is not None
    assert request.expires - request.eta == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=1))
    assert (request.time_limit, request.soft_time_limit, request.retries) == (30, 20, 2)
    assert (request.root_id, request.parent_id, request.group) == ("r", "p", "g")
    assert (request.reply_to, request.correlation_id, request.shadow) == ("queue", "6fb0", "s")
    assert (request.chain, request.callbacks) == ([{"task": "next"}], [{"task": "ok"}])
    assert (request.errbacks, request.chord) == ([{"task": "bad"}], {"task": "body"})
    assert request.ignore_result is False
    assert request.headers["group_index"] == 3
    assert request.origin == sent.headers["origin"]


def test_a_celery_producers_plainest_message_is_understood() -> None:
    request = decode(*celery_message())
    assert isinstance(request, Request)
    assert (request.task, request.args, request.kwargs, request.reply_to) == ("shop.send", (), {}, None)
    assert (request.time_limit, request.soft_time_limit, request.eta, request.expires) == (None, None, None, None)


def test_a_celery_worker_reads_our_messages() -> None:
    app = celery.Celery(set_as_current=False, broker="memory://")

    @app.task(name="shop.send")
    def task(*_args: object, **_kwargs: object) -> None: ...

    eta = datetime(2030, 1, 2, tzinfo=UTC)
    arguments = (1, UUID(int=7), datetime(2020, 1, 1, tzinfo=UTC), 2**80, Decimal("0.1"))
    body, sent = encode(Request("shop.send", "6fb0", arguments, {"f": float("inf")}, retries=2, eta=eta, time_limit=9))
    message = Message(
        body=body,
        content_type=sent.content_type,
        content_encoding=sent.content_encoding,
        headers=sent.headers,
        properties={"correlation_id": sent.correlation_id},
        accept={"application/json"},
    )
    theirs = CeleryRequest(message, app=app, task=task, on_ack=mock.Mock())
    assert (theirs.id, theirs.name, tuple(theirs.args)) == ("6fb0", "shop.send", arguments)
    assert theirs.kwargs == {"f": float("inf")}
    assert theirs.eta == eta
    assert theirs.time_limits == [9, None]
    assert theirs.request_dict["retries"] == 2


@pytest.mark.parametrize("text", ["2030-01-02T03:04:05+00:00", "2030-01-02T03:04:05", "2030-01-02T03:04:05Z",
                                  "2030-01-02T05:04:05+02:00", datetime(2030, 1, 2, 3, 4, 5)])  # fmt: skip
def test_a_time_with_or_without_a_zone_is_the_same_moment_in_utc(text: object) -> None:
    request = decode(properties(eta=text, expires=text), BODY)
    assert isinstance(request, Request)
    assert request.eta == request.expires == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert request.eta.tzinfo is UTC


def test_empty_optional_headers_count_as_not_sent() -> None:
    names = RESERVED - {"task", "id"}
    assert decode(properties(**dict.fromkeys(names)), BODY) == decode(properties(), BODY)


@pytest.mark.parametrize(
    ("headers", "body", "reason", "words"),
    [
        ({}, b"\xff\xfe noise", "json", "no JSON"),
        ({}, b"", "json", "no JSON"),
        ({}, b"null", "body", "null"),
        ({}, b"{}", "body", "an object"),
        ({}, b"[]", "body", "a list"),
        ({}, b"[[], {}]", "body", "a list"),
        ({}, b"[{}, {}, {}]", "body", "args is an object"),
        ({}, b"[[], [], {}]", "body", "kwargs is a list"),
        ({}, b"[[], {}, 5]", "body", "a number"),
        ({}, b'[[], {}, {"callbacks": {}}]', "body", "callbacks"),
        ({}, b'[[], {}, {"chain": [1]}]', "body", "chain"),
        ({}, b'[[], {}, {"chord": []}]', "body", "chord"),
        ({}, b'[[{"__type__": "decimal", "__value__": []}], {}, {}]', "json", ""),
        ({}, b'[[{"__type__": "spaceship", "__value__": 1}], {}, {}]', "json", "spaceship"),
        ({}, b"[" * 1_000_000, "json", "nested"),
        ({"task": 5}, BODY, "header", "'task'"),
        ({"task": ""}, BODY, "header", "'task'"),
        ({"task": None}, BODY, "header", "'task'"),
        ({"id": 5}, BODY, "header", "'id'"),
        ({"id": ""}, BODY, "header", "'id'"),
        ({"id": "x" * 256}, BODY, "header", "'id'"),
        ({"id": None}, BODY, "header", "'id'"),
        ({"retries": "1"}, BODY, "header", "'retries'"),
        ({"retries": -1}, BODY, "header", "'retries'"),
        ({"retries": True}, BODY, "header", "'retries'"),
        ({"eta": "tomorrow"}, BODY, "header", "'eta'"),
        ({"eta": 5}, BODY, "header", "'eta'"),
        ({"expires": "0001-01-01T00:00:00+14:00"}, BODY, "header", "'expires'"),
        ({"timelimit": 5}, BODY, "header", "'timelimit'"),
        ({"timelimit": [1]}, BODY, "header", "'timelimit'"),
        ({"timelimit": ["1", None]}, BODY, "header", "'timelimit'"),
        ({"timelimit": [-1, None]}, BODY, "header", "'timelimit'"),
        ({"timelimit": [float("nan"), None]}, BODY, "header", "'timelimit'"),
        ({"ignore_result": "no"}, BODY, "header", "'ignore_result'"),
        ({"root_id": 1}, BODY, "header", "'root_id'"),
        ({"group": {}}, BODY, "header", "'group'"),
        ({"compression": "snappy"}, BODY, "compression", "snappy"),
        ({"compression": "gzip"}, BODY, "compression", "not gzip"),
        ({"compression": 5}, BODY, "compression", "5"),
        ({"compression": "gzip"}, zlib.compress(BODY)[:-5], "compression", "cut off"),
    ],
)
def test_a_malformed_message_is_a_value_with_a_reason(headers: dict, body: bytes, reason: str, words: str) -> None:
    malformed = decode(properties(**headers), body)
    assert isinstance(malformed, Malformed)
    assert malformed.reason == reason
    assert words in malformed.detail
    assert len(malformed.detail) < 300


@pytest.mark.parametrize("missing", ["task", "id"])
def test_a_message_without_its_two_headers_names_the_missing_one(missing: str) -> None:
    sent = properties()
    del sent.headers[missing]
    assert decode(sent, BODY) == Malformed("header", f"no header {missing!r}")
    assert decode(Properties(content_type="application/json"), BODY).detail == "no header 'task' and 'id'"


def test_protocol_1_is_named_as_what_it_is() -> None:
    body = celery.Celery(set_as_current=False).amqp.as_task_v1("1", "t").body
    malformed = decode(Properties(content_type="application/json", headers={}), json.dumps(body).encode())
    assert isinstance(malformed, Malformed)
    assert malformed.reason == "protocol"
    assert "task_protocol = 2" in malformed.detail


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/x-yaml", "text/plain"])
def test_other_content_types_are_refused_unread(content_type: str) -> None:
    malformed = decode(properties(content_type), BODY)
    assert isinstance(malformed, Malformed)
    assert malformed.reason == "content-type"
    assert content_type in malformed.detail
    assert "accept_content" in malformed.detail


def test_a_message_without_content_type_is_taken_as_json() -> None:
    assert isinstance(decode(properties(None), BODY), Request)


def test_another_content_encoding_is_refused() -> None:
    sent = properties()
    sent.content_encoding = "UTF-8"
    assert isinstance(decode(sent, BODY), Request)
    sent.content_encoding = "utf-16"
    assert decode(sent, BODY).reason == "content-encoding"


@pytest.mark.parametrize("name", ["application/x-gzip", "gzip", "zlib"])
@pytest.mark.parametrize("window", [zlib.MAX_WBITS, 16 + zlib.MAX_WBITS], ids=["zlib", "gzip"])
def test_a_compressed_body_is_read_and_its_header_taken_off(name: str, window: int) -> None:
    packer = zlib.compressobj(wbits=window)
    body = packer.compress(b'[[1], {}, {"chain": null}]') + packer.flush()
    request = decode(properties(compression=name), body)
    assert isinstance(request, Request)
    assert request.args == (1,)
    assert request.headers == {}


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LARGEST_BODY", 1000)
    malformed = decode(properties(compression="gzip"), zlib.compress(b" " * 1_000_000))
    assert isinstance(malformed, Malformed)
    assert malformed.detail == "the body has more than 1000 bytes"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.decimals(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
header_names = st.sampled_from(sorted(RESERVED)) | st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["__type__", "__value__", "task", "id", "chain", "callbacks"]) | st.text(),
            inner,
            max_size=3,
        )
        | st.fixed_dictionaries(
            {
                "__type__": st.sampled_from(["datetime", "date", "time", "decimal", "uuid", "bytes", "base64"]),
                "__value__": inner,
            }
        )
    ),
    max_leaves=8,
)
bodies = st.binary(max_size=200) | st.builds(lambda value: json.dumps(value).encode(), json_values)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    headers=st.none() | st.dictionaries(header_names, anything, max_size=6),
    base=st.booleans(),
    body=bodies | st.builds(lambda a, b, c: json.dumps([a, b, c]).encode(), json_values, json_values, json_values),
    content_type=st.none() | st.just("application/json") | st.text(max_size=20),
    encoding=st.none() | st.just("utf-8") | st.text(max_size=10),
)
def test_decoding_never_raises_whatever_comes(
    headers: dict | None, base: bool, body: bytes, content_type: str | None, encoding: str | None
) -> None:
    if base:
        headers = {"task": "t", "id": "1", **(headers or {})}
    sent = Properties(content_type=content_type, content_encoding=encoding, headers=headers)
    outcome = decode(sent, body)
    assert isinstance(outcome, Request | Malformed)
    if isinstance(outcome, Request):
        assert type(outcome.retries) is int
        assert type(outcome.args) is tuple
        assert type(outcome.kwargs) is dict
        assert task_name(sent.headers) == outcome.task


def test_a_mebibyte_of_noise_is_one_malformed_message() -> None:
    noise = bytes(range(256)) * 4096
    assert isinstance(decode(properties(), noise), Malformed)
    assert isinstance(decode(Properties(), noise), Malformed)


json_arguments = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.uuids() | st.binary()
    | st.datetimes() | st.dates() | st.times() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text().filter(lambda key: not key.startswith("__")), inner, max_size=4
    ),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(args=st.lists(json_arguments, max_size=3), kwargs=st.dictionaries(st.text(), json_arguments, max_size=3))
def test_arguments_arrive_as_what_they_were_here_and_at_celery(args: list, kwargs: dict) -> None:
    body, sent = encode(Request("t", "1", tuple(args), kwargs))
    request = decode(sent, body)
    assert isinstance(request, Request)
    assert (list(request.args), request.kwargs) == (args, kwargs)
    assert [type(value) for value in request.args] == [type(value) for value in args]
    theirs = kombu_json.loads(body)
    assert theirs[:2] == [args, kwargs]


@pytest.mark.parametrize("value", [2**63, -(2**63), 2**64, -(2**63) - 1, 10**30, 0, 1.5, 1e300, 123456789012345678])
def test_numbers_keep_every_digit(value: float) -> None:
    assert serializers.json.decode(serializers.json.encode(value)) == value
    assert serializers.json.decode(json.dumps([value]).encode()) == [value]


def test_nan_stays_nan_however_deep() -> None:
    (row,) = serializers.json.decode(serializers.json.encode([{"a": (float("nan"), float("-inf"))}]))
    assert row["a"][0] != row["a"][0]
    assert row["a"][1] == float("-inf")


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((1, object()), {}, "argument 2"),
        ((), {"who": {1, 2}}, "argument 'who'"),
        (([{"a": object()}],), {}, "argument 1"),
        (({b"key": 1},), {}, "argument 1"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named(args: tuple, kwargs: dict, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{named} of task 'shop.send'"):
        encode(Request("shop.send", "1", args, kwargs))


@pytest.mark.parametrize("name", ["task", "retries", "timelimit", "compression"])
def test_a_header_of_the_users_cannot_pass_for_one_of_the_protocols(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"header '{name}' of task 't'"):
        encode(Request("t", "1", headers={"mine": 1, name: "x"}))


def test_an_argument_that_contains_itself_is_named() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ConfigurationError, match="argument 1"):
        encode(Request("t", "1", (loop,)))


def test_the_task_name_is_read_without_the_body() -> None:
    assert task_name(properties().headers) == "t"
    assert task_name(Properties().headers) is None
    assert task_name({"task": 5}) is None


def test_a_time_in_another_zone_is_sent_so_that_it_can_be_read_back() -> None:
    eta = datetime(2030, 1, 2, 5, tzinfo=timezone(timedelta(hours=2)))
    body, sent = encode(Request("t", "1", eta=eta))
    assert decode(sent, body).eta == eta


def test_ids_are_uuids_of_version_7_with_the_time_in_front() -> None:
    before = datetime.now(UTC)
    made = UUID(task_id())
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    moment = datetime.fromtimestamp((made.int >> 80) / 1000, UTC)
    assert abs(moment - before) < timedelta(seconds=5)
