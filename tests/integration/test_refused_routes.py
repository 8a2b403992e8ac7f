"""A queue that was full by a policy has room again when the policy is deleted, for those too whom it has refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from amqptasks import App
from amqptasks.amqp.refused_routes import MOST_RETIRING, MOST_ROUTES, RefusedRoutes
from amqptasks.errors import BrokerError, Nacked
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.runtime.clock import monotonic
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

TOPOLOGY = """
version: 1
exchanges:
  tasks: {type: topic}
queues:
  default: {}
  bound: {bindings: [{exchange: tasks, routing_key: "#"}]}
routes:
  elsewhere: {exchange: tasks, routing_key: any}
"""


def limit(vhost: Vhost, pattern: str, most: int | None) -> None:
    if most is None:
        vhost.management.request("DELETE", "policies", vhost.name, "limit")
    else:
        body = {"pattern": pattern, "definition": {"max-length": most}, "apply-to": "queues"}
        vhost.management.request("PUT", "policies", vhost.name, "limit", body=body)


def here(app: App) -> object:
    return app.send_task("here", (), ignore_result=True, timeout=20)


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except Nacked:
        return True
    return False


@pytest.fixture
def app(vhost: Vhost, proxy: Proxy, tmp_path: Path) -> App:
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    app = App("full", proxy.url, topology=str(tmp_path / "topology.yaml"))
    for name in ("here", "elsewhere"):
        app.task(name=name)(lambda: "ran")
    app.declare()
    return app


@pytest.mark.parametrize(
    ("queue", "name", "countdown"),
    [("default", "here", None), ("bound", "elsewhere", None), (r"amqptasks\.delay\.05", "here", 1.5)],
)
def test_calls_that_a_full_queue_refused_are_taken_when_its_limit_is_deleted(
    app: App, vhost: Vhost, queue: str, name: str, countdown: float | None
) -> None:
    """RabbitMQ 3.10 refuses all that comes over a channel on which it has refused once."""
    with closing(app):
        before = app.send_task("here", (), queue="bound" if queue == "default" else "default")  # a reply is awaited

        def call() -> object:
            return app.send_task(name, (), ignore_result=True, countdown=countdown, timeout=5)

        limit(vhost, f"^{queue}$", 1)
        wait_for(lambda: refused(call), 20, "the queue is full", 0.02)
        assert sum(refused(call) for _ in range(20)) >= 15, "it stays so"
        limit(vhost, queue, None)
        wait_for(lambda: not refused(call), 10, "the queue takes messages again", 0.2)
        assert not any(refused(call) for _ in range(20))
        with app.worker(["default", "bound"]):
            assert before.get(timeout=20) == "ran", "the channel of its reply was never closed"


def test_what_waits_on_a_newer_channel_is_published_over_the_next_connection(
    app: App, vhost: Vhost, proxy: Proxy
) -> None:
    with closing(app):
        limit(vhost, "^default$", 1)
        wait_for(lambda: refused(lambda: here(app)), 20, "the queue is full", 0.02)
        assert refused(lambda: here(app)), "over the newer channel"
        limit(vhost, "", None)
        vhost.management.request("DELETE", "queues", vhost.name, "default", "contents")
        wait_for(lambda: not refused(lambda: here(app)), 10, "the queue takes messages again", 0.2)
        ready = vhost.management.ready("default")
        proxy.pause()
        submitted = [app.tasks["here"].submit() for _ in range(5)]
        proxy.cut()
        proxy.resume()
        for one in submitted:
            one.result(20)
        assert vhost.management.ready("default") >= ready + 5


def test_a_queue_that_stays_full_costs_few_channels(app: App, vhost: Vhost) -> None:
    with closing(app):
        limit(vhost, "^default$", 1)
        wait_for(lambda: refused(lambda: here(app)), 20, "the queue is full", 0.02)
        until = monotonic() + 3.5
        wait_for(lambda: refused(lambda: here(app)) and monotonic() > until, 10, "it was asked all the time", 0.001)
        channels = vhost.management.request("GET", "vhosts", vhost.name, "channels")
        assert len(channels) <= 1 + 1 + MOST_RETIRING


def test_of_many_refused_routes_not_all_are_known() -> None:
    routes = RefusedRoutes(None, None)  # type: ignore[arg-type]  # nothing is published
    for number in range(MOST_ROUTES + 1):
        routes.refused(Outgoing("amqptasks.queues", str(number), b"", Properties()))
    assert len(routes.routes) == 1
    assert Outgoing("amqptasks.queues", str(MOST_ROUTES), b"", Properties()) in routes


def test_a_call_that_waits_for_its_reply_is_asked_over_the_channel_of_replies(app: App, vhost: Vhost) -> None:
    """RabbitMQ closes another channel over which direct reply-to is asked for (406)."""
    with closing(app):
        limit(vhost, "^default$", 1)
        wait_for(lambda: refused(lambda: here(app)), 20, "the queue is full", 0.02)
        waits = app.send_task("here", (), queue="bound")
        with pytest.raises(BrokerError) as error:
            app.send_task("here", (), queue="default", timeout=5)
        assert isinstance(error.value, Nacked), "refused because the queue is full, and for nothing else"
        with app.worker(["bound"]):
            assert waits.get(timeout=20) == "ran"
