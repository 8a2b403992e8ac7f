"""A task whose connection or worker dies under it: never lost, and run again only with the evidence in its request."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.acceptance.shop import Shop, said
from tests.harness.wait import wait_for

#: Seconds that a task runs until its connection is closed under it; the broker lists connections a second late.
RUNNING = 3.0

QUEUE_TYPES = pytest.mark.parametrize("queue_type", ["classic", "quorum"])


@QUEUE_TYPES
def test_a_task_whose_connection_is_closed_runs_on_and_settles_its_redelivery(
    open_shop: Callable[[str], Shop], queue_type: str
) -> None:
    """The message comes back to the worker that still runs its task: one run, and its outcome counts."""
    shop = open_shop(f"queues: {{default: {{type: {queue_type}}}}}\n")
    worker = shop.worker()
    sent = shop.send("slow_at_first", "interrupted", RUNNING)
    first = said(worker, "began", "interrupted")[0]
    assert (first.id, first.deliveries) == (sent, 0)
    wait_for(shop.management.connections, message="the worker's connections are listed")
    assert shop.management.close_connections("an operator closed it") >= 1
    (ended,) = said(worker, "ended", "interrupted", timeout=15.0)
    assert (ended.id, ended.deliveries) == (sent, 0)
    shop.send("note", "afterwards")
    said(worker, "ran", "afterwards")
    assert shop.management.consumer_count("default") == 1
    wait_for(lambda: shop.unacked() == 0, message="all is settled")
    assert len(said(worker, "began", "interrupted")) == 1
    assert shop.management.ready("default.dead") == 0


@QUEUE_TYPES
def test_a_task_whose_worker_is_killed_runs_on_another_one(open_shop: Callable[[str], Shop], queue_type: str) -> None:
    """With Celery's defaults it was lost, for it acknowledges before it runs."""
    shop = open_shop(f"queues: {{default: {{type: {queue_type}}}}}\n")
    killed = shop.worker()
    sent = [shop.send("slow_at_first", f"task-{number}", 60) for number in range(3)]
    assert said(killed, "began")[0].deliveries == 0
    assert killed.kill() == -signal.SIGKILL
    other = shop.worker("-c", "3")
    ended = said(other, "ended", count=1)
    again = {one.word: one.deliveries for one in said(other, "began", count=1)}
    assert ended[0].id in sent
    assert any(again.values()), "the redelivered task cannot tell that it is one"


def test_tasks_of_a_killed_worker_that_had_not_begun_are_not_lost(open_shop: Callable[[str], Shop]) -> None:
    shop = open_shop("queues: {default: {}}\n")
    killed = shop.worker()  # one thread, prefetch four: one runs, three wait in it
    sent = {shop.send("work", f"task-{number}", 0.5) for number in range(12)}
    said(killed, "began", count=2)
    killed.kill()
    done = {one.id for one in said(killed, "ended", count=1)}
    other = shop.worker("-c", "4")
    wait_for(
        lambda: {one.id for one in said(other, "ended", count=1, timeout=20.0)} | done == sent,
        timeout=20.0,
        message=lambda: f"all ran; what the second worker said:\n{other.output}",
    )
    assert shop.management.ready("default.dead") == 0


def test_a_task_that_kills_its_worker_ends_as_a_dead_letter(open_shop: Callable[[str], Shop]) -> None:
    """It must not loop: each worker that it kills counts, and the worker at the limit does not run it."""
    shop = open_shop("queues: {default: {delivery_limit: 2}}\n")
    shop.send("slow_at_first", "fine", 0)
    poison = shop.send("work", "poison", 60)
    for _ in range(2):
        victim = shop.worker()
        assert said(victim, "began", "poison")[0].id == poison
        victim.kill()
    survivor = shop.worker()
    wait_for(lambda: shop.management.ready("default.dead") == 1, message="the poison is a dead letter")
    assert survivor.status is None
    assert "began poison" not in survivor.output
    assert shop.dead_letters() == {poison: "too-many-deliveries"}
