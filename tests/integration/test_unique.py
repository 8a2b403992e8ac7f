"""`unique=` and `unique_for=`: one call waits, or one comes in a period, and the others are told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from amqptasks import Retry
from amqptasks.calls import call
from amqptasks.errors import AlreadyQueued, DeclarationConflict, PartlyPublished, Unroutable
from amqptasks.options.unique import Claim
from amqptasks.transport.entities import Queue
from tests.harness.apps import NewApp
from tests.harness.unique import RevocationBarrier, gets_in, refused
from tests.harness.wait import wait_for


def test_one_waits_and_the_second_is_told_which(new_app: NewApp) -> None:
    app, other = new_app(), new_app()
    task = app.task(name="work", unique=True)(lambda word: None)
    first = task.delay("a")
    error = refused(task.delay, "a")
    assert error.holder == first.id
    assert (error.task, error.key) == ("work", '{"word":"a"}')
    assert error.message_id not in (None, first.id)
    assert refused(other.task(name="work", unique=True)(lambda word: None).delay, word="a").holder == first.id
    task.delay("b")


def test_once_it_has_begun_another_may_wait(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    task = app.task(name="work", unique=True)(barrier.work)
    with app.worker(concurrency=1):
        task.delay("a")
        barrier.wait(1)
        second = task.delay("a")  # it waits in the prefetch of the worker
        assert refused(task.delay, "a").holder == second.id
        barrier.may_end.set()
        barrier.wait(2)
        task.delay("a")
        barrier.wait(3)


def test_an_async_task_too(new_app: NewApp) -> None:
    app, began = new_app(), threading.Event()

    @app.task(name="work", unique=True)
    async def work() -> None:
        began.set()
        await asyncio.sleep(30)

    with app.worker() as worker:
        work.delay()
        assert began.wait(20)
        work.delay()
        wait_for(lambda: len(worker.current) == 2)
        worker.stop_now()


def test_a_key_names_what_counts(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique="report-{shop}")(lambda shop, day: None)
    task.delay("a", 1)
    assert refused(task.delay, "a", day=2).key == "report-a"
    task.delay("b", 1)


def test_a_call_of_any_task_can_be_the_only_one(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work")(lambda word: None)
    task.apply_async(("a",), unique=True)
    refused(task.apply_async, ("a",), unique=True)
    task.delay("a")  # this one says nothing of it
    app.send_task("foreign", kwargs={"word": "a"}, queue="default", unique="{word}")
    refused(app.send_task, "foreign", kwargs={"word": "a"}, queue="default", unique="{word}")
    strict = app.task(name="strict", unique=True)(lambda: None)
    strict.delay()
    strict.apply_async(unique=False)


def test_one_in_a_period_whether_it_waits_or_not(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    barrier.may_end.set()
    task = app.task(name="work", unique_for=300)(barrier.work)
    with app.worker():
        first = task.delay("a")
        barrier.wait(1)
        assert refused(task.delay, "a").holder == first.id
        published = time.monotonic()
        task.apply_async(("b",), unique_for=1.0)
        wait_for(lambda: gets_in(task.apply_async, ("b",), unique_for=1.0), 20.0, "the period ends, asked for or not")
        assert time.monotonic() - published >= 0.95


def test_of_many_threads_one_gets_in(new_app: NewApp) -> None:
    apps = [new_app() for _ in range(4)]
    tasks = [app.task(name="work", unique=True)(lambda number: None) for app in apps]
    start = threading.Barrier(16)

    def call(caller: int) -> list[int]:
        got: list[int] = []
        for number in range(10):
            start.wait()
            try:
                tasks[caller % 4].delay(number)
            except AlreadyQueued:
                continue
            got.append(number)
        return got

    with ThreadPoolExecutor(16) as threads:
        found = [number for got in threads.map(call, range(16)) for number in got]
    assert sorted(found) == list(range(10))


def test_a_call_that_the_broker_refuses_leaves_nothing_behind(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda: None)
    for _ in range(2):
        with pytest.raises(Unroutable):
            task.apply_async(exchange="amqptasks.queues", routing_key="nowhere")
    task.delay()
    refused(task.delay)


def test_publish_many_counts_those_that_are_queued_already(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    barrier.may_end.set()
    task = app.task(name="work", unique=True)(barrier.work)
    with pytest.raises(PartlyPublished, match=r"^3 of 6 calls were not accepted \(3 are queued already\)") as caught:
        task.publish_many([("a",), ("b",), ("a",), ("a",), ("c",), ("b",)])
    assert caught.value.already_queued == 3
    assert [(position, type(error)) for position, error in caught.value.failed] == [
        (position, AlreadyQueued) for position in (2, 3, 5)
    ]
    with app.worker():
        barrier.wait(3)
        task.publish_many([("a",), ("b",)])
        barrier.wait(5)
    assert sorted(map(str, barrier.began)) == ["a", "a", "b", "b", "c"]


def test_publish_many_gives_back_what_the_broker_refused(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda word: None)
    with pytest.raises(PartlyPublished) as caught:
        task.publish_many([("a",), ("b",)], exchange="amqptasks.queues", routing_key="nowhere")
    assert caught.value.already_queued == 0
    assert len(task.publish_many([("a",), ("b",)])) == 2


def test_asyncio_is_told_as_well(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda word: None)

    async def run() -> list[object]:
        return await asyncio.gather(*(task.adelay("a") for _ in range(8)), return_exceptions=True)

    outcomes = asyncio.run(run())
    assert sum(isinstance(one, AlreadyQueued) for one in outcomes) == 7
    with pytest.raises(Unroutable):
        asyncio.run(task.aapply_async(("b",), exchange="amqptasks.queues", routing_key="nowhere"))
    asyncio.run(task.adelay("b"))


def test_a_call_that_is_cancelled_while_it_asks_for_its_claim_leaves_none(new_app: NewApp) -> None:
    app, asks, may_take = new_app(), threading.Event(), threading.Event()
    task = app.task(name="work", unique=True)(lambda: None)
    take = app.caller.claims.take

    def slow(claim: Claim, until: float | None = None) -> bool:
        asks.set()
        may_take.wait(20)
        return take(claim)

    async def run() -> None:
        app.caller.claims.take = slow  # type: ignore[method-assign]
        calling = asyncio.create_task(task.adelay())
        assert await asyncio.to_thread(asks.wait, 20)
        calling.cancel()
        await asyncio.sleep(0)
        may_take.set()
        with pytest.raises(asyncio.CancelledError):
            await calling
        app.caller.claims.take = take  # type: ignore[method-assign]

    asyncio.run(run())
    task.delay()


def test_a_call_that_is_interrupted_while_it_asks_for_its_claim_leaves_none(
    new_app: NewApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda word: None)
    task.delay("a")
    session = app.caller.claims._session
    assert session is not None
    declare = session.declare_queue

    def interrupted(queue: Queue) -> None:
        declare(queue)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session, "declare_queue", interrupted)
        with pytest.raises(KeyboardInterrupt):
            task.delay("b")
    task.delay("b")


def test_publish_many_publishes_what_has_a_claim_before_it_fails(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    barrier.may_end.set()
    task = app.task(name="work", unique=True)(barrier.work)

    def calls() -> Iterator[tuple[str]]:
        yield ("a",)
        yield ("b",)
        raise LookupError("the source of the calls is gone")

    with pytest.raises(LookupError):
        task.publish_many(calls())
    with app.worker():
        barrier.wait(2)
        task.publish_many([("a",), ("b",)])


def test_what_never_runs_waits_no_longer(new_app: NewApp) -> None:
    app = new_app()

    assert gets_in(app.send_task, "unknown", unique=True)
    assert not gets_in(app.send_task, "unknown", unique=True)
    with app.worker() as worker:
        wait_for(lambda: worker.counts["Reject"] == 1, 20.0)
        wait_for(
            lambda: gets_in(app.send_task, "unknown", unique=True), 20.0, "the claim of the dead letter is released"
        )


def test_what_was_revoked_waits_no_longer(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    app.task(name="busy")(barrier.work)
    task = app.task(name="work", unique=True)(lambda: None)
    with app.worker(concurrency=1) as worker:
        app.send_task("busy")
        barrier.wait(1)
        first = task.delay()  # it lies in the prefetch
        refused(task.delay)
        app.control.revoke(first.id)
        wait_for(lambda: worker.counts["Revoked"] == 1, 20.0)
        wait_for(lambda: gets_in(task.delay), 20.0, "the claim of the revoked call is released")
        barrier.may_end.set()


def test_a_retry_does_not_wait_as_the_first_does(new_app: NewApp) -> None:
    app, runs = new_app(), []

    @app.task(name="work", unique=True)
    def work() -> None:
        runs.append(time.monotonic())
        if len(runs) == 1:
            raise Retry(1.0)

    with app.worker():
        work.delay()
        wait_for(lambda: runs, 20.0)
        work.delay()  # beside the retry
        wait_for(lambda: len(runs) == 3, 20.0)


def test_what_its_limits_put_off_still_waits(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    task = app.task(name="work", unique=True, max_concurrency=1)(barrier.work)
    with app.worker(concurrency=2) as worker:
        task.delay("a")
        barrier.wait(1)
        second = task.delay("b")
        wait_for(lambda: worker.counts["Throttled"] >= 1, 20.0)
        assert refused(task.delay, "b").holder == second.id
        barrier.may_end.set()
        barrier.wait(2)
        task.delay("b")
        barrier.wait(3)


def test_a_delayed_call_waits_from_the_beginning(new_app: NewApp) -> None:
    app, barrier = new_app(), RevocationBarrier()
    barrier.may_end.set()
    task = app.task(name="work", unique=True)(barrier.work)
    with app.worker():
        delayed = task.apply_async(countdown=3.0)
        assert refused(task.delay).holder == delayed.id
        barrier.wait(1)
        task.delay()


def test_what_follows_on_a_task_comes_whatever_waits(new_app: NewApp) -> None:
    app, done = new_app(), []
    unique = app.task(name="unique", unique=True)(lambda *_: done.append(1))
    first = app.task(name="first")(lambda: None)
    unique.apply_async(countdown=2.0)
    with app.worker():
        first.apply_async(link=unique.si())
        wait_for(lambda: len(done) == 2, 20.0)


def test_the_same_call_may_be_published_again(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda: None)
    task.apply_async(task_id="mine")
    task.apply_async(task_id="mine")
    task.apply_async(task_id="mine", expires=60)  # for another time
    assert refused(task.delay).holder == "mine"
    assert refused(task.apply_async, expires=30).holder == "mine"


def test_the_same_call_keeps_its_claim_when_it_is_published_again_in_vain(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda: None)
    nowhere: dict[str, Any] = {"exchange": "amqptasks.queues", "routing_key": "nowhere"}
    with pytest.raises(Unroutable):
        task.apply_async(task_id="other", **nowhere)
    task.apply_async(task_id="mine")  # the other one gave its claim back
    with pytest.raises(Unroutable):
        task.apply_async(task_id="mine", **nowhere)
    with pytest.raises(Unroutable):
        asyncio.run(task.aapply_async(task_id="mine", **nowhere))
    assert refused(task.delay).holder == "mine"


def test_a_connection_that_got_no_claim_is_closed_later_too(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", unique=True)(lambda: None)
    made = call.make(app, task, (), {}, {})
    assert made.claim is not None
    with app.session(10.0) as session:
        session.declare_queue(Queue(made.claim.name, arguments={"x-queue-type": "classic", "x-max-length": 1}))
    with pytest.raises(DeclarationConflict):
        task.delay()
    assert app.caller.claims._session is not None
    assert app.caller.claims._closing


def test_an_id_of_any_length_is_known_again(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="w" * 255, unique=True)(lambda: None)
    task.apply_async(task_id="é" * 125)
    task.apply_async(task_id="é" * 125)
    assert refused(task.apply_async, task_id="é" * 124).holder is None
