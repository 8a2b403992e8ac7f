"""A run that lost its lease (`request.lease_lost`) takes its redelivery as the next one: in each order of events.

Over `memory://`, where a break redelivers at once; real brokers and all pools are in
`tests/integration/test_lost_leases.py`.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from amqptasks import App
from amqptasks.memory.registry import broker_of, forget
from amqptasks.worker.node import Node
from tests.harness.wait import wait_for
from tests.unit.tasks.test_followers import letters


class Runs:
    """An app whose tasks wait for `barrier`, its workers, and what ran where."""

    def __init__(self) -> None:
        self.url = f"memory://{uuid.uuid4().hex}"
        self.barrier = threading.Event()
        self.began: list[str] = []
        self.ended: list[str] = []
        self.told: list[bool] = []
        self.apps: list[App] = []

    def app(self, name: str) -> App:
        app = App(name, self.url)
        self.apps.append(app)
        app.task(name="hold", bind=True)(lambda task, *args: self._hold(name, *args))
        app.task(name="early", acks_late=False)(lambda *args: self._hold(name, *args))
        app.task(name="watch", bind=True)(self._watch)
        app.task(name="fail", bind=True, max_retries=1, default_retry_delay=0.05)(self._fail)
        app.task(name="limited", time_limit=1.5)(lambda *args: self._hold(name, *args))

        @app.task(name="ahold")
        async def ahold() -> str:
            self.began.append(name)
            while not self.barrier.is_set():
                await asyncio.sleep(0.01)
            self.ended.append(name)
            return "done"

        return app

    def _hold(self, name: str, *_: Any) -> str:
        self.began.append(name)
        assert self.barrier.wait(20)
        self.ended.append(name)
        return "done"

    def _watch(self, task: Any) -> str:
        self.began.append("watch")
        wait_for(lambda: task.request.lease_lost or self.barrier.is_set(), 20)
        self.told.append(task.request.lease_lost)
        self.ended.append("watch")
        return "done"

    def _fail(self, task: Any) -> str:
        self.began.append(str(task.request.retries))
        assert self.barrier.wait(20)
        if not task.request.retries:
            task.retry()
        return "done"

    def cut(self, loser: Node | None = None) -> None:
        """Break every connection: what is not settled is delivered again. `loser` knows by then that a run of its own
        has no lease."""
        broker_of(self.url).break_connections()
        if loser is not None:
            wait_for(lambda: not loser.lost_runs.is_empty, 10, "its lease is lost")

    def await_begun(self, count: int = 1) -> None:
        wait_for(lambda: len(self.began) >= count, 10, lambda: f"began: {self.began}")


@pytest.fixture
def runs() -> Iterator[Runs]:
    made = Runs()
    yield made
    made.barrier.set()
    for app in made.apps:
        app.close()
    forget(made.url)


def saved(node: Node) -> int:
    return node.lost_runs.saved


def await_saved(node: Node, count: int = 1) -> None:
    wait_for(lambda: saved(node) == count, 10, lambda: f"{saved(node)} were taken over: {node.counts}")


@pytest.mark.parametrize("task", ["hold", "ahold"])
def test_a_redelivery_while_it_runs_is_settled_with_its_outcome(runs: Runs, task: str) -> None:
    with runs.app("one").worker() as node:
        result = runs.apps[0].send_task(task)
        runs.await_begun()
        for count in (1, 2, 3):
            runs.cut()
            await_saved(node, count)
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert runs.began == ["one"]
        assert not node.counts["Lost"]
        assert not node.held
        assert runs.apps[0].control.stats(timeout=0.3)[node.name].second_runs_saved == 3
    assert not result.failed()


def test_a_redelivery_elsewhere_runs_there_and_the_first_run_is_dropped(runs: Runs) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(runs.app("one").worker())
        runs.apps[0].send_task("hold", ignore_result=True)
        runs.await_begun()
        two = stack.enter_context(runs.app("two").worker())
        one.link.call_soon(one.queues["default"].pause)
        wait_for(lambda: not one.queues["default"].consuming, 10)
        runs.cut(one)
        runs.await_begun(2)
        assert runs.began == ["one", "two"]
        runs.barrier.set()
        wait_for(lambda: two.counts["Success"] == 1, 10)
        assert not one.counts["Success"]
    assert one.counts["Lost"] == 1, "once it stops, nothing can come back"
    assert saved(one) == saved(two) == 0


def test_a_redelivery_after_the_end_is_settled_with_the_outcome_that_was_kept(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        runs.apps[0].send_task("hold", ignore_result=True)
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        runs.cut(node)
        runs.barrier.set()
        wait_for(lambda: runs.ended, 10)
        wait_for(lambda: not node.current, 10)
        assert not node.counts["Success"]
        node.link.call_soon(node.queues["default"].resume)
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert (runs.began, saved(node)) == (["one"], 1)
        assert node.lost_runs.is_empty


def test_a_retry_of_a_lost_run_is_published_once(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        result = runs.apps[0].send_task("fail", ignore_result=True)
        runs.await_begun()
        runs.cut()
        await_saved(node)
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert runs.began == ["0", "1"], f"of {result.id}"
        assert (node.counts["Retry"], node.counts["Lost"]) == (1, 0)


def test_a_warm_stop_settles_a_lost_run_whose_redelivery_came(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        runs.apps[0].send_task("hold", ignore_result=True)
        runs.await_begun()
        runs.cut()
        await_saved(node)
        node.stop()
        wait_for(lambda: node.is_stopping, 10)
        runs.barrier.set()
    assert (node.counts["Success"], node.counts["Lost"]) == (1, 0)
    assert runs.began == ["one"]


def test_a_stop_before_the_redelivery_leaves_the_message_to_others(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        runs.apps[0].send_task("hold", ignore_result=True)
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        runs.cut(node)
        wait_for(lambda: not node.held, 10)
        node.stop()
        wait_for(lambda: node.is_stopping, 10)
        runs.barrier.set()
    assert (node.counts["Success"], node.counts["Lost"]) == (0, 1)
    with runs.app("two").worker() as other:
        wait_for(lambda: other.counts["Success"] == 1, 10)
    assert runs.began == ["one", "two"]


def test_an_early_ack_that_came_too_late_is_written_with_the_next_lease(runs: Runs) -> None:
    """The task begins in the moment in which its lease is lost: the ack has nowhere to go."""
    with runs.app("one").worker() as node:
        ack_early, reached = node.completions.ack_early, threading.Event()

        def late(job: Any) -> None:
            if not reached.is_set():
                reached.set()
                runs.cut()
                node.link.call_later(0.1, lambda: ack_early(job))

        node.completions.ack_early = late  # type: ignore[method-assign]
        runs.apps[0].send_task("early", ignore_result=True)
        runs.await_begun()
        await_saved(node)
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert runs.began == ["one"]


def test_a_task_with_an_early_ack_has_no_lease_to_lose(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        runs.apps[0].send_task("early", ignore_result=True)
        runs.await_begun()
        wait_for(lambda: all(job.acked for job in node.held), 10)
        runs.cut()
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert (runs.began, saved(node)) == (["one"], 0)


def test_a_run_that_was_revoked_meanwhile_ends_as_without_the_break(runs: Runs) -> None:
    """A revocation drops what waits and lets run what runs."""
    with runs.app("one").worker() as node:
        result = runs.apps[0].send_task("hold")
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        runs.cut(node)
        runs.apps[0].control.revoke(result.id, timeout=0.3)
        node.link.call_soon(node.queues["default"].resume)
        await_saved(node)
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert runs.began == ["one"]


def test_a_run_that_was_ended_by_a_revocation_meanwhile_is_a_dead_letter_once(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        result = runs.apps[0].send_task("ahold", ignore_result=True)
        runs.await_begun()
        runs.cut()
        await_saved(node)
        answer = runs.apps[0].control.revoke(result.id, terminate=True, timeout=1)
        assert answer[node.name] == {"dropped": 0, "terminated": 1}
        wait_for(lambda: node.counts["Revoked"] == 1, 10, lambda: str(node.counts))
        assert runs.began == ["one"]
    assert [letter["x-amqptasks-reason"] for letter in letters(runs.apps[0])] == ["revoked"]


def test_a_time_limit_that_ends_a_lost_run_counts(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        runs.apps[0].send_task("limited", ignore_result=True)
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        runs.cut()
        wait_for(lambda: not node.current, 10, "its time limit ends it")
        node.link.call_soon(node.queues["default"].resume)
        wait_for(lambda: node.counts["Failure"] == 1, 10, lambda: str(node.counts))
        assert (runs.began, saved(node)) == (["one"], 1)


def test_a_message_that_comes_again_before_the_end_of_its_lost_run_is_decided_runs_once(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runs.app("one").worker() as node:
        runs.apps[0].send_task("limited", ignore_result=True)
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        ask = node.decisions.ask
        asked: list[Any] = []
        monkeypatch.setattr(node.decisions, "ask", lambda *about, **more: asked.append(partial(ask, *about, **more)))
        runs.cut()
        wait_for(lambda: asked, 10, "its time limit ends it")
        node.link.call_soon(node.queues["default"].resume)
        wait_for(lambda: saved(node) == 1, 10, "its message comes again")
        node.link.call_soon(asked.pop())
        wait_for(lambda: node.counts["Failure"] == 1, 10, lambda: str(node.counts))
        assert (runs.began, saved(node), node.counts.total()) == (["one"], 1, 1)


def test_a_task_that_has_read_lease_lost_runs_once_more(runs: Runs) -> None:
    """It may have ended early because of that: what it came to is worth nothing."""
    with runs.app("one").worker(concurrency=1) as node:
        runs.apps[0].send_task("watch", ignore_result=True)
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        runs.cut()
        wait_for(lambda: runs.ended, 10)
        assert runs.told == [True]
        runs.barrier.set()
        node.link.call_soon(node.queues["default"].resume)
        wait_for(lambda: node.counts["Success"] == 1, 10, lambda: str(node.counts))
        assert runs.began == ["watch", "watch"]
        assert (runs.told[-1], node.counts["Lost"]) == (False, 1)


def test_another_call_with_the_same_id_is_never_taken_for_the_lost_one(runs: Runs) -> None:
    with runs.app("one").worker() as node:
        sent = runs.apps[0].send_task("hold", ("first",), ignore_result=True)
        runs.await_begun()
        node.link.call_soon(node.queues["default"].pause)
        wait_for(lambda: not node.queues["default"].consuming, 10)
        runs.cut(node)
        runs.apps[0].send_task("hold", ("second",), task_id=sent.id, ignore_result=True)
        node.link.call_soon(node.queues["default"].resume)
        runs.await_begun(2)
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 2, 10, lambda: str(node.counts))
        assert (runs.began, saved(node)) == (["one", "one"], 1)


def test_copies_of_one_message_run_as_often_as_there_are_copies(runs: Runs) -> None:
    """A publisher that doubts sends twice. Copies cannot be told apart, and need not be."""
    with runs.app("one").worker() as node:
        for _ in range(2):
            runs.apps[0].send_task("hold", task_id="the-same", ignore_result=True)
        runs.await_begun(2)
        runs.cut()
        await_saved(node, 2)
        runs.barrier.set()
        wait_for(lambda: node.counts["Success"] == 2, 10, lambda: str(node.counts))
        assert runs.began == ["one", "one"]
