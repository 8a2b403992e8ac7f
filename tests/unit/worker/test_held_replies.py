"""Replies that a worker has to drop: whose callers believe that they are lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from amqptasks.errors import ReplyLost
from amqptasks.messages.codec import Codec
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import LOST_REPLIES
from amqptasks.messages.properties import REPLY_TO, Properties
from amqptasks.messages.signing import Signing
from amqptasks.results.replies import Replies
from amqptasks.worker.settle.held_replies import HeldReplies

SIGNING = Signing({"old": "0123456789abcdef0123456789abcdef", "new": "fedcba9876543210fedcba9876543210"})
OTHERS = Signing({"old": "another secret of thirty-two bytes"})
ADDRESS = f"{REPLY_TO}.caller"


def notices(signing: Signing | None, *signed: bool) -> list[Outgoing]:
    """What a worker that stops in an alarm tells, of replies with the ids 1, 2, ..."""
    link = mock.Mock()
    held = HeldReplies(link, Codec(signing=signing))
    held.blocked("low on disk")
    for number, is_signed in enumerate(signed, start=1):
        properties = Properties(correlation_id=str(number))
        if is_signed:
            assert signing is not None
            signing.sign(properties, b"reply", like="v1:new:" + "0" * 64)
        held.send(Outgoing("", ADDRESS, b"reply", properties), lambda _error: None)
    held.drop()
    ((told,),) = (call.args for call in link.announce.call_args_list)
    assert isinstance(told, list)
    return told


def take(replies: Replies, notice: Outgoing) -> None:
    assert notice.body == b""
    replies.reply(Delivery("q", 1, "", notice.routing_key, False, notice.properties, notice.body, SETTLED))
    replies.link_thread = None  # here, one thread plays both parts


def test_callers_are_told_of_lost_replies_by_the_key_that_signed_them() -> None:
    (notice,) = notices(SIGNING, True, True)
    assert notice.properties.headers is not None
    assert str(notice.properties.headers["x-amqptasks-signature"]).startswith("v1:new:")
    replies = Replies(signing=SIGNING)
    results = [replies.register(identity) for identity in ("1", "2", "3")]
    take(replies, notice)
    assert [result.status for result in results] == ["LOST", "LOST", "PENDING"]
    with pytest.raises(ReplyLost, match="reply to task 2 is lost"):
        results[1].get(timeout=0)


def without_signature(properties: Properties) -> None:
    del properties.headers["x-amqptasks-signature"]  # type: ignore[attr-defined]


def names_another(properties: Properties) -> None:
    properties.headers[LOST_REPLIES].append("3")  # type: ignore[index]


def names_another_in_both(properties: Properties) -> None:
    properties.headers.update({LOST_REPLIES: ["1", "3"], "id": "1 3"})  # type: ignore[union-attr]


def of_others(properties: Properties) -> None:
    OTHERS.sign(properties, b"")


def names_no_texts(properties: Properties) -> None:
    properties.headers[LOST_REPLIES] = ["1", 5, None]  # type: ignore[index]


@pytest.mark.parametrize("forge", [without_signature, names_another, names_another_in_both, of_others, names_no_texts])
def test_a_loss_that_nobody_with_the_keys_has_told_is_not_believed(forge: Callable[[Any], None]) -> None:
    (notice,) = notices(SIGNING, True, True)
    forge(notice.properties)
    replies = Replies(signing=SIGNING)
    results = [replies.register(identity) for identity in ("1", "2", "3")]
    take(replies, notice)
    assert [result.status for result in results] == ["PENDING"] * 3
    (right,) = notices(SIGNING, True)
    take(replies, right)
    assert results[0].status == "LOST"


def test_replies_without_a_signature_are_told_apart_and_believed_where_none_is_required() -> None:
    signed, unsigned = notices(SIGNING, True, False)
    assert (signed.properties.headers or {})[LOST_REPLIES] == ["1"]
    assert (unsigned.properties.headers or {}) == {LOST_REPLIES: ["2"]}
    lenient = Replies(signing=Signing({"k": "0123456789abcdef0123456789abcdef"}, required=False))
    for replies in (Replies(), lenient):
        result = replies.register("2")
        take(replies, unsigned)
        assert result.status == "LOST"


def test_a_worker_without_keys_tells_as_before() -> None:
    (notice,) = notices(None, False)
    assert (notice.properties.headers or {}) == {LOST_REPLIES: ["1"]}
