"""What hooks and receivers raise changes nothing, whatever it is: each job comes back as it ended, and the next runs.
The same of everything else that would end a pool's thread, or its loop."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amqptasks import Task, signals
from amqptasks.tasks.outcomes import Failure, Success
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools import Pool
from amqptasks.worker.pools.asynchronous import AsyncPool
from amqptasks.worker.pools.solo import SoloPool
from amqptasks.worker.pools.threads import ThreadPool
from tests.harness.wait import wait_for
from tests.unit.worker.jobs import delivery, job, steps

KINDS = [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]


def echo(word: str) -> str:
    return word


async def aecho(word: str) -> str:
    return word


async def astop(word: str) -> None:
    asyncio.get_running_loop().stop()


async def acallback(word: str) -> str:
    called = asyncio.Event()

    def leave() -> None:
        called.set()
        sys.exit(3)

    asyncio.get_running_loop().call_soon(leave)
    await called.wait()
    return word


async def abeside(word: str) -> None:
    async def leave() -> None:
        sys.exit(3)

    await asyncio.create_task(leave())


class Place:
    """A pool with one thread, and what came back from it."""

    def __init__(self, kind: str) -> None:
        self.prefix = "a" if kind == "async" else ""
        self.back: list[Job] = []
        self.heard: list[str] = []
        self.raised: type[BaseException] = ValueError
        self.steps = self._steps()
        self.pool: Pool = {
            "threads": lambda: ThreadPool(self.steps, self.back.append, 1),
            "async": lambda: AsyncPool(self.steps, self.back.extend, 1),
            "solo": lambda: SoloPool(self.steps, self.back.append),
        }[kind]()
        self.pool.start()

    def _steps(self) -> Executor:
        place = self

        class Loud(Task[..., Any]):
            def on_success(self, retval: Any, *_: Any) -> None:
                if retval == "loud":
                    raise place.raised

            def after_return(self, status: str, retval: Any, *_: Any) -> None:
                place.heard.append(retval)

        return steps(echo, aecho, astop, acallback, abeside, base=Loud)

    def submit(self, *words: str, task: str = "echo") -> list[Job]:
        made = [job(delivery(f"shop.{self.prefix}{task}", word), decoded=False) for word in words]
        self.pool.submit(made)
        return made

    def wait_back(self, count: int) -> list[Any]:
        def came() -> bool:
            if isinstance(self.pool, SoloPool):
                self.pool.work(0.01)
            return len(self.back) >= count

        wait_for(came, 10, lambda: f"{len(self.back)} of {count} came back")
        assert all(one.planned is not None for one in self.back)
        return [one.outcome for one in self.back]


@pytest.fixture(params=["threads", "async", "solo"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(request.param)
    yield made
    made.pool.stop(5)


@pytest.fixture
def looped() -> Iterator[Place]:
    made = Place("async")
    yield made
    made.pool.stop(5)


@pytest.fixture
def receiving() -> Iterator[Callable[[signals.Signal, Callable[..., Any]], None]]:
    connected: list[tuple[signals.Signal, Callable[..., Any]]] = []

    def connect(signal: signals.Signal, receiver: Callable[..., Any]) -> None:
        connected.append((signal, receiver))
        signal.connect(receiver)

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


@pytest.mark.parametrize("raised", KINDS)
def test_a_hook_changes_nothing_whatever_it_raises(
    place: Place, raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    place.raised = raised
    place.submit("loud", "quiet")
    assert place.wait_back(2) == [Success("loud"), Success("quiet")]
    assert place.heard == ["loud", "quiet"], "the hooks after it are called, too"
    assert "a hook raised; the outcome of the task stays what it was" in caplog.text


@pytest.mark.parametrize("raised", KINDS)
@pytest.mark.parametrize("signal", [signals.task_received, signals.task_prerun, signals.task_success])
def test_a_receiver_changes_nothing_whatever_it_raises(
    place: Place,
    receiving: Callable[[signals.Signal, Callable[..., Any]], None],
    signal: signals.Signal,
    raised: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = []

    def leave(**_: Any) -> None:
        raise raised

    def listen(**_: Any) -> None:
        heard.append(True)

    receiving(signal, leave)
    receiving(signal, listen)
    place.submit("one", "two")
    assert place.wait_back(2) == [Success("one"), Success("two")]
    assert len(heard) == 2, "the receivers after it are called, too"
    assert f"a receiver of {signal.name} raised" in caplog.text


def test_where_no_task_runs_a_receiver_may_end_its_program(
    receiving: Callable[[signals.Signal, Callable[..., Any]], None],
) -> None:
    def leave(**_: Any) -> None:
        sys.exit(3)

    receiving(signals.before_task_publish, leave)
    with pytest.raises(SystemExit):
        signals.before_task_publish.send("shop.echo")


def test_a_fault_in_the_steps_ends_its_job_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resolve = place.steps.resolve

    def broken(given: Job) -> bool:
        assert given.request is not None
        if given.request.args == ("one",):
            raise SystemExit("a fault of ours")
        return resolve(given)

    monkeypatch.setattr(place.steps, "resolve", broken)
    place.submit("one", "two")
    one, two = place.wait_back(2)
    assert isinstance(one, Failure)
    assert isinstance(one.cause, SystemExit)
    assert two == Success("two")
    assert "a step of its delivery raised" in caplog.text


def test_a_thread_goes_on_whatever_comes_out_of_the_steps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place("threads")

    def broken(_: Job) -> None:
        raise SystemExit

    monkeypatch.setattr(place.steps, "tell", broken)
    place.submit("one", "two")
    assert place.wait_back(2) == [Success("one"), Success("two")]
    assert "a thread of the pool goes on" in caplog.text
    place.pool.stop(5)


@pytest.mark.parametrize("task", ["stop", "callback", "beside"])
def test_a_task_that_ends_the_event_loop_does_not(looped: Place, task: str, caplog: pytest.LogCaptureFixture) -> None:
    looped.submit("one", task=task)
    looped.wait_back(1)
    looped.submit("two")
    assert looped.wait_back(2)[1] == Success("two")
    assert "goes on" in caplog.text


class Leaving(logging.Filter):
    """A filter of the user's, which ends the thread that logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        sys.exit(3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_event_loop_whose_thread_died_runs_in_another(looped: Place) -> None:
    pool = looped.pool
    assert isinstance(pool, AsyncPool)
    known, leaving = logging.getLogger("amqptasks.worker.pools.asynchronous"), Leaving()
    known.addFilter(leaving)
    try:
        looped.submit("one", task="beside")
        wait_for(lambda: pool._thread is not None and not pool._thread.is_alive(), 10, "its thread is dead")
        assert "is dead" in str(pool.trouble)
    finally:
        known.removeFilter(leaving)
    looped.submit("two")
    one, two = looped.wait_back(2)
    assert isinstance(one, Failure), "what it had was not lost"
    assert two == Success("two")
    assert pool.trouble is None
