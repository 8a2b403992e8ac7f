"""Tasks that wait must hold up nobody (Celery: countdown, eta and retries sleep in the worker and fill its prefetch).

Measured with Celery 5.7, one child, prefetch 4, 40 tasks with a countdown of 50 seconds, then an immediate one: it ran
after 6 s on RabbitMQ 3.10, and after 50.7 s on 4.0 and 4.3, on classic and on quorum queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.acceptance.shop import Shop, said, said_nothing
from tests.harness.wait import wait_for

#: Seconds: long enough that the immediate task clearly ran before, short enough for a test that sees all forty run.
COUNTDOWN = 5.0


@pytest.mark.parametrize("queue_type", [pytest.param("classic", marks=pytest.mark.long), "quorum"])
def test_an_immediate_task_runs_at_once_beside_forty_that_wait(
    open_shop: Callable[[str], Shop], queue_type: str
) -> None:
    shop = open_shop(f"queues: {{default: {{type: {queue_type}}}}}\n")
    worker = shop.worker()
    began = time.monotonic()
    for number in range(40):
        shop.send("note", f"waiting-{number}", countdown=COUNTDOWN)
    sent = time.monotonic()
    shop.send("note", "immediate")
    said(worker, "ran", "immediate", timeout=2.0)
    assert time.monotonic() - sent < 2.0
    assert said_nothing(worker, r"waiting-\d+")
    assert sent - began < COUNTDOWN - 1.0, "publishing took so long that the test shows nothing"
    ran = said(worker, "ran", r"waiting-\d+", count=40, timeout=COUNTDOWN + 10.0)
    assert len({one.id for one in ran}) == len(ran) == 40
    assert time.monotonic() - began >= COUNTDOWN


def test_tasks_that_wait_are_in_the_broker_and_none_in_the_worker(open_shop: Callable[[str], Shop]) -> None:
    shop = open_shop("queues: {default: {}}\n")
    shop.worker()
    for number in range(40):
        shop.send("note", f"waiting-{number}", countdown=60)
    wait_for(lambda: shop.waiting() == 40, message=lambda: f"{shop.waiting()} wait in the ladder")
    wait_for(lambda: shop.unacked() == 0, message=lambda: f"{shop.unacked()} held unacked")


def test_countdowns_go_through_a_topic_exchange_with_their_routing_key(open_shop: Callable[[str], Shop]) -> None:
    """Celery's delays need a topic exchange, and it replaces the routing key."""
    shop = open_shop(
        "exchanges: {events: {type: topic}}\n"
        "queues: {default: {bindings: [{exchange: events, routing_key: 'order.#'}]}}\n"
    )
    worker = shop.worker()
    for number in range(10):
        shop.send("note", f"delayed-{number}", exchange="events", routing_key=f"order.paid.{number}", countdown=1)
    ran = said(worker, "ran", r"delayed-\d+", count=10)
    assert {one.word: one.routing_key for one in ran} == {f"delayed-{n}": f"order.paid.{n}" for n in range(10)}


def test_a_topology_with_short_delays_needs_few_objects(open_shop: Callable[[str], Shop]) -> None:
    """Celery made 28 queues, 29 exchanges and 57 bindings whatever was wanted."""
    shop = open_shop("queues: {default: {}}\ndelays: {max: 10s}\n")
    shop.send("note", "delayed", countdown=1)
    assert len([queue for queue in shop.management.queues() if "delay" in queue["name"]]) <= 20
    worker = shop.worker()
    said(worker, "ran", "delayed")


@pytest.mark.parametrize("queue_type", [pytest.param("classic", marks=pytest.mark.long), "quorum"])
def test_retries_that_wait_do_not_hold_up_an_immediate_task(open_shop: Callable[[str], Shop], queue_type: str) -> None:
    """Four retries with Celery's default delay of 180 seconds blocked its worker on 4.3."""
    shop = open_shop(f"queues: {{default: {{type: {queue_type}}}}}\n")
    worker = shop.worker()
    for number in range(4):
        shop.send("fragile", f"failing-{number}")
    said(worker, "began", r"failing-\d", count=4)
    shop.send("note", "immediate")
    said(worker, "ran", "immediate", timeout=2.0)
    wait_for(lambda: shop.waiting() == 4, message=lambda: f"{shop.waiting()} retries wait in the ladder")
    wait_for(lambda: shop.unacked() == 0, message=lambda: f"{shop.unacked()} held unacked")


def test_a_countdown_counts_before_any_worker_ever_started(open_shop: Callable[[str], Shop]) -> None:
    """Celery declares its delays in the worker: in a fresh virtual host all ten were lost."""
    shop = open_shop("queues: {default: {}}\n")
    sent = {shop.send("note", f"early-{number}", countdown=1) for number in range(10)}
    wait_for(lambda: shop.management.ready("default") == 10, message="all ten are due, and nobody consumes")
    late = {shop.send("note", f"late-{number}", countdown=1) for number in range(10)}
    worker = shop.worker()
    ran = said(worker, "ran", count=20)
    assert {one.id for one in ran} == sent | late
    assert len(ran) == 20
