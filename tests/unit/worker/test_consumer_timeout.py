"""How long the broker is asked to wait for the acknowledgement of tasks that may take long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amqptasks import App
from amqptasks.worker.consume.consumer import ConsumedQueue
from amqptasks.worker.consume.consumer_timeout import ConsumerTimeout

HOUR = 3600.0

QUEUES = """
version: 1
queues:
  reports: {}
  short: {}
  told: {consumer_timeout: 2h}
  classic: {type: classic}
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    file = tmp_path / "topology.yaml"
    file.write_text(QUEUES)
    made = App("patience", "memory://", topology=file)

    for queue in ("reports", "told", "classic"):
        made.task(name=f"hour.{queue}", queue=queue, time_limit=HOUR)(_nothing)
    made.task(name="minute", queue="short", time_limit=60.0)(_nothing)
    made.task(name="endless", queue="short")(_nothing)
    yield made
    made.close()


def _nothing() -> None: ...


def asked(app: App, queue: str, prefetch: int = 4, concurrency: int = 2, limit: float | None = None) -> float | None:
    return ConsumerTimeout(app, limit, concurrency).of(ConsumedQueue(app.topology.queue(queue), prefetch))


def test_it_is_as_long_as_what_was_prefetched_before_a_task_may_run_and_then_the_task(app: App) -> None:
    assert asked(app, "reports", prefetch=4, concurrency=2) == 4 * HOUR
    assert asked(app, "reports", prefetch=1, concurrency=2) == 2 * HOUR


def test_the_brokers_own_is_enough_for_short_tasks_and_for_those_without_a_limit(app: App) -> None:
    assert asked(app, "short") is None
    assert asked(app, "short", prefetch=60, concurrency=1) == 62 * 60.0, "the last of them waits for an hour"


def test_the_workers_own_limit_holds_for_tasks_without_one(app: App) -> None:
    assert asked(app, "short", limit=2 * HOUR) == 8 * HOUR


@pytest.mark.parametrize("queue", ["told", "classic"])
def test_a_queue_with_its_own_is_left_alone_and_one_that_knows_none(app: App, queue: str) -> None:
    assert asked(app, queue, limit=HOUR) is None
