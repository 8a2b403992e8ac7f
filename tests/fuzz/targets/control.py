"""Commands, answers, announcements and revocations, as anybody may send them to the exchange of control."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from hypothesis import strategies as st

from amqptasks import App
from amqptasks.control import answers, envelope, places, revocation, roster
from amqptasks.control.envelope import Unreadable
from amqptasks.control.revocation import Revocation
from amqptasks.errors import AmqptasksError
from amqptasks.messages.signing import Signing
from amqptasks.serializers import json
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.worker.control.commanding import CONTROL
from amqptasks.worker.control.inspecting import INSPECT
from amqptasks.worker.control.revocations import Revocations
from amqptasks.worker.control.service import ControlService
from amqptasks.worker.node import Node
from tests.fuzz import values
from tests.fuzz.target import Target
from tests.fuzz.targets.decoding import KEYS

#: Those that end the worker, or its pool, which the examples after it need.
_ENDS = frozenset({"shutdown", "pool_restart"})

_REVOCATION = values.likely(
    {
        **{action: values.likely(
            {
                "ids": st.lists(values.TEXTS, max_size=3),
                "tasks": st.lists(st.sampled_from(("shop.*", "[", "*" * 30)), max_size=3),
                "headers": st.dictionaries(values.TEXTS, values.SCALARS, max_size=3),
            }
        ) for action in ("revoke", "restore")},
        "at": st.sampled_from((0, 1e9, 1764500000.5)),
    }
)  # fmt: skip
_ARGUMENTS = values.likely(
    {
        "ids": st.lists(values.TEXTS, max_size=3),
        "revocation": _REVOCATION,
        "terminate": st.booleans(),
        "signal": st.sampled_from(("TERM", "KILL")),
        "task": st.just("shop.work"),
        "soft": values.NUMBERS | values.FRACTIONS,
        "hard": values.NUMBERS | values.FRACTIONS,
        "rate": st.sampled_from(("10/s", "1/m", "0", "-1/s")),
        "number": values.NUMBERS,
        "min": values.NUMBERS,
        "max": st.integers(-1, 3),
        "queue": st.just("default"),
        "prefetch": values.NUMBERS,
        "level": st.sampled_from(("warning", "error", "loud")),
    }
)
_COMMAND = values.likely(
    {
        "command": st.sampled_from(sorted({*INSPECT, *CONTROL} - _ENDS)),
        "arguments": _ARGUMENTS,
        "destination": st.lists(st.sampled_from(("web*", "[", "*" * 30)), max_size=2),
        "host": st.just("here"),
        "until": st.sampled_from((0, 1e12)),
    }
)
_ANSWER = values.likely(
    {
        "node": st.just("n"),
        "host": st.just("h"),
        "pid": st.integers(1, 9),
        "queue": st.just("q"),
        "value": values.likely({"ready": st.booleans(), "waits": values.JSON, "ids": values.JSON}),
        "error": st.just("no"),
    }
)
_ANNOUNCEMENT = values.likely(
    {
        "state": st.sampled_from(("here", "gone")),
        "node": st.just("n"),
        "host": st.just("h"),
        "queue": st.just("amqptasks.control.1"),
    }
)


@cache
def _service() -> ControlService:
    """Of one worker for all examples, which does not run: what the link's thread would do is done here."""
    app = App("fuzz", "memory://fuzz-control")
    app.task(name="shop.work")(lambda: None)
    control = Node(app, control=False).control
    control.on_link = _at_once  # type: ignore[method-assign]
    return control


def _at_once(ask: Callable[[], Any]) -> Any:
    return ask()


def check(example: dict[str, Any]) -> None:
    given = example["body"]
    properties = {"correlation_id": example["id"], "reply_to": example["reply to"]}
    for signing in (None, Signing(KEYS)):
        _revocation(given, signing)
        with suppress(Unreadable):
            command = envelope.command_in(values.delivery(given, example["headers"], properties=properties), signing)
            command.destination.includes("web:1", "here")
            assert isinstance(command.destination.named, tuple)
            _carried_out(command)
    with suppress(Unreadable):
        answer = envelope.answer_in(values.delivery(given, properties=properties))
        for kind in (answers.Pong, answers.Stats, answers.Revoked):
            answers.one(kind)(answer.value)
        for kind in (answers.HeldTask, answers.ActiveQueue):
            answers.records(kind)(answer.value)
    announced = values.delivery(given, exchange=places.NODES.exchange.name)
    for announcement in roster.present([announced]).values():
        assert announcement.queue.startswith(f"{places.LISTENERS}.")


def _revocation(given: bytes, signing: Signing | None) -> None:
    came = values.delivery(given, exchange=places.REVOKED.exchange.name)
    with suppress(OutOfBounds):
        found = revocation.in_record(came, signing)
        if found is None:
            return
        known = Revocations()
        known.take(found)
        known.reason("shop.work", "0199a1b2-0000-7000-8000-000000000000", {"tenant": 1})
        json.encode(known.told())
        assert all(isinstance(one.body, bytes) for one in Revocation("revoke", found.ids).outgoing())


def _carried_out(command: envelope.Command) -> None:
    """By a worker, whose answer can be sent."""
    carry_out = {**INSPECT, **CONTROL}.get(command.name)
    if carry_out is None or command.name in _ENDS:
        return
    service = _service()
    if command.name in ("pool_grow", "autoscale", "add_consumer", "pool_shrink"):
        return  # they change the worker for the examples that follow
    with suppress(AmqptasksError, OutOfBounds):
        json.encode(carry_out(service, command.arguments))


TARGET = Target(
    "control",
    st.fixed_dictionaries(
        {
            "body": values.bodies(st.one_of(_COMMAND, _COMMAND, _REVOCATION, _ANSWER, _ANNOUNCEMENT)),
            "headers": st.none() | st.dictionaries(st.just("x-amqptasks-signature"), values.FIELDS),
            "id": values.SCALARS,
            "reply to": st.just("amq.rabbitmq.reply-to.g1") | values.SCALARS,
        }
    ),
    check,
    changed=("body", "headers", "id", "reply to"),
)
