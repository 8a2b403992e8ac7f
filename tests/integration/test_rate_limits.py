"""`rate_limit`: how often a worker starts a task, and what the others notice of it."""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.errors import TaskRejected
from amqptasks.memory.registry import forget
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds that the last may be late, and a token be kept for one that is: what a busy machine needs.
LATE = 1.0


class Runs:
    """When which run of a task began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.all: list[tuple[float, object]] = []

    def note(self, word: object) -> None:
        with self._lock:
            self.all.append((time.monotonic(), word))

    def wait(self, count: int, timeout: float = 20.0) -> list[float]:
        wait_for(lambda: len(self.all) >= count, timeout, lambda: f"{len(self.all)} of {count} ran")
        return [moment for moment, _ in self.all]


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    url = f"memory://{uuid.uuid4().hex}"
    if request.param == "rabbitmq":
        vhost: Vhost = request.getfixturevalue("vhost")
        url = vhost.url
    app = App("shop", url, ignore_result=True)
    yield app
    app.close()
    if request.param == "memory":
        forget(url)


@pytest.mark.parametrize(("per_second", "count"), [(8, 24), (50, 120)])
def test_a_backlog_runs_at_its_rate_and_in_its_order(app: App, per_second: int, count: int) -> None:
    runs = Runs()
    task = app.task(rate_limit=per_second)(runs.note)
    task.publish_many([(number,) for number in range(count)])
    with app.worker():
        moments = runs.wait(count)
    took, wanted = moments[-1] - moments[0], (count - 1) / per_second
    assert wanted * 0.9 <= took <= wanted * 1.1 + LATE
    assert len({word for _, word in runs.all}) == len(runs.all) == count
    places = [abs(place - int(str(word))) for place, (_, word) in enumerate(runs.all)]
    # Of most: on a busy machine one that came back late loses its place, as it does to another worker.
    assert statistics.median(places) <= max(2, per_second * LATE / 10), runs.all


def test_throttled_tasks_leave_the_worker_free_for_others_of_their_queue(app: App) -> None:
    runs = Runs()
    throttled = app.task(rate_limit="10/m", name="throttled")(runs.note)
    free = app.task(name="free")(runs.note)
    with app.worker(concurrency=1) as worker:
        throttled.publish_many([(number,) for number in range(40)])
        wait_for(lambda: worker.counts["Throttled"] == 39 and not worker.held, message="39 are put off")
        began = time.monotonic()
        free.delay("free")
        runs.wait(2)
        assert time.monotonic() - began < 1.0
    assert [word for _, word in runs.all] == [0, "free"]


def test_a_rate_is_changed_while_the_worker_runs(app: App) -> None:
    runs = Runs()
    task = app.task(rate_limit="1/h", name="slow")(runs.note)
    with app.worker():
        task.delay(0)
        runs.wait(1)
        answers = app.control.rate_limit("slow", "20/s")
        assert list(answers.values()) == ["slow: 20/s"]
        for number in range(1, 11):
            task.delay(number)
        moments = runs.wait(11)
        assert 9 / 20 * 0.9 <= moments[-1] - moments[1] <= 9 / 20 + LATE
        refused = app.control.rate_limit("slow", "often")
        assert "100/m" in next(iter(refused.errors.values()))
        assert list(app.control.rate_limit("slow", 0).values()) == ["slow: no rate limit"]
        for number in range(10):
            task.delay(number)
        runs.wait(21, timeout=2.0)


def test_what_its_limits_put_off_for_too_long_is_a_dead_letter(app: App) -> None:
    runs = Runs()
    task = app.task(rate_limit="2/s", throttle_for=0.2, ignore_result=False)(runs.note)
    with app.worker():
        results = [task.delay(number) for number in range(3)]
        results[0].get(timeout=10)
        for result in results[1:]:
            with pytest.raises(TaskRejected, match=r"throttled: .* its throttle_for is 0\.2 s"):
                result.get(timeout=10)
    assert len(runs.all) == 1


def test_a_countdown_comes_before_the_rate(app: App) -> None:
    """A task that is not due takes no token, and is not early because of one."""
    runs = Runs()
    task = app.task(rate_limit="4/s")(runs.note)
    with app.worker():
        began = time.monotonic()
        task.apply_async(("later",), countdown=0.6)
        for number in range(3):
            task.delay(number)
        runs.wait(4)
    assert [word for _, word in runs.all][:2] == [0, 1]
    later = next(moment for moment, word in runs.all if word == "later")
    assert later - began >= 0.6
