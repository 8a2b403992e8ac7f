"""What is raised in a task from outside: it reaches that task and no other, and what is given up never comes back."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from amqptasks import signals
from amqptasks.errors import BrokerError, SoftTimeLimitExceeded, Terminated, TimeLimitExceeded, WorkerStopping
from amqptasks.messages.own_headers import UNIQUE
from amqptasks.options.unique import PREFIX, Claim
from amqptasks.serializers import Serializer
from amqptasks.tasks.outcomes import Failure, HandBack, Revoked, Success
from amqptasks.worker.execute import executor
from amqptasks.worker.execute.waiting_calls import WaitingCalls, claim_held_by
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools import Pool
from amqptasks.worker.pools.asynchronous import AsyncPool
from amqptasks.worker.pools.threads import ThreadPool
from tests.harness.wait import wait_for
from tests.unit.worker.jobs import delivery, job, steps

barrier = threading.Event()


def spin() -> str:
    while not barrier.is_set():
        time.sleep(0.005)
    return "let go"


def deaf() -> str:
    while not barrier.is_set():
        try:
            time.sleep(0.005)
        except Exception:  # swallows whatever is raised in it
            continue
    return "late"


def turned() -> None:
    try:
        spin()
    except Exception as error:
        raise ValueError("made something else of it") from error


def quick() -> str:
    return "quick"


async def aspin() -> str:
    while not barrier.is_set():
        await asyncio.sleep(0.005)
    return "let go"


async def adeaf() -> str:
    while not barrier.is_set():
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            continue
    return "late"


async def aquick() -> str:
    return "quick"


@pytest.fixture
def back() -> list[Job]:
    return []


@pytest.fixture(params=["threads", "async"])
def pool(request: pytest.FixtureRequest, back: list[Job]) -> Iterator[Pool]:
    barrier.clear()
    known = steps(spin, deaf, turned, quick, aspin, adeaf, aquick)
    made: Pool = ThreadPool(known, back.append, 2) if request.param == "threads" else AsyncPool(known, back.extend, 2)
    made.start()
    yield made
    barrier.set()
    made.stop(5)


@pytest.fixture
def often() -> Iterator[None]:
    """The interpreter changes threads after a few lines, so that one is hit anywhere."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def running(pool: Pool, name: str) -> Job:
    """A job of task `name`, in the pool's own kind, that has begun."""
    prefix = "a" if isinstance(pool, AsyncPool) else ""
    made = job(delivery(f"shop.{prefix}{name}"), decoded=False)
    pool.submit([made])
    wait_for(lambda: made in pool.current())
    wait_for(lambda: pool.started(made))
    return made


def test_what_is_raised_in_a_task_is_its_outcome(pool: Pool, back: list[Job]) -> None:
    one = running(pool, "spin")
    assert pool.interrupt(one, SoftTimeLimitExceeded("after 3 s"))
    wait_for(lambda: back)
    assert back == [one]
    assert isinstance(one.outcome, Failure)
    assert isinstance(one.outcome.cause, SoftTimeLimitExceeded)
    assert not pool.interrupt(one, SoftTimeLimitExceeded())


def test_a_stop_costs_no_attempt(pool: Pool, back: list[Job]) -> None:
    one = running(pool, "spin")
    assert pool.interrupt(one, WorkerStopping())
    wait_for(lambda: back)
    assert isinstance(one.outcome, HandBack)


def test_a_stop_costs_no_attempt_where_the_task_makes_an_error_of_it(back: list[Job]) -> None:
    barrier.clear()
    pool = ThreadPool(steps(turned), back.append, 1)
    pool.start()
    one = running(pool, "turned")
    assert pool.interrupt(one, WorkerStopping())
    wait_for(lambda: back)
    assert isinstance(one.outcome, HandBack)
    pool.stop(5)


def test_what_is_given_up_never_comes_back_and_another_takes_its_place(pool: Pool, back: list[Job]) -> None:
    first, second = running(pool, "deaf"), running(pool, "deaf")
    assert pool.kill(first)
    assert not pool.kill(first)
    third = running(pool, "spin")
    assert set(pool.current()) == {second, third}
    barrier.set()
    wait_for(lambda: len(back) == 2)
    assert set(back) == {second, third}
    wait_for(lambda: pool.running == 0)


# One that hits a callback of the garbage collector's is dropped by the interpreter, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [WorkerStopping, Terminated, TimeLimitExceeded])
@pytest.mark.parametrize("answered", [True, False])
def test_nothing_hits_the_task_after_the_one_that_it_was_meant_for(
    back: list[Job], often: None, error: type[BaseException], answered: bool
) -> None:
    """And it hits in any line, also in those that are not the task's: what has returned has succeeded all the same."""
    pool = ThreadPool(steps(quick), back.append, 1)
    pool.start()
    replies = {"reply_to": "replies"} if answered else {}
    jobs: list[Job] = []
    hit: set[Job] = set()
    until = time.monotonic() + 15
    while len(hit) < 500 and time.monotonic() < until:  # a busy machine may not come to so many
        if len(jobs) - len(back) < 100:
            more = [job(delivery("shop.quick", **replies), decoded=False) for _ in range(200)]
            jobs += more
            pool.submit(more)
        hit.update(one for one in pool.current() if one not in hit and pool.interrupt(one, error("from outside")))
    wait_for(lambda: len(back) == len(jobs))
    assert back == jobs, "each once, in order"
    assert not [one for one in jobs if one.outcome != Success("quick") and one not in hit]
    assert len(hit) >= 20
    ended = {type(one.outcome) for one in hit}
    expected = {WorkerStopping: HandBack, Terminated: Revoked, TimeLimitExceeded: Failure}[error]
    assert ended <= {Success, expected}
    assert all(one.planned is not None and one.planned.kind == type(one.outcome).__name__ for one in jobs)
    pool.stop(5)


KINDS = pytest.mark.parametrize(("error", "expected"), [(WorkerStopping, HandBack), (Terminated, Revoked)])


def interrupting(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: type[BaseException], *, after: bool = False
) -> None:
    """Raise `error` where `place.name` is called for the first time; with `after`, where it returns."""
    known, raised = getattr(place, name), []

    def interrupted(*args: Any, **named: Any) -> Any:
        value = known(*args, **named) if after else None
        if not raised:
            raised.append(True)
            raise error
        return value if after else known(*args, **named)

    monkeypatch.setattr(place, name, interrupted)


def hit() -> Job:
    made = job(delivery("shop.quick", reply_to="replies"), decoded=False)
    made.interruption = WorkerStopping()  # something is on its way
    return made


@KINDS
@pytest.mark.parametrize("name", ["decode", "resolve", "admit", "_begin"])
def test_an_interruption_before_the_tasks_first_line_means_what_it_means_in_it(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], expected: type, name: str
) -> None:
    known, made = steps(quick), hit()
    made.interruption = error("by hand")
    interrupting(monkeypatch, known, name, error)
    known.execute(made)
    assert isinstance(made.outcome, expected)
    assert made.planned is not None
    assert made.planned.kind == expected.__name__


@pytest.mark.parametrize("error", [WorkerStopping, Terminated, SoftTimeLimitExceeded])
@pytest.mark.parametrize(
    ("place", "name", "after"),
    [
        (executor, "Success", False),
        (executor, "is_quiet", False),
        (None, "_planned", False),
        (None, "run", True),
    ],
)
def test_an_interruption_after_the_tasks_last_line_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], place: Any, name: str, after: bool
) -> None:
    known, made = steps(quick), hit()
    told = []
    monkeypatch.setattr(known, "tell", told.append)
    interrupting(monkeypatch, place or known, name, error, after=after)
    known.execute(made)
    assert made.outcome == Success("quick")
    assert made.planned is not None
    assert made.planned.kind == "Success"
    assert told == [made]


@KINDS
def test_an_interruption_in_a_receiver_is_not_taken_for_the_receivers(
    error: type[BaseException], expected: type
) -> None:
    ran = []

    def noted() -> None:
        ran.append(True)

    def receiver(**_: Any) -> None:
        raise error

    made = job(delivery("shop.noted"), decoded=False)
    signals.task_prerun.connect(receiver)
    try:
        steps(noted).execute(made)
    finally:
        signals.task_prerun.disconnect(receiver)
    assert isinstance(made.outcome, expected)
    assert not ran


class Stopped:
    """An app whose claims are being released when something comes from outside, or the broker does not answer."""

    def __init__(self, error: BaseException) -> None:
        self.caller = self.claims = self
        self.error = error

    def release(self, claim: Claim) -> None:
        raise self.error


def test_an_interruption_while_a_claim_is_released_is_not_taken_for_the_brokers() -> None:
    claimed = job(
        delivery("shop.quick", headers={UNIQUE: Claim(f"{PREFIX}.{'a' * 22}", "id-1", 1000).header}), decoded=False
    )
    assert claim_held_by(claimed) is not None
    WaitingCalls(Stopped(BrokerError("no answer"))).begin(claimed)  # type: ignore[arg-type]
    with pytest.raises(WorkerStopping):
        WaitingCalls(Stopped(WorkerStopping())).begin(claimed)  # type: ignore[arg-type]


def test_an_interruption_while_a_body_is_read_is_not_taken_for_the_bodys() -> None:
    def loads(_: bytes) -> Any:
        raise WorkerStopping

    with pytest.raises(WorkerStopping):
        Serializer("odd", repr, loads, "application/x-odd").decode(b"")


class Blocking(WaitingCalls):
    """Claims whose release takes its time."""

    def __init__(self) -> None: ...

    def begin(self, job: Job) -> None:
        assert barrier.wait(10)


@KINDS
def test_an_async_task_that_is_interrupted_before_its_first_line_is_not_a_failure(
    back: list[Job], error: type[BaseException], expected: type
) -> None:
    barrier.clear()
    known = steps(aquick)
    known._waiting_calls = Blocking()
    pool = AsyncPool(known, back.extend, 1)
    made = job(delivery("shop.aquick", headers={UNIQUE: "held"}), decoded=False)
    pool.submit([made])
    wait_for(lambda: made in pool.current() and made.policy is not None)
    assert pool.interrupt(made, error("by hand"))
    wait_for(lambda: back)
    barrier.set()
    assert isinstance(made.outcome, expected)
    assert made.planned is not None
    assert made.planned.kind == expected.__name__
    pool.stop(5)


def test_a_user_who_raises_what_we_raise_blocks_nobody() -> None:
    """In a place where it would be planned again and again."""

    class Odd:
        def __json__(self) -> object:
            raise WorkerStopping

    def odd() -> Odd:
        return Odd()

    made = job(delivery("shop.odd", reply_to="replies"), decoded=False)
    steps(odd).execute(made)
    assert isinstance(made.outcome, Failure)
    assert made.planned is not None
    back: list[Job] = []
    pool = ThreadPool(steps(odd), back.append, 1)
    pool.start()
    again = job(delivery("shop.odd", reply_to="replies"), decoded=False)
    again.interruption = Terminated()
    pool.submit([again])
    wait_for(lambda: back == [again])
    assert again.planned is not None
    pool.stop(5)
