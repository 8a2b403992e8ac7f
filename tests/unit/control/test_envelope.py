"""Commands and answers as they travel."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from amqptasks.control import envelope, roster
from amqptasks.control.answers import Answers, HeldTask, Pong, one, records
from amqptasks.control.envelope import Answer, Command, Destination, Unbelieved, Unreadable
from amqptasks.control.roster import Announcement
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.signing import Signing


def delivered(message: Outgoing) -> Delivery:
    return Delivery("q", 1, message.exchange, message.routing_key, False, message.properties, message.body, SETTLED)


def test_a_command_survives_its_journey() -> None:
    sent = Command("revoke", {"ids": ["a"]}, Destination(("web*",), "here"), "question", None)
    message = envelope.outgoing(sent, 2.5)
    assert message.properties.expiration == "2500"
    found = envelope.command_in(delivered(message))
    assert found.until == pytest.approx(time.time() + 2.5, abs=5)
    assert replace(found, until=None, reply_to=None) == sent


def test_a_command_is_late_when_its_time_is_over_on_any_clock() -> None:
    assert not Command("ping", until=time.time() - 1).is_late
    assert Command("ping", until=time.time() - envelope.CLOCKS_DIFFER - 1).is_late
    assert not Command("ping").is_late


@pytest.mark.parametrize("body", [b"", b"[]", b'{"command": 1}', b'{"command": "x", "destination": "all"}', b"{}"])
def test_what_is_no_command_is_unreadable(body: bytes) -> None:
    message = envelope.outgoing(Command("ping"), 1)
    message.body = body
    with pytest.raises(Unreadable):
        envelope.command_in(delivered(message))


@pytest.mark.parametrize("answer", [Answer("n", "h", 1, "q", {"x": 1}), Answer("n", "h", 1, "q", None, "no")])
def test_an_answer_survives_its_journey(answer: Answer) -> None:
    message = envelope.reply(answer, Command("ping", id="question", reply_to="back"))
    assert (message.exchange, message.routing_key, message.mandatory) == ("", "back", False)
    assert envelope.answer_in(delivered(message)) == answer


SIGNING = Signing({"new": "0123456789abcdef0123456789abcdef", "old": "fedcba9876543210fedcba9876543210"})


def asked(signing: Signing | None) -> Command:
    message = envelope.outgoing(Command("ping", id="question"), 5, signing)
    message.properties.reply_to = "amq.rabbitmq.reply-to.caller"
    return envelope.command_in(delivered(message), SIGNING)


def test_an_answer_is_signed_with_the_key_of_its_command() -> None:
    old = Signing({"old": "fedcba9876543210fedcba9876543210"})
    message = envelope.reply(Answer("n", "h", 1, "q", 5), asked(old), SIGNING)
    assert envelope.answer_in(delivered(message), old).value == 5


def test_the_answer_to_an_unsigned_command_is_not_signed() -> None:
    message = envelope.reply(Answer("n", "h", 1, "q", 5), asked(None), SIGNING)
    assert message.properties.headers is None
    assert envelope.answer_in(delivered(message)).value == 5
    with pytest.raises(Unbelieved, match="no signature"):
        envelope.answer_in(delivered(message), SIGNING)


@pytest.mark.parametrize("part", ["body", "id", "key"])
def test_an_answer_that_was_changed_or_belongs_to_another_question_is_not_believed(part: str) -> None:
    message = envelope.reply(Answer("n", "h", 1, "q", 5), asked(SIGNING), SIGNING)
    if part == "body":
        message.body = message.body.replace(b"5", b"6")
    elif part == "id":
        message.properties.correlation_id = "another question"
    else:
        Signing({"new": "another secret of thirty-two bytes"}).sign(message.properties, message.body)
    with pytest.raises(Unbelieved):
        envelope.answer_in(delivered(message), SIGNING)


def test_a_destination_is_names_patterns_and_a_host() -> None:
    assert Destination().includes("anybody", "anywhere")
    assert Destination(("web*", "mail")).includes("web:1", "h")
    assert not Destination(("web*",)).includes("mail", "h")
    assert Destination(None, "h").includes("anybody", "h")
    assert not Destination(("web",), "h").includes("web", "elsewhere")
    assert Destination(("web*", "mail")).named == ("mail",)


QUEUES = [f"amqptasks.control.{digit * 32}" for digit in "123"]


def test_who_is_present_said_here_and_not_gone() -> None:
    here, left, again = (Announcement("here", "n", "h", queue) for queue in QUEUES)
    said = [here, left, replace(left, state="gone"), again]
    deliveries = [delivered(roster.outgoing(one)) for one in said]
    broken = delivered(roster.outgoing(here))
    broken.body = b"?"
    assert set(roster.present([*deliveries, broken])) == {QUEUES[0], QUEUES[2]}


@pytest.mark.parametrize(
    "said",
    [
        {"exchange": ""}, {"exchange": "amqptasks.queues"}, {"queue": "emails"}, {"node": "n" * 300}, {"node": 5},
        {"host": None}, {"node": "\ud800"}, {"state": "gone for lunch"}, {"queue": "amqptasks.control." + "f" * 300},
    ],
)  # fmt: skip
def test_an_announcement_that_is_forged_or_out_of_bounds_is_left_out(said: dict[str, object]) -> None:
    record = {"state": "here", "node": "n", "host": "h", "queue": QUEUES[0], **said}
    delivery = delivered(roster.outgoing(Announcement("here", "n", "h", QUEUES[0])))
    delivery.exchange = str(record.pop("exchange", delivery.exchange))
    delivery.body = json.dumps(record).encode()
    assert roster.present([delivery]) == {}


def test_answers_of_another_release_are_read_as_far_as_they_are_known() -> None:
    found = Answers({"n": {"ready": True, "colour": "red"}}).mapped(one(Pong))
    assert found["n"] == Pong(ready=True)
    tasks = Answers({"n": [{"id": "a", "name": "t"}]}).mapped(records(HeldTask))
    assert tasks["n"] == (HeldTask(id="a", name="t"),)
    assert (len(found), list(found)) == (1, ["n"])
