"""What we publish runs on a real Celery worker, and its results come back to our callers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerProcess
from tests.interop.celery_app import OutOfStock

#: Seconds for a task and its reply.
SOON = 15.0


def test_a_celery_worker_runs_our_calls_and_answers_them(
    app: App, vhost: Vhost, celery_worker: Callable[[], WorkerProcess]
) -> None:
    """One worker for all of it: it takes seconds to start."""
    worker = celery_worker()
    assert app.send_task("shop.add", (2, 3)).get(timeout=SOON) == 5

    with pytest.raises(OutOfStock, match="no apples") as caught:
        app.send_task("shop.fail", ("no apples",)).get(timeout=SOON)
    assert any("Remote traceback" in note for note in caught.value.__notes__)

    told = app.send_task("shop.tell", (1, "zwölf"), {"deep": [None, 2.5]}, task_id="ours").get(timeout=SOON)
    assert told == {"id": "ours", "args": [1, "zwölf"], "kwargs": {"deep": [None, 2.5]}, "retries": 0}

    many = app.task(name="shop.add")(lambda x, y: None).publish_many([(number, 1) for number in range(50)])
    assert [result.get(timeout=SOON) for result in many] == list(range(1, 51))

    assert worker.status is None
    wait_for(lambda: vhost.management.ready("default") == 0, message="all is consumed")


def test_retries_by_a_celery_worker_end_in_our_callers_result(
    app: App, celery_worker: Callable[[], WorkerProcess]
) -> None:
    worker = celery_worker()
    result = app.send_task("shop.twice", (0.2,))
    assert result.get(timeout=SOON) == 2
    assert worker.output.count("Retry in 0.2s") == 2


def test_our_countdown_waits_in_the_broker_and_not_in_the_celery_worker(
    app: App, vhost: Vhost, celery_worker: Callable[[], WorkerProcess]
) -> None:
    worker = celery_worker()
    began = time.monotonic()
    later: list[Any] = [app.send_task("shop.add", (number, 1), countdown=3) for number in range(20)]
    later.append(app.send_task("shop.add", (20, 1), eta=datetime.now(UTC) + timedelta(seconds=3)))
    assert app.send_task("shop.add", (0, 0)).get(timeout=2.5) == 0
    assert worker.output.count("received") == 1
    assert [result.get(timeout=SOON) for result in later] == list(range(1, 22))
    assert time.monotonic() - began >= 3.0


def test_an_expired_call_of_ours_is_revoked_by_a_celery_worker(
    app: App, celery_worker: Callable[[], WorkerProcess]
) -> None:
    expired = app.send_task("shop.add", (1, 1), expires=0.5)
    time.sleep(0.6)
    worker = celery_worker()
    assert app.send_task("shop.add", (2, 2)).get(timeout=SOON) == 4
    worker.wait_for_line(rf"(?i)(discarding revoked|expired).*{expired.id}|{expired.id}.*(revoked|expired)")


def test_a_celery_worker_runs_what_follows_on_our_calls(
    app: App, celery_worker: Callable[[], WorkerProcess], vhost: Vhost
) -> None:
    """Links, an error callback and a chain, under the ids that we gave them."""
    worker = celery_worker()
    last = app.signature("shop.add", (100,)).set(task_id="last")
    told = app.signature("shop.tell").set(task_id="told")
    chained = app.send_task("shop.add", (1, 2), chain=[last, app.signature("shop.add", (10,))], link=told)
    assert chained.get(timeout=SOON) == 3
    failed = app.send_task("shop.fail", ("no apples",), link_error=app.signature("shop.tell").set(task_id="alarm"))
    with pytest.raises(OutOfStock, match="no apples"):
        failed.get(timeout=SOON)
    worker.wait_for_line(r"shop\.add\[last\] succeeded in .*: 113")
    worker.wait_for_line(r"shop\.tell\[told\] succeeded in .*'args': \[3\]")
    worker.wait_for_line(rf"shop\.tell\[alarm\] succeeded in .*'args': \['{failed.id}'\]")
