"""`unique=` and `unique_for=`: what a call is known by, and for how long it keeps its likes out."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from amqptasks import App, ConfigurationError
from amqptasks.amqp.failures.replies import NotFound, explained
from amqptasks.calls.unique_claims import Claims
from amqptasks.errors import AlreadyQueued, ClaimUnavailable, DeclarationConflict, QueueDown, UnknownOption
from amqptasks.messages.own_headers import UNIQUE
from amqptasks.options import arguments
from amqptasks.options.unique import LONGEST, WAITS_FOR, Claim, claim_of, read
from amqptasks.tasks.outcomes import Success
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport.entities import Queue
from amqptasks.worker.execute import waiting_calls
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.execute.waiting_calls import WaitingCalls
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement
from tests.unit.worker.jobs import delivery, undelayed

if TYPE_CHECKING:
    from amqptasks.transport import Session


def report(shop: str, day: object = None, **more: object) -> None: ...


def claim(*args: Any, options: dict[str, Any] | None = None, delay: float = 0.0, **kwargs: Any) -> Claim:
    expires = (options or {}).get("expires")
    taken = arguments.of(report, bound=False)
    found = claim_of("shop.report", taken, args, kwargs, {"unique": True, **(options or {})}, "id", delay, expires)
    assert found is not None
    return found


def test_arguments_are_the_same_by_position_by_name_and_by_default() -> None:
    names = {claim("a").name, claim(shop="a").name, claim("a", None).name, claim("a", day=None).name}
    assert len(names) == 1
    assert claim("b").name not in names
    assert claim("a", "monday").name not in names


def test_the_order_of_names_does_not_count_at_any_depth() -> None:
    assert claim("a", {"x": 1, "y": {"p": 1, "q": 2}}).name == claim("a", {"y": {"q": 2, "p": 1}, "x": 1}).name
    assert claim("a", v=1, w=2).name == claim("a", w=2, v=1).name


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), (1, True), (None, "null"), ([1], [[1]]), (Decimal(1), 1), ("a", "A"), ("", None)]
)
def test_different_values_are_different(one: object, other: object) -> None:
    assert claim("a", one).name != claim("a", other).name


def test_a_key_counts_the_arguments_that_it_names() -> None:
    options = {"unique": "report-{shop}"}
    assert claim("a", 1, options=options).name == claim(shop="a", day=2, options=options).name
    assert claim("b", 1, options=options).name != claim("a", 1, options=options).name
    assert claim("a", options=options).key == "report-a"


def test_a_task_of_another_name_has_other_claims() -> None:
    other = claim_of("shop.other", None, (), {"shop": "a"}, {"unique": "report-{shop}"}, "id", 0.0, None)
    assert other is not None
    assert other.name != claim("a", options={"unique": "report-{shop}"}).name


def test_who_waits_keeps_its_claim_for_its_delay_and_an_hour_or_until_it_expires() -> None:
    assert claim("a").milliseconds == WAITS_FOR * 1000
    assert claim("a", delay=600).milliseconds == (600 + WAITS_FOR) * 1000
    soon = claim("a", delay=600, options={"expires": datetime.now(UTC) + timedelta(seconds=900)})
    assert 899_000 < soon.milliseconds <= 900_000
    assert claim("a", options={"expires": datetime.now(UTC) - timedelta(1)}).milliseconds == 1
    assert claim("a", delay=400 * 86400).milliseconds == LONGEST


def test_a_period_counts_from_the_publishing_and_is_not_released() -> None:
    period = claim("a", options={"unique_for": 0.5}, delay=600)
    assert (period.milliseconds, period.released) == (500, False)
    assert claim_of("t", None, (), {}, {"unique_for": 1}, "id", 0.0, None) is not None


def test_a_call_can_say_that_it_may_have_its_like() -> None:
    assert claim_of("t", None, (), {}, {"unique": False, "unique_for": 60}, "id", 0.0, None) is None
    assert claim_of("t", None, (), {}, {}, "id", 0.0, None) is None


def test_arguments_that_are_no_json_ask_for_a_key() -> None:
    with pytest.raises(ConfigurationError, match=r'name those that count, as in unique="report-\{shop\}"'):
        claim("a", object())
    assert claim("a", object(), options={"unique": "{shop}"}).key == "a"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"unique": "report"}, "names no argument"),
        ({"unique": "{0}"}, "names no argument"),
        ({"unique": "{shop"}, "cannot be read"),
        ({"unique": 3}, "a key is text"),
        ({"unique_for": 0}, "give seconds above 0 and up to 4,294,967"),
        ({"unique_for": True}, "give seconds"),
        ({"unique_for": 50 * 86400}, "give seconds"),
    ],
)
def test_options_that_cannot_be_are_refused_where_they_are_written(options: Any, problem: str) -> None:
    app = App("shop", "memory://uniqueness")
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        app.task(**options)(report)


def test_a_key_that_does_not_fit_is_refused_at_the_call() -> None:
    with pytest.raises(ConfigurationError, match=r"the key '\{town\}' does not fit the arguments shop, day"):
        claim("a", options={"unique": "{town}"})


def test_celery_once_is_told_its_name_here() -> None:
    with pytest.raises(UnknownOption, match="write unique=True"):
        App("shop", "memory://uniqueness").task(once={"keys": []})(report)  # type: ignore[call-overload]


DIGITS = "9" * 5000  # more than Python makes a number of


@pytest.mark.parametrize(
    "header",
    [
        None,
        5,
        "",
        "x",
        "1000",
        "1000 other.queue",
        f"-5 amqptasks.unique.{'a' * 22}",
        f"¹ amqptasks.unique.{'a' * 22}",
        f"{DIGITS} amqptasks.unique.{'a' * 22}",
        "1000 amqptasks.unique.a",
        f"1000 amqptasks.unique.{'a' * 300}",
        f"1000 amqptasks.unique.{'a' * 21}\udcff",
    ],
)
def test_a_header_that_is_none_of_ours_names_no_claim(header: object) -> None:
    assert read(header, "id") is None


def test_a_header_carries_what_releasing_needs() -> None:
    one = claim("a")
    found = read(one.header, "id")
    assert found is not None
    assert (found.name, found.identity, found.milliseconds) == (one.name, one.identity, one.milliseconds)


@pytest.mark.parametrize(
    ("header", "identity"),
    [
        (f"{DIGITS} amqptasks.unique.{'a' * 22}", "id-1"),
        (f"1000 amqptasks.unique.{'a' * 22}", "\udcff" * 10),
    ],
)
def test_a_task_runs_whatever_its_message_says_of_a_claim(header: str, identity: str) -> None:
    def work() -> int:
        return 1

    app = App("shop", "memory://uniqueness")
    app.task(name="shop.work")(work)
    steps = Executor(app.tasks, "worker-1", undelayed, waiting_calls=WaitingCalls(app))
    one = Job(delivery(headers={UNIQUE: header, "id": identity}), QueueSettings("emails"))
    steps.execute(one)
    assert one.outcome == Success(1)
    app.close()


def test_claims_of_many_calls_that_never_ran_are_released_by_one_thread() -> None:
    app = App("shop", "memory://uniqueness-many")
    waiting = WaitingCalls(app)
    held = [Claim(f"amqptasks.unique.{number:022}", f"id-{number}", 60_000) for number in range(50)]
    for one in held:
        app.caller.claims.take(one)
    before = threading.active_count()
    with app.caller.claims._lock:  # the broker is slow to answer
        for one in held:
            job = Job(delivery(headers={UNIQUE: one.header, "id": one.identity}), QueueSettings("emails"))
            job.planned = Settlement("ack", kind="Expired")
            waiting.end(job)
        assert threading.active_count() <= before + 1
    deadline = time.monotonic() + 10
    for one in held:
        while not is_free(app, one):
            assert time.monotonic() < deadline
    app.close()


def test_no_more_claims_wait_to_be_released_than_the_broker_can_release_soon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting_calls, "MOST_OVER", 5)
    app = App("shop", "memory://uniqueness-forged")
    waiting = WaitingCalls(app)
    with app.caller.claims._lock:  # the broker is slow to answer
        for number in range(60):
            header = f"60000 amqptasks.unique.{number:022}"
            job = Job(delivery(headers={UNIQUE: header, "id": str(number)}), QueueSettings("emails"))
            job.planned = Settlement("ack", kind="Reject")
            waiting.end(job)
        assert len(waiting._over) <= 5
    assert [record.args for record in caplog.records if "too many claims" in record.msg] == [(1,), (10,)]
    app.close()


def is_free(app: App, one: Claim) -> bool:
    try:
        app.caller.claims.take(replace(one, identity="another"))
    except AlreadyQueued:
        return False
    return True


class NodeDown:
    """A session to a cluster whose node with the claim is down: it refuses a stranger's id, and finds no queue for the
    holder's."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self.asked = 0
        self.timeout = 10.0

    def declare_queue(self, queue: Queue) -> None:
        self.asked += 1
        if queue.arguments["x-dead-letter-routing-key"] != self._holder:
            raise DeclarationConflict("queue", queue.name, "x-dead-letter-routing-key", "other", self._holder)
        self.purge_queue(queue.name)

    def purge_queue(self, name: str, within: float | None = None) -> int:
        raise QueueDown(f"queue {name!r}: home node 'b@host' of durable queue {name!r} is down or inaccessible")

    def close(self) -> None: ...


@pytest.mark.parametrize("identity", ["the-holder", "another"])
@pytest.mark.parametrize("chosen", [True, False])
def test_a_unique_call_says_at_once_that_the_node_of_its_claim_is_down(identity: str, chosen: bool) -> None:
    """Whether it has the claim or another call has it: `AlreadyQueued` would be a guess."""
    session = NodeDown("the-holder")
    claims = Claims(lambda _timeout: cast("Session", session))
    wanted = Claim("amqptasks.unique.x", identity, 1000, "shop.report", "'report-1'", chosen=chosen)
    with pytest.raises(ClaimUnavailable) as caught:
        claims.take(wanted)
    for words in (
        "shop.report",
        "'report-1'",
        "home node 'b@host'",
        "unique=False",
        "delete the queue amqptasks.unique.x",
    ):
        assert words in str(caught.value)
    assert caught.value.claim == "amqptasks.unique.x"
    assert session.asked <= 1
    claims.close(1.0)


def test_a_queue_whose_node_is_down_is_told_from_one_that_is_not_there() -> None:
    for release, text in {
        "4.3": "NOT_FOUND - home node 'b@host' of durable queue 'q' in vhost '/' is down or inaccessible",
        "3.10": "NOT_FOUND - queue 'q' in vhost '/' is down or inaccessible",
    }.items():
        assert isinstance(explained("queue 'q'", 404, text), QueueDown), release
    assert isinstance(explained("queue 'q'", 404, "NOT_FOUND - no queue 'q' in vhost '/'"), NotFound)
