"""Every serializer speaks Celery's form of itself, and reads what others send without ever raising past its door."""

from __future__ import annotations

import os
import pickle
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st
from kombu import serialization

from amqptasks import App, serializers
from amqptasks.errors import ConfigurationError, WorkerStopping
from amqptasks.messages.codec import Codec
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request
from amqptasks.results import reply
from amqptasks.serializers import Undecodable, json, yaml as yaml_kind

ALL = ("json", "msgpack", "yaml", "pickle")
WORKFLOW = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))


def codec(*names: str, **options: object) -> Codec:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Codec(serializer=names[0], accept_content=names, **options)


def sent_by_kombu(name: str, body: object) -> tuple[Properties, bytes]:
    content_type, encoding, data = serialization.dumps(body, name)
    data = data.encode() if isinstance(data, str) else data
    return Properties(content_type=content_type, content_encoding=encoding, headers={"task": "t", "id": "1"}), data


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, width=64) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=60, deadline=None)
@given(args=st.lists(plain, max_size=3), kwargs=st.dictionaries(st.text(max_size=5), plain, max_size=3))
def test_plain_data_arrives_here_and_at_celery(name: str, args: list, kwargs: dict) -> None:
    chosen = codec(name)
    body, properties = chosen.encode(Request("t", "1", tuple(args), kwargs))
    request = chosen.decode(properties, body)
    assert isinstance(request, Request), request
    assert (list(request.args), request.kwargs) == (args, kwargs)
    theirs = serialization.loads(
        body, properties.content_type, properties.content_encoding, accept={properties.content_type}
    )
    assert [list(theirs[0]), *theirs[1:]] == [args, kwargs, WORKFLOW]


@pytest.mark.parametrize("name", ALL)
def test_what_celery_sends_is_read(name: str) -> None:
    arguments = [1, "a", {"b": [1.5, None]}]
    request = codec(name).decode(*sent_by_kombu(name, (arguments, {"c": 2}, {**WORKFLOW, "chain": [{"task": "n"}]})))
    assert isinstance(request, Request)
    assert (list(request.args), request.kwargs, request.chain) == (arguments, {"c": 2}, [{"task": "n"}])


@pytest.mark.parametrize("name", ["msgpack", "yaml", "pickle"])
def test_a_content_type_that_is_not_accepted_is_refused_unread(name: str) -> None:
    refused = Codec().decode(*sent_by_kombu(name, ([], {}, WORKFLOW)))
    assert isinstance(refused, Malformed)
    assert refused.reason == "content-type"
    assert serializers.find(name).content_type in refused.detail


def test_json_can_be_left_out_of_accept_content() -> None:
    body, properties = Codec().encode(Request("t", "1"))
    assert codec("msgpack").decode(properties, body).reason == "content-type"
    properties.content_type = None
    assert codec("msgpack").decode(properties, body).reason == "content-type"


def test_a_pickle_that_runs_code_is_not_even_opened_by_default() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os._exit, (99,)

    properties = Properties(content_type="application/x-python-serialize", headers={"task": "t", "id": "1"})
    assert Codec().decode(properties, pickle.dumps(Bomb())).reason == "content-type"
    assert Codec().decode_unverified(properties, pickle.dumps(Bomb())).reason == "content-type"


def test_accepting_pickle_is_warned_about_where_the_app_is_made() -> None:
    with pytest.warns(UserWarning, match="can run any code") as caught:
        App("picklish", "memory://", accept_content=["json", "pickle"])
    assert caught[0].filename == __file__


def test_a_pickle_that_raises_or_exits_is_a_malformed_message() -> None:
    class Exits:
        def __reduce__(self) -> tuple[object, ...]:
            return exit, (3,)

    refused = codec("pickle").decode(
        Properties(content_type="application/x-python-serialize", headers={"task": "t", "id": "1"}),
        pickle.dumps(Exits()),
    )
    assert isinstance(refused, Malformed)
    assert refused.reason == "undecodable"


@pytest.mark.parametrize(
    ("name", "value"),
    [("msgpack", datetime.now(UTC)), ("msgpack", Decimal(1)), ("msgpack", 2**64), ("yaml", object()),
     ("yaml", UUID(int=1)), ("pickle", lambda: 0)],
)  # fmt: skip
def test_what_cannot_be_sent_is_named_at_the_caller(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match="argument 2 of task 't'"):
        codec(name).encode(Request("t", "1", (1, value)))


def test_msgpack_keeps_bytes_and_numbers_as_keys() -> None:
    chosen = codec("msgpack")
    body, properties = chosen.encode(Request("t", "1", (b"\xff\x00", {1: "a"})))
    assert chosen.decode(properties, body).args == (b"\xff\x00", {1: "a"})


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60))
def test_noise_never_raises_past_the_door(name: str, data: bytes) -> None:
    if name == "pickle":  # random opcodes could do anything; that is why nobody else gets to send them
        data = b"(" + data.translate(None, b"Rciobt\x81\x92\x93\x82\x83\x84PQ")
    serializer = serializers.find(name)
    properties = Properties(content_type=serializer.content_type, headers={"task": "t", "id": "1"})
    assert isinstance(codec(name).decode(properties, data), Request | Malformed)


@pytest.mark.parametrize("name", ["json", "msgpack", "yaml"])
def test_what_is_nested_too_deeply_is_malformed_and_nothing_crashes(name: str) -> None:
    data = b"\x91" * 100_000 if name == "msgpack" else b"[" * 20_000
    with pytest.raises(Undecodable):
        serializers.find(name).decode(data)


def test_yaml_whose_aliases_stand_for_billions_is_refused() -> None:
    laughs = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(Undecodable, match="aliases stand for more than"):
        serializers.find("yaml").decode("\n".join(laughs).encode())
    with pytest.raises(Undecodable, match="contains itself"):
        serializers.find("yaml").decode(b"&a [*a]")
    assert serializers.find("yaml").decode(b"[&a [1], *a]") == [[1], [1]]


def test_yaml_makes_no_objects() -> None:
    with pytest.raises(Undecodable, match="constructor"):
        serializers.find("yaml").decode(b"!!python/object/apply:os.system ['true']")


def test_yaml_writes_a_value_twice_rather_than_an_alias() -> None:
    twice = [1]
    assert b"&" not in serializers.find("yaml").encode([twice, twice])
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        yaml_kind.encode(loop)


def test_a_serializer_of_ones_own_is_used_by_name_and_refused_where_it_is_not_accepted() -> None:
    serializers.register("rot13", lambda value: json.encode(value)[::-1], lambda data: json.decode(data[::-1]), "x/rot")
    chosen = Codec(serializer="rot13", accept_content=["json", "rot13"])
    body, properties = chosen.encode(Request("t", "1", (5,)))
    assert (properties.content_type, properties.content_encoding) == ("x/rot", "utf-8")
    assert chosen.decode(properties, body).args == (5,)
    assert Codec().decode(properties, body).reason == "content-type"
    with pytest.raises(ConfigurationError, match="not in accept_content"):
        Codec(serializer="rot13")
    with pytest.raises(ConfigurationError, match="not in accept_content"):
        Codec().encode(Request("t", "1"), "rot13")


def test_what_interrupts_a_task_while_its_result_is_written_is_not_taken_for_the_serializers() -> None:
    def interrupted(_value: object) -> str:
        raise WorkerStopping

    kind = serializers.Serializer("slow", interrupted, json.decode, "x/slow")
    with pytest.raises(WorkerStopping):
        kind.encode(5)


def test_a_name_or_content_type_that_is_taken_cannot_be_registered() -> None:
    with pytest.raises(ConfigurationError, match="'json'"):
        serializers.register("json", str, str, "x/other")
    with pytest.raises(ConfigurationError, match="'json'"):
        serializers.register("mine", str, str, "application/json")
    with pytest.raises(ConfigurationError, match="utf-8"):
        serializers.register("mine", str, str, "x/mine", "latin-1")


def test_an_unknown_name_is_answered_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="'msgpack'"):
        Codec(accept_content=["msgpac"])
    with pytest.raises(ConfigurationError, match="'zstd'"):
        Codec(compression="zstandrd")


@pytest.mark.parametrize("name", ALL)
def test_a_reply_comes_as_the_call_went(name: str) -> None:
    chosen = codec(name)
    _, properties = chosen.encode(Request("t", "1"))
    serializer = chosen.for_reply(properties)
    assert serializer.name == name
    body = reply.success("1", {"a": [1, None]}, serializer)
    back = reply.parse(body, Properties(content_type=serializer.content_type), chosen.reader)
    assert (back.status, back.value) == ("SUCCESS", {"a": [1, None]})
    failed = reply.failure("1", KeyError("k", object()), None, serializer=serializer)
    outcome = reply.parse(failed, Properties(content_type=serializer.content_type), chosen.reader)
    assert isinstance(outcome.exception, KeyError)


def test_replies_can_be_fixed_to_one_serializer_and_are_json_for_what_cannot_be_read() -> None:
    _, properties = codec("msgpack").encode(Request("t", "1"))
    assert codec("json", "msgpack", result_serializer="json").for_reply(properties).name == "json"
    assert Codec().for_reply(properties).name == "json"
    with pytest.raises(ConfigurationError, match="not in accept_content"):
        Codec(result_serializer="msgpack")


def test_a_reply_in_a_content_type_that_is_not_accepted_is_an_error_that_says_so() -> None:
    body = reply.success("1", 5, serializers.find("msgpack"))
    outcome = reply.parse(body, Properties(content_type="application/x-msgpack"))
    assert "accept_content" in str(outcome.exception)


@pytest.mark.parametrize(
    "value",
    [[UUID(int=7)], [float("nan")], [{"a": [float("-inf"), None]}], ["null - null", -5, UUID(int=9)], [None, 1.5e-9]],
)
def test_what_orjson_would_change_is_found_in_what_it_wrote(value: list) -> None:
    assert repr(json.decode(json.encode(value))) == repr(value)
