"""A signed message is let through as it was made, and in no other way; secrets are never shown."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import logging
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from amqptasks import App
from amqptasks.dead_letters.dead_letter import read
from amqptasks.dead_letters.home import of_queue
from amqptasks.dead_letters.replay import Edit, to_replay
from amqptasks.errors import ConfigurationError
from amqptasks.messages import signing
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.headers import Wrong
from amqptasks.messages.own_headers import SIGNATURE
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request
from amqptasks.messages.signing import Signing, signed_bytes
from amqptasks.topology import delays
from amqptasks.transport.capabilities import Capabilities
from tests.harness.worker_process import REPOSITORY

OLD, NEW = "o" * 32, "n" * 32
SIGNED = Codec(signing={"new": NEW, "old": OLD}, compression="zlib")
LATER = datetime(2030, 1, 2, tzinfo=UTC)


def message(codec: Codec = SIGNED, **options: object) -> tuple[Properties, bytes]:
    request = Request(
        "shop.pay", "6fb0", ("ada", 100), {"note": "x" * 3000}, eta=LATER, expires=LATER + timedelta(days=1),
        reply_to="replies.1", headers={"tenant": "a"}, **options,
    )  # fmt: skip
    body, properties = codec.encode(request)
    return properties, body


def with_header(name: str, value: object) -> Callable[[Properties], Properties]:
    return lambda properties: replace(properties, headers={**(properties.headers or {}), name: value})


def without_header(name: str) -> Callable[[Properties], Properties]:
    return lambda properties: replace(
        properties, headers={key: value for key, value in (properties.headers or {}).items() if key != name}
    )


def test_what_was_signed_is_let_through() -> None:
    request = SIGNED.decode(*message())
    assert isinstance(request, Request)
    assert request.args == ("ada", 100)
    assert SIGNATURE not in request.headers


@pytest.mark.parametrize(
    "tamper",
    [
        with_header("task", "shop.refund"),
        with_header("id", "6fb1"),
        with_header("eta", "2020-01-01T00:00:00+00:00"),
        without_header("eta"),
        with_header("eta", LATER),
        with_header("expires", "2099-01-01T00:00:00+00:00"),
        without_header("expires"),
        without_header("compression"),
        with_header("compression", "application/zstd"),
        lambda properties: replace(properties, content_type="application/x-json"),
        lambda properties: replace(properties, content_type=None),
        lambda properties: replace(properties, content_encoding="binary"),
        lambda properties: replace(properties, correlation_id="another"),
        lambda properties: replace(properties, correlation_id=None),
        lambda properties: replace(properties, reply_to="replies.2"),
        lambda properties: replace(properties, reply_to=None),
        lambda properties: replace(properties, reply_to="amq.rabbitmq.reply-to"),
        with_header(SIGNATURE, "v1:new:" + "0" * 64),
        with_header(SIGNATURE, "v1:other:" + "0" * 64),
        with_header(SIGNATURE, "v2:new:" + "0" * 64),
        with_header(SIGNATURE, ""),
        with_header(SIGNATURE, b"v1"),
        with_header(SIGNATURE, ["v1"]),
        with_header("task", "shop.pay\ud800"),
        with_header("id", 5),
    ],
)
def test_each_change_of_what_is_covered_is_found(tamper: Callable[[Properties], Properties]) -> None:
    properties, body = message()
    refused = SIGNED.decode(tamper(copy.deepcopy(properties)), body)
    assert isinstance(refused, Malformed)
    assert refused.reason == "bad-signature"
    assert OLD not in refused.detail
    assert NEW not in refused.detail


def test_a_change_of_any_byte_of_the_body_is_found() -> None:
    properties, body = message()
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 1
        assert SIGNED.decode(properties, bytes(changed)).reason == "bad-signature"
    assert SIGNED.decode(properties, body + b" ").reason == "bad-signature"


def test_a_part_of_one_field_cannot_move_into_the_next() -> None:
    one = signed_bytes(Properties(headers={"task": "a", "id": "b\neta:-"}), b"")
    other = signed_bytes(Properties(headers={"task": "a\nid:1:b", "id": None}), b"")
    assert one != other


def test_without_a_signature_it_is_refused_unless_that_is_allowed() -> None:
    properties, body = message(PLAIN)
    refused = SIGNED.decode(properties, body)
    assert isinstance(refused, Malformed)
    assert refused.reason == "unsigned"
    lenient = Codec(signing=Signing({"new": NEW}, required=False))
    assert isinstance(lenient.decode(properties, body), Request)
    assert lenient.decode(with_header(SIGNATURE, "v1:new:" + "0" * 64)(properties), body).reason == "bad-signature"


def test_an_unsigned_message_is_not_even_unpacked() -> None:
    properties, _ = message()
    assert SIGNED.decode(without_header(SIGNATURE)(properties), b"noise").reason == "unsigned"


def test_the_first_key_signs_and_all_verify() -> None:
    properties, body = message(Codec(signing={"old": OLD}))
    assert properties.headers[SIGNATURE].startswith("v1:old:")
    assert isinstance(SIGNED.decode(properties, body), Request)
    properties, body = message(SIGNED)
    assert properties.headers[SIGNATURE].startswith("v1:new:")
    assert Codec(signing={"old": OLD}).decode(properties, body).detail.endswith("which this app does not have")


def test_what_the_broker_and_the_ladder_do_to_a_message_leaves_its_signature_alone() -> None:
    properties, body = message()
    capabilities = Capabilities("RabbitMQ", (4, 0, 0))
    _, headers = delays.enter(99.0, "amqptasks.queues", capabilities, None)
    properties.headers |= {**headers, "x-death": [{}], "x-delivery-count": 3, "retries": 2, "tenant": "b"}
    properties.priority, properties.expiration, properties.delivery_mode = 5, "1000", 2
    assert isinstance(SIGNED.decode(properties, body), Request)


def test_the_address_that_the_broker_makes_of_a_direct_reply_is_the_one_that_was_signed() -> None:
    request = Request("t", "1", reply_to="amq.rabbitmq.reply-to")
    body, properties = SIGNED.encode(request)
    properties.reply_to = "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA1MTI="
    assert isinstance(SIGNED.decode(properties, body), Request)
    properties.reply_to = "replies.2"
    assert SIGNED.decode(properties, body).reason == "bad-signature"


def delivery(properties: Properties, body: bytes) -> Delivery:
    return Delivery("emails.dead", 1, "amqptasks.queues", "emails.dead", False, properties, body, SETTLED)


def test_a_replay_of_a_retried_letter_is_signed_anew_by_who_has_the_keys() -> None:
    properties, body = message(retries=3)
    properties.headers |= {"x-amqptasks-reason": "failed"}
    sent = to_replay(read(delivery(properties, body), SIGNED), of_queue("emails"), Edit(args=["eve", 5]), SIGNED)
    request = SIGNED.decode(sent.properties, sent.body)
    assert isinstance(request, Request)
    assert (request.args, request.eta, request.retries) == (("eve", 5), None, 0)
    assert sent.properties.headers["compression"] == "application/x-gzip"
    with pytest.raises(ConfigurationError, match="-A MODULE"):
        to_replay(read(delivery(properties, body)), of_queue("emails"))


def test_a_replay_that_changes_nothing_signed_needs_no_keys() -> None:
    body, properties = SIGNED.encode(Request("t", "1", (1,)))
    properties.headers |= {"x-amqptasks-reason": "failed", "retries": 3}
    sent = to_replay(read(delivery(properties, body)), of_queue("emails"))
    assert isinstance(SIGNED.decode(sent.properties, sent.body), Request)
    assert "x-amqptasks-reason" not in sent.properties.headers


@pytest.mark.parametrize("tamper", [with_header("task", "evil"), without_header(SIGNATURE)])
def test_a_replay_makes_no_strangers_message_ours(tamper: Callable[[Properties], Properties]) -> None:
    properties, body = message()
    letter = read(delivery(tamper(properties), body), SIGNED)
    sent = to_replay(letter, of_queue("emails"), Edit(args=[1]), SIGNED)
    assert isinstance(SIGNED.decode(sent.properties, sent.body), Malformed)


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPTASKS_SIGNING_KEYS", f"new={NEW}; old={OLD};")
    assert isinstance(Codec(signing=Signing.from_environment()).decode(*message()), Request)
    for wrong in ("", NEW, f"={NEW}", f"a b={NEW}", "new=short"):
        monkeypatch.setenv("AMQPTASKS_SIGNING_KEYS", wrong)
        with pytest.raises(ConfigurationError) as raised:
            Signing.from_environment()
        assert NEW not in str(raised.value)


def test_keys_of_a_function_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keys: dict[str, str | bytes] = {"old": OLD}
    ring = Codec(signing=Signing(lambda: dict(keys)))
    signed_with_new = message()
    assert ring.decode(*signed_with_new).reason == "bad-signature"
    keys["new"] = NEW
    monkeypatch.setattr(signing, "KEEP_KEYS", 0.0)
    assert isinstance(ring.decode(*signed_with_new), Request)
    keys["new"] = "short and secret"
    with caplog.at_level(logging.ERROR):
        assert isinstance(ring.decode(*signed_with_new), Request)
    assert "known ones stay" in caplog.text
    assert "short and secret" not in caplog.text


@pytest.mark.parametrize("keys", [{}, {"a": "short"}, {"": NEW}, {"a:b": NEW}, {"a" * 65: NEW}])
def test_bad_keys_are_refused_without_being_shown(keys: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Signing(keys)
    assert "short" not in str(raised.value)


def test_secrets_are_neither_shown_nor_pickled() -> None:
    ring = Signing({"new": NEW})
    for text in (repr(ring), str(ring), repr(App("signed", "memory://", signing=ring).codec)):
        assert NEW not in text
    assert "new" in repr(ring)
    with pytest.raises(TypeError, match="secrets"):
        pickle.dumps(ring)


headers = st.dictionaries(
    st.sampled_from(["task", "id", "eta", "expires", "compression", SIGNATURE, "retries"]),
    st.none() | st.text(max_size=9) | st.integers() | st.binary(max_size=5) | st.datetimes() | st.just([1])
    | st.just("v1:new:" + "a" * 64),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(headers=st.none() | headers, body=st.binary(max_size=50), text=st.none() | st.text(max_size=10))
def test_verifying_never_raises_anything_else(headers: dict | None, body: bytes, text: str | None) -> None:
    properties = Properties(headers=headers, content_type=text, reply_to=text, correlation_id=text)
    with pytest.raises(Wrong) as wrong:
        SIGNED.signing.verify(properties, body)
    assert wrong.value.reason in ("unsigned", "bad-signature")
    assert isinstance(SIGNED.decode(properties, body), Malformed)


def vectors() -> list[dict[str, object]]:
    page = (REPOSITORY / "docs" / "security.md").read_text()
    found = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [json.loads(text) for text in found]


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_the_vectors_of_the_page_are_what_is_signed(vector: dict[str, object]) -> None:
    """Checked with nothing of ours, as another language would do it, and then with ours."""
    secret = str(vector["secret"]).encode()
    signed = base64.b64decode(str(vector["signed_base64"]))
    mac = hmac.new(secret, signed, hashlib.sha256).hexdigest()
    assert vector["signature"] == f"v1:{vector['key']}:{mac}"
    properties, body = Properties(**vector["properties"]), str(vector["body"]).encode()
    assert signed_bytes(properties, body) == signed
    ring = Signing({str(vector["key"]): secret})
    ring.sign(properties, body)
    assert properties.headers[SIGNATURE] == vector["signature"]
    ring.verify(properties, body)


def test_there_are_vectors() -> None:
    assert len(vectors()) >= 3
