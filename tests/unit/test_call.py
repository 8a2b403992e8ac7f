"""Calls of a task that differ in their arguments alone are made from the first; nobody can tell by the message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amqptasks import App
from amqptasks.calls import call
from amqptasks.errors import ConfigurationError
from amqptasks.memory.registry import forget
from amqptasks.messages.outgoing import Templated
from amqptasks.options import CallOptions
from amqptasks.tasks.task import Task

URL = "memory://calls"


@pytest.fixture
def app() -> Iterator[App]:
    created = App("calls", URL)
    yield created
    created.close()
    forget(URL)


def message(made: call.Call) -> tuple[Any, ...]:
    """All of a message but its id; the id is checked to stand in all its places."""
    outgoing = made.outgoing
    properties = outgoing.properties
    assert properties.headers is not None
    assert properties.headers["id"] == properties.correlation_id == made.result.id
    assert "id" not in {name for name, value in properties.headers.items() if name != "id" and value == made.result.id}
    headers = {name: value for name, value in properties.headers.items() if name != "id"}
    others = [
        getattr(properties, name) for name in type(properties).__slots__ if name not in ("headers", "correlation_id")
    ]
    return outgoing.exchange, outgoing.routing_key, outgoing.body, outgoing.mandatory, headers, others, made.timeout


def several(value: int, *, key: str = "k") -> None: ...


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"queue": "default", "priority": 3, "ignore_result": True},
        {"headers": {"tenant": "acme"}, "shadow": "shown", "time_limit": 10.0, "timeout": 7.0},
        {"countdown": 5.0},
        {"expires": 5.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [{}, {"max_retries": 5, "queue": "default"}, {"expires": 60.0}], ids=str)
def test_a_call_like_the_first_is_the_message_that_it_would_be_alone(
    app: App, own: dict[str, Any], options: CallOptions
) -> None:
    task: Task[..., Any] = app.task(name="several", **own)(several)
    alike = call.Alike(app, task, options)
    alike.make((1,), {"key": "first"})
    later, alone = alike.make((2,), {"key": "later"}), call.Alike(app, task, options).make((2,), {"key": "later"})
    varying = {"eta", "expires"} if {"countdown", "expires"} & {*own, *options} else set()
    assert isinstance(later.outgoing, Templated) is not bool(varying)
    one, other = message(later), message(alone)
    for name in varying:  # moments: a few microseconds apart
        one[4].pop(name, None), other[4].pop(name, None)
    assert one == other
    assert later.result.id != alone.result.id


def test_each_call_has_an_id_a_result_and_a_check_of_its_own(app: App) -> None:
    task: Task[..., Any] = app.task(name="several")(several)
    alike = call.Alike(app, task, {})
    made = [alike.make((number,), {}) for number in range(3)]
    assert len({one.result.id for one in made}) == 3
    assert all(app.caller.replies.register(one.result.id) is one.result for one in made)
    with pytest.raises(TypeError, match="missing"):
        alike.make((), {})
    with pytest.raises(ConfigurationError, match="argument 1"):
        alike.make((object(),), {})


def test_a_changed_topology_or_wish_for_results_counts_from_the_next_call_on(app: App) -> None:
    task: Task[..., Any] = app.task(name="several")(several)
    assert call.make(app, task, (1,), {}, {}).outgoing.properties.reply_to is not None
    assert call.make(app, task, (1,), {}, {}).outgoing.properties.reply_to is not None
    app.ignore_result = True
    assert call.make(app, task, (1,), {}, {}).outgoing.properties.reply_to is None
    router = app.router
    app.add_queues(["another"])
    call.make(app, task, (1,), {}, {})
    assert app.router is not router
    assert app.alike[task].make((1,), {}).outgoing.routing_key == "default"
