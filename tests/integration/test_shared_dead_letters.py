"""A queue in which the dead letters of several end, and a stream: a worker that is not told its queues leaves both."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqptasks import App
from amqptasks.errors import TopologyError
from tests.harness.apps import NewApp
from tests.harness.wait import wait_for

SHOP = """
version: 1
exchanges:
  orders: {type: fanout}
queues:
  payments: {dead_letter: {queue: trouble}, bindings: [{exchange: orders}]}
  refunds: {dead_letter: {queue: trouble}}
  trouble: {}
"""

AUDIT = "  audit: {type: stream, bindings: [{exchange: orders}], max_age: 7d}\n"


@pytest.fixture
def shop(new_app: NewApp, request: pytest.FixtureRequest, tmp_path: Path) -> App:
    file = tmp_path / "shop.yaml"
    on_memory = "memory" in request.node.name
    file.write_text(SHOP if on_memory else SHOP + AUDIT)  # the broker in memory has no streams
    app = new_app(topology=file)
    app.declare()
    return app


def test_a_letter_is_not_run_again(shop: App) -> None:
    ran: list[str] = []

    @shop.task(name="pay", queue="payments")
    def pay(order: str) -> None:
        ran.append(order)
        raise ValueError(order)

    with shop.worker() as node, shop.session() as session:
        assert sorted(node.queues) == ["payments", "refunds"]
        pay.delay("first")
        wait_for(lambda: (state := session.queue_state("trouble")) and state.messages == 1)
        pay.delay("second")
        wait_for(lambda: (state := session.queue_state("trouble")) and state.messages == 2)
        assert ran == ["first", "second"]


def test_it_is_refused_by_name(shop: App) -> None:
    with (
        pytest.raises(TopologyError, match=r"cannot consume 'trouble': it holds the dead letters of payments, refunds"),
        shop.worker(["trouble"]),
    ):
        raise AssertionError("it began")
