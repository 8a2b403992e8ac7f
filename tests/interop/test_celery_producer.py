"""Tasks that Celery publishes run on our worker, and Celery's `rpc://` backend gets their results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain, chord, group

from amqptasks import App
from amqptasks.errors import TaskRejected
from tests.acceptance.shop import taken
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.interop.celery_app import OutOfStock, new_app
from tests.interop.conftest import close

#: Seconds for a task and its reply.
SOON = 10.0


@pytest.fixture
def our_worker(app: App) -> Iterator[list[str]]:
    """Our tasks of the names that Celery's producers know, and a worker for them; the ids of those that ran."""
    ran: list[str] = []

    @app.task(name="shop.add", bind=True)
    def add(self: Any, x: int, y: int) -> int:
        ran.append(self.request.id)
        return x + y

    @app.task(name="shop.fail")
    def fail(text: str) -> None:
        raise OutOfStock(text)

    @app.task(name="shop.tell", bind=True)
    def tell(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        return {
            "id": request.id,
            "args": list(args),
            "kwargs": kwargs,
            "priority": request.priority,
            "tenant": request.headers.get("tenant"),
            "limits": [request.time_limit, request.soft_time_limit],
            "origin": request.origin,
            "said": [request.argsrepr, request.kwargsrepr],
            "times": [request.expires is not None, request.eta],
            "ignore_result": request.ignore_result,
        }

    @app.task(name="shop.twice", bind=True)
    def twice(self: Any, wait: float) -> int:
        if self.request.retries < 2:
            self.retry(countdown=wait)
        return int(self.request.retries)

    with app.worker(["default"]):
        yield ran


def test_delay_runs_here_and_its_value_arrives_there(celery_producer: Celery, our_worker: list[str]) -> None:
    result = celery_producer.tasks["shop.add"].delay(2, 3)
    assert result.get(timeout=SOON) == 5
    assert result.state == "SUCCESS"
    assert our_worker == [result.id]


def test_an_exception_raised_here_is_raised_there_as_itself(celery_producer: Celery, our_worker: list[str]) -> None:
    result = celery_producer.tasks["shop.fail"].delay("no apples")
    with pytest.raises(OutOfStock, match="no apples"):
        result.get(timeout=SOON)
    assert result.state == "FAILURE"
    assert "in fail" in result.traceback


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_options_of_a_celery_call_reach_the_task(
    celery_producer: Celery, our_worker: list[str], compression: str | None
) -> None:
    result = celery_producer.tasks["shop.tell"].apply_async(
        (1, "zwölf"),
        {"deep": {"list": [1, None, 2.5]}},
        task_id="chosen-by-celery",
        priority=3,
        headers={"tenant": "acme"},
        expires=60,
        time_limit=30,
        soft_time_limit=20,
        compression=compression,
    )
    told = result.get(timeout=SOON)
    assert told.pop("origin").startswith("gen")
    assert told == {
        "id": "chosen-by-celery",
        "args": [1, "zwölf"],
        "kwargs": {"deep": {"list": [1, None, 2.5]}},
        "priority": 3,
        "tenant": "acme",
        "limits": [30, 20],
        "said": ["(1, 'zwölf')", "{'deep': {'list': [1, None, 2.5]}}"],
        "times": [True, None],
        "ignore_result": False,
    }


def test_celerys_countdown_and_eta_are_honoured_in_the_broker(
    celery_producer: Celery, our_worker: list[str], vhost: Vhost
) -> None:
    """Celery sends them at once, with a header: our worker hands them to the ladder, and holds nothing."""
    began = time.monotonic()
    add = celery_producer.tasks["shop.add"]
    results = [add.apply_async((number, 1), countdown=2) for number in range(20)]
    results.append(add.apply_async((20, 1), eta=datetime.now(UTC) + timedelta(seconds=2)))
    assert add.delay(0, 0).get(timeout=1.5) == 0
    assert len(our_worker) == 1
    assert [result.get(timeout=SOON) for result in results] == list(range(1, 22))
    assert time.monotonic() - began >= 2.0
    assert len(our_worker) == 22


def test_an_expired_celery_task_is_a_dead_letter_and_does_not_run(
    celery_producer: Celery, our_worker: list[str], vhost: Vhost
) -> None:
    result = celery_producer.tasks["shop.add"].apply_async((1, 1), expires=datetime.now(UTC) - timedelta(seconds=5))
    wait_for(lambda: vhost.management.ready("default.dead") == 1, message="it is a dead letter")
    ((headers, _),) = taken(vhost.url, "default.dead")
    assert headers["id"] == result.id
    assert our_worker == []


def test_retries_of_a_celery_task_keep_its_reply_address(celery_producer: Celery, our_worker: list[str]) -> None:
    assert celery_producer.tasks["shop.twice"].delay(0.1).get(timeout=SOON) == 2


def test_a_group_of_plain_tasks_runs(celery_producer: Celery, our_worker: list[str]) -> None:
    add = celery_producer.tasks["shop.add"]
    assert group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).apply_async().get(timeout=SOON) == [2, 4, 6]


def test_a_call_that_wants_no_result_gets_none(celery_producer: Celery, our_worker: list[str], vhost: Vhost) -> None:
    add = celery_producer.tasks["shop.add"]
    silent = add.apply_async((1, 1), ignore_result=True)
    assert add.delay(2, 2).get(timeout=SOON) == 4
    assert silent.id in our_worker
    assert silent.get(timeout=SOON) is None


def test_a_celery_producer_that_declares_our_queue_changes_nothing(
    vhost: Vhost, our_worker: list[str], queue_arguments: dict[str, Any]
) -> None:
    before = vhost.management.queue("default")
    producer = new_app(vhost.url, queue_arguments)
    try:
        assert producer.tasks["shop.add"].delay(20, 3).get(timeout=SOON) == 23
    finally:
        close(producer)
    after = vhost.management.queue("default")
    assert before is not None
    assert after is not None
    assert before["arguments"] == after["arguments"]


def test_a_chain_of_celerys_runs_to_its_last_step(celery_producer: Celery, our_worker: list[str]) -> None:
    add = celery_producer.tasks["shop.add"]
    last = chain(add.s(1, 1), add.s(10), add.s(100)).apply_async()
    assert last.get(timeout=SOON) == 112
    assert our_worker == [last.parent.parent.id, last.parent.id, last.id], "each step has the id that Celery gave it"


def test_links_of_celerys_run_with_the_value(celery_producer: Celery, our_worker: list[str]) -> None:
    add = celery_producer.tasks["shop.add"]
    linked = add.s(10).set(task_id="linked")
    assert add.apply_async((1, 1), link=[linked, add.si(5, 5)]).get(timeout=SOON) == 2
    wait_for(lambda: len(our_worker) == 3, message="both links ran")
    assert "linked" in our_worker


def test_an_error_callback_of_celerys_runs_with_the_id(celery_producer: Celery, our_worker: list[str]) -> None:
    add, fail = celery_producer.tasks["shop.add"], celery_producer.tasks["shop.fail"]
    failing = fail.apply_async(("no apples",), link_error=add.s("!").set(task_id="callback"))
    with pytest.raises(OutOfStock, match="no apples"):
        failing.get(timeout=SOON)
    wait_for(lambda: our_worker == ["callback"], message="the error callback ran")


def test_a_chord_is_a_dead_letter_and_never_half_run(
    celery_producer: Celery, our_worker: list[str], vhost: Vhost
) -> None:
    """A part of a chord as it travels; `rpc://` itself refuses to start a whole one."""
    add, tell = celery_producer.tasks["shop.add"], celery_producer.tasks["shop.tell"]
    with pytest.raises(NotImplementedError):
        chord([add.s(1, 1)], tell.s()).apply_async()
    task_id = str(add.apply_async((1, 1), chord=tell.s()).id)
    wait_for(lambda: vhost.management.ready("default.dead") == 1, message="it is a dead letter")
    ((headers, _),) = taken(vhost.url, "default.dead")
    assert (headers["id"], headers["x-amqptasks-reason"]) == (task_id, "unsupported")
    assert "chord" in headers["x-amqptasks-detail"]
    with pytest.raises(TaskRejected, match="unsupported"):
        celery_producer.AsyncResult(task_id).get(timeout=SOON)
    assert our_worker == []
