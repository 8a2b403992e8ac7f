"""Waiting and running longer than the broker's `consumer_timeout` (half an hour by default, two seconds here).

Celery's worker ended with `CRITICAL Unrecoverable error` on 3.10 and 4.0, and received the same task every minute on
4.3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop, new_shop, said
from tests.conftest import StartedBroker, start_node
from tests.harness.vhost import new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerProcess

#: Seconds.
TIMEOUT = 2
CONFIGURATION = {"consumer_timeout": str(TIMEOUT * 1000)}

#: Before 4.3 a channel looks for overdue deliveries once a minute; rabbitmq.conf knows no key for that.
LOOK_OFTEN = "application:set_env(rabbit, channel_tick_interval, 500)."


pytestmark = pytest.mark.kills_broker


@pytest.fixture(scope="module")
def impatient_broker(request: pytest.FixtureRequest) -> Iterator[StartedBroker]:
    with start_node("impatient", request, CONFIGURATION) as started:
        started.node.rabbitmqctl("eval", LOOK_OFTEN)
        yield started


@pytest.fixture
def open_shop(impatient_broker: StartedBroker, tmp_path: Path) -> Iterator[Callable[[str], Shop]]:
    with ExitStack() as stack:
        vhost = stack.enter_context(new_vhost(impatient_broker))
        yield lambda topology: stack.enter_context(new_shop(vhost, tmp_path, topology))


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_task_that_waits_longer_than_the_consumer_timeout_runs_once(
    open_shop: Callable[[str], Shop], queue_type: str
) -> None:
    shop = open_shop(f"queues: {{default: {{type: {queue_type}}}}}\n")
    worker = shop.worker()
    began = time.monotonic()
    sent = shop.send("note", "patient", countdown=TIMEOUT * 2 + 1)
    ran = said(worker, "ran", "patient", timeout=TIMEOUT * 2 + 10)[0]
    assert time.monotonic() - began > TIMEOUT * 2
    assert (ran.id, ran.deliveries) == (sent, 0)
    wait_for(lambda: shop.unacked() == 0, message="it is settled")
    assert len(said(worker, "ran", "patient")) == 1
    assert "lost" not in worker.output
    assert shop.management.ready("default") == 0


def test_a_worker_survives_a_task_that_runs_longer_than_the_consumer_timeout(
    open_shop: Callable[[str], Shop],
) -> None:
    """The broker takes the message away: the task comes again, knows it, and the worker goes on consuming."""
    shop = open_shop("queues: {default: {}}\n")
    worker = shop.worker("-c", "2")
    sent = shop.send("slow_at_first", "endless", TIMEOUT * 2)
    ended = said(worker, "ended", "endless", count=2, timeout=TIMEOUT * 2 + 20)
    assert [one.id for one in ended] == [sent, sent]
    assert {one.deliveries > 0 for one in ended} == {False, True}
    shop.send("note", "afterwards")
    said(worker, "ran", "afterwards")
    assert worker.status is None
    wait_for(lambda: shop.management.consumer_count("default") == 1, message="exactly one consumer is left")


def test_a_queue_for_long_tasks_has_a_consumer_timeout_of_its_own(
    open_shop: Callable[[str], Shop],
) -> None:
    """It counts instead of the broker's, from 3.12 on; before that only rabbitmq.conf can help."""
    shop = open_shop("queues: {default: {consumer_timeout: 1h}}\n")
    run_longer(shop, shop.worker("-c", "2"), taken_back=shop.management.release() < (3, 12, 0))


def test_a_worker_tells_the_broker_how_long_its_tasks_may_take(
    open_shop: Callable[[str], Shop],
) -> None:
    """From 4.3 on a consumer may: nobody need set anything on the broker."""
    shop = open_shop("queues: {default: {}}\n")
    worker = shop.worker("-c", "2", "--time-limit", "3600")
    run_longer(shop, worker, taken_back=shop.management.release() < (4, 3, 0))


def run_longer(shop: Shop, worker: WorkerProcess, *, taken_back: bool) -> None:
    """A task runs longer than rabbitmq.conf allows: once, or twice where the broker takes it back meanwhile."""
    sent = shop.send("slow_at_first", "endless", TIMEOUT * 2)
    runs = 2 if taken_back else 1
    ended = said(worker, "ended", "endless", count=runs, timeout=TIMEOUT * 2 + 20)
    wait_for(lambda: shop.unacked() == 0, message="it is settled")
    assert [one.id for one in said(worker, "began", "endless", count=runs)] == [sent] * runs
    # Two runs go on side by side here, and the second, which does not sleep as long, ends first.
    assert sorted(one.deliveries > 0 for one in ended) == [False, True][:runs]
    assert ("lost" in worker.output) is taken_back
