"""`max_concurrency`, `lock` and `cluster_rate_limit`: tokens on the broker hold all workers to them."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

from amqptasks import App
from amqptasks.worker.limits import tokens
from tests.harness.apps import NewApp
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory


class Running:
    """How many run at once, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[object] = Counter()
        self.most: dict[object, int] = defaultdict(int)
        self.most_of_all = 0
        self.ended: list[tuple[float, object]] = []

    def run(self, key: object, seconds: float) -> None:
        with self._lock:
            self._now[key] += 1
            self.most[key] = max(self.most[key], self._now[key])
            self.most_of_all = max(self.most_of_all, self._now.total())
        time.sleep(seconds)  # the work
        with self._lock:
            self._now[key] -= 1
            self.ended.append((time.monotonic(), key))

    def wait(self, count: int, timeout: float = 30.0) -> None:
        wait_for(lambda: len(self.ended) >= count, timeout, lambda: f"{len(self.ended)} of {count} ended")


def test_two_workers_run_no_more_at_once_than_the_cluster_may(new_app: NewApp) -> None:
    running, apps = Running(), [new_app(), new_app()]
    tasks = [app.task(name="work", max_concurrency=3)(running.run) for app in apps]
    with apps[0].worker(concurrency=4), apps[1].worker(concurrency=4):
        tasks[0].publish_many([("any", 0.01)] * 200)
        running.wait(200)
    assert running.most_of_all == 3
    assert len(running.ended) == 200


def test_a_lock_keeps_runs_of_one_key_apart_and_lets_others_run(new_app: NewApp) -> None:
    running, apps = Running(), [new_app(), new_app()]

    def work(account: str, seconds: float) -> None:
        running.run(account, seconds)

    tasks = [app.task(name="work", lock="account-{account}")(work) for app in apps]
    with apps[0].worker(concurrency=4), apps[1].worker(concurrency=4):
        tasks[0].publish_many([(f"{number % 4}", 0.05) for number in range(40)])
        running.wait(40)
    assert set(running.most.values()) == {1}
    assert running.most_of_all > 1, "different keys ran one after the other"


def test_a_task_without_a_place_leaves_the_worker_free_for_others(new_app: NewApp) -> None:
    app, go, done = new_app(), threading.Event(), threading.Event()
    held = app.task(name="held", max_concurrency=1)(lambda: go.wait(20))
    free = app.task(name="free")(done.set)
    with app.worker(concurrency=2) as worker:
        held.publish_many([()] * 30)
        wait_for(lambda: worker.counts["Throttled"] >= 29, message="29 are put off")
        began = time.monotonic()
        free.delay()
        assert done.wait(2.0)
        assert time.monotonic() - began < 1.0
        go.set()
        wait_for(lambda: worker.counts["Success"] == 31, 20.0)


def test_all_workers_together_keep_the_rate(new_app: NewApp) -> None:
    running, apps = Running(), [new_app(), new_app()]
    tasks = [app.task(name="work", cluster_rate_limit="20/s")(running.run) for app in apps]
    tasks[0].publish_many([("any", 0.0)] * 80)
    with apps[0].worker(), apps[1].worker():
        running.wait(80)
    moments = [moment for moment, _ in running.ended]
    assert moments[-1] - moments[0] <= 80 / 20 * 1.1 + 2.0
    # There are forty tokens, each held for 1.9 s; a start may come later after its token on a busy machine.
    assert min(later - earlier for earlier, later in zip(moments, moments[40:], strict=False)) >= 1.9 * 0.75


def test_a_key_that_does_not_fit_is_a_dead_letter_that_says_so(new_app: NewApp) -> None:
    app = new_app()
    task = app.task(name="work", lock="{account}", ignore_result=False)(lambda number: None)
    with app.worker():
        result = task.delay(1)
        with pytest.raises(Exception, match=r"invalid-arguments: the key '\{account\}' does not fit"):
            result.get(timeout=10)


def test_many_make_the_same_tokens_at_once_and_there_are_as_many_as_there_shall_be(vhost: Vhost) -> None:
    app = App("shop", vhost.url)
    name = tokens.named("work", 5)

    def make(_: int) -> None:
        for _attempt in range(50):
            try:
                with app.session() as session:
                    tokens.make(session, name, 5, in_memory=False)
            except Exception:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("never made")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, range(4)))
    with app.session() as session:
        state = session.queue_state(name)
        assert state is not None
        assert state.messages == 5


def test_tokens_half_made_are_made_anew(vhost: Vhost) -> None:
    from amqptasks.topology.expand.expand import unlimited_queue

    app = App("shop", vhost.url)
    name = tokens.named("work", 3)
    with app.session() as session:
        session.declare_queue(unlimited_queue(name, {}))  # whoever began died here
        tokens.make(session, name, 3, in_memory=False)
        state = session.queue_state(name)
        assert state is not None
        assert state.messages == 3


SOURCE = """
import os
import time

from amqptasks import App

app = App("shop")


@app.task(lock=True)
def locked(word, seconds):
    os.write(1, f"began {word}\\n".encode())
    time.sleep(seconds)
    os.write(1, f"ended {word}\\n".encode())
"""


@pytest.mark.long
def test_the_place_of_a_killed_worker_comes_back(worker_process: WorkerFactory, vhost: Vhost) -> None:
    first = worker_process(SOURCE, "-c", "2")
    app = App("shop", vhost.url, ignore_result=True)
    app.send_task("shop.locked", ("first", 60))
    first.wait_for_line("began first")
    app.send_task("shop.locked", ("second", 0))
    second = worker_process(None, "-c", "2")
    time.sleep(0.5)  # it asks, and there is no place
    assert "began" not in second.output
    assert "began second" not in first.output
    first.kill()
    second.wait_for_line("began (first|second)", timeout=10.0)
    app.close()
