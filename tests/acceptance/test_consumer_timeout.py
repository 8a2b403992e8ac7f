"""Waiting and running longer than the broker's `consumer_timeout` (half an hour by default, two seconds here).

Celery's worker ended with `CRITICAL Unrecoverable error` on 3.10 and 4.0, and received the same task every minute on
4.3.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
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


@pytest.mark.parametrize("queue_type", [pytest.param("classic", marks=pytest.mark.long), "quorum"])
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


def test_a_task_that_runs_longer_than_the_consumer_timeout_runs_once(
    open_shop: Callable[[str], Shop],
) -> None:
    """The broker takes the message away and delivers it again: the run goes on with the new delivery, several times."""
    shop = open_shop("queues: {default: {delivery_limit: 2}}\n")
    worker = shop.worker("-c", "2")
    sent = shop.send("slow_at_first", "endless", TIMEOUT * 3 + 1)
    ended = said(worker, "ended", "endless", timeout=TIMEOUT * 3 + 20)
    wait_for(lambda: shop.unacked() == 0, message="it is settled")
    assert [(one.id, one.deliveries) for one in ended] == [(sent, 0)]
    assert len(said(worker, "began", "endless")) == 1
    assert re.search(r"slow_at_first\[\S+\] has run for \d+ s, .*consumer timeout", worker.output)
    shop.send("note", "afterwards")
    said(worker, "ran", "afterwards")
    assert worker.status is None
    wait_for(lambda: shop.management.consumer_count("default") == 1, message="exactly one consumer is left")
    assert shop.management.ready("default.dead") == 0


def test_a_message_whose_workers_die_over_the_consumer_timeout_becomes_a_dead_letter(
    open_shop: Callable[[str], Shop],
) -> None:
    """From 4.3 on the broker does not count what it takes back: the worker does, to five times the delivery limit."""
    shop = open_shop("queues: {default: {delivery_limit: 1}}\n")
    if shop.management.release() < (4, 3, 0):
        pytest.skip("before 4.3 the broker counts what it takes back against the delivery limit")
    sent = shop.send("slow_at_first", "endless", TIMEOUT * 4)
    taken_back(shop.url, "default", 5)
    worker = shop.worker("-c", "1")
    worker.wait_for_line(r"cannot run \(too-many-deliveries\): it was taken from its queue \d+ times", 20)
    wait_for(lambda: shop.management.ready("default.dead") == 1, message="it is a dead letter")
    assert shop.dead_letters() == {sent: "too-many-deliveries"}
    assert not re.search("(?m)^began endless", worker.output)


def taken_back(url: str, queue: str, times: int) -> None:
    """Somebody takes the first message and gives it back, without a failure."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for _ in range(times):
            method = wait_for(lambda: channel.basic_get(queue)[0], message="it is there again")
            channel.basic_nack(method.delivery_tag, requeue=True)


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
    """A task runs longer than rabbitmq.conf allows: once, also where the broker takes it back meanwhile."""
    sent = shop.send("slow_at_first", "endless", TIMEOUT * 2)
    ended = said(worker, "ended", "endless", timeout=TIMEOUT * 2 + 20)
    wait_for(lambda: shop.unacked() == 0, message="it is settled")
    assert [(one.id, one.deliveries) for one in ended] == [(sent, 0)]
    assert len(said(worker, "began", "endless")) == 1
    assert ("are lost" in worker.output) is taken_back
