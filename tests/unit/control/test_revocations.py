"""What a worker refuses to run, and how a revocation travels."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from amqptasks.control.places import REVOKED
from amqptasks.control.revocation import IDS_A_RECORD, Revocation, in_record
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.ids import task_id
from amqptasks.messages.properties import Properties
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.worker.control import revocations as module
from amqptasks.worker.control.revocations import Revocations


def parse(body: bytes, exchange: str = REVOKED.exchange.name) -> Revocation | None:
    return in_record(Delivery(REVOKED.name, 1, exchange, "", False, Properties(), body, SETTLED))


def refused(revocations: Revocations, task: str, identity: str, **headers: object) -> bool:
    return revocations.reason(task, identity, headers) is not None


def test_an_id_is_revoked_and_restored() -> None:
    revocations, identity = Revocations(), task_id()
    assert revocations.is_empty
    revocations.take(Revocation("revoke", (identity, "no-uuid")))
    assert refused(revocations, "any", identity)
    assert refused(revocations, "any", "no-uuid")
    assert not refused(revocations, "any", task_id())
    assert revocations.told()["ids"] == ["no-uuid", identity], "the latest first"
    revocations.take(Revocation("restore", (identity, "no-uuid")))
    assert revocations.is_empty


def test_an_id_in_another_form_is_another_id() -> None:
    revocations, identity = Revocations(), task_id()
    revocations.take(Revocation("revoke", (identity.upper(),)))
    assert refused(revocations, "any", identity.upper())
    assert not refused(revocations, "any", identity)


def test_a_pattern_meets_what_was_made_before_it() -> None:
    revocations, before = Revocations(), task_id()
    time.sleep(0.002)  # ids count in milliseconds
    revocations.take(Revocation("revoke", tasks=("shop.*",)))
    time.sleep(0.002)
    assert refused(revocations, "shop.send", before)
    assert not refused(revocations, "mail.send", before)
    assert not refused(revocations, "shop.send", task_id())


def test_a_pattern_meets_ids_that_tell_no_time_for_an_hour() -> None:
    revocations, identity = Revocations(), str(uuid.uuid4())
    revocations.take(Revocation("revoke", tasks=("a",), at=time.time() - 3500))
    revocations.take(Revocation("revoke", tasks=("b",), at=time.time() - 3700))
    assert refused(revocations, "a", identity)
    assert not refused(revocations, "b", identity)


def test_headers_must_all_fit() -> None:
    revocations, identity = Revocations(), task_id()
    revocations.take(Revocation("revoke", headers={"tenant": "acme", "batch": 7}, at=time.time() + 1))
    assert refused(revocations, "any", identity, tenant="acme", batch=7, more=1)
    assert refused(revocations, "any", identity, tenant=["other", "acme"], batch=7), "one of a list, as Celery's stamps"
    assert not refused(revocations, "any", identity, tenant="acme")


def test_the_oldest_ids_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IDS", 3)
    revocations, ids = Revocations(), [task_id() for _ in range(5)]
    revocations.take(Revocation("revoke", tuple(ids)))
    assert [refused(revocations, "any", one) for one in ids] == [False, False, True, True, True]


def test_a_revocation_survives_its_journey() -> None:
    sent = Revocation("revoke", ("a", "b"), ("shop.*",), {"tenant": "acme"}, 12.5)
    (message,) = sent.outgoing()
    assert parse(message.body) == sent


def test_many_ids_travel_in_several_messages() -> None:
    sent = Revocation("revoke", tuple(map(str, range(2 * IDS_A_RECORD + 1))), ("shop.*",))
    found = [parse(message.body) for message in sent.outgoing()]
    assert [len(one.ids) for one in found if one] == [IDS_A_RECORD, IDS_A_RECORD, 1, 0]
    assert [one.tasks for one in found if one][-1] == ("shop.*",)


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    "said",
    [
        "", "{", "[]", "null", "[" * 100_000, '{"revoke": 1, "at": 2}', '{"revoke": {"ids": 3}, "at": 1}',
        '{"revoke": {}}', f'{{"revoke":{{"ids":["a"]}},"at":{HUGE}}}', f'{{"revoke":{{"ids":["a"]}},"at":-{HUGE}}}',
        '{"revoke":{"ids":["a"]},"at":NaN}', '{"revoke":{"ids":["a"]},"at":true}', '{"revoke":{"ids":[1]},"at":1}',
        '{"revoke":{"ids":["\\ud800"]},"at":1}', '{"revoke":{"tasks":["*"]},"at":1e15}',
        '{"revoke":{"tasks":["' + "*" * 300 + '"]},"at":1}', '{"revoke":{"headers":{"a":{}}},"at":1}',
        '{"revoke":{"headers":{"a":[[]]}},"at":1}', '{"restore":{"headers":[]},"at":1}',
    ],
)  # fmt: skip
def test_a_record_that_is_no_revocation_is_refused_whatever_it_holds(said: str) -> None:
    with pytest.raises(OutOfBounds):
        parse(said.encode())


def test_the_first_record_of_the_stream_says_nothing() -> None:
    assert parse(b"{}") is None


@pytest.mark.parametrize("exchange", ["", "amqptasks.queues", "amqptasks.revoked", "amqptasks.due.amqptasks.queues"])
def test_a_revocation_counts_only_through_the_exchange_of_revocations(exchange: str) -> None:
    (message,) = Revocation("revoke", ("a",)).outgoing()
    with pytest.raises(OutOfBounds, match="came through the exchange"):
        parse(message.body, exchange)


def test_a_revocation_from_the_future_is_refused_beyond_five_minutes() -> None:
    assert parse(json.dumps({"revoke": {"tasks": ["*"]}, "at": time.time() + 280}).encode())
    with pytest.raises(OutOfBounds, match="in the future"):
        parse(json.dumps({"revoke": {"tasks": ["*"]}, "at": time.time() + 320}).encode())


def test_a_field_of_a_later_release_is_no_trouble() -> None:
    said = json.dumps({"revoke": {"ids": ["a"], "colour": "red"}, "at": 1, "new": True}).encode()
    assert parse(said) == Revocation("revoke", ("a",), at=1.0)
