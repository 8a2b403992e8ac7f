"""Connections that break behind any frame, and answers that never come: `maybe_published` stays true to what ran.

What raised with False never ran, and what did not raise ran. Nothing is said of what raised with True.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Literal

import pytest

from amqptasks import App, Task
from amqptasks.errors import BrokerError, PartlyPublished
from tests.harness.frame_proxy import FrameProxy, Side
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

Outcome = Literal["returned", "not published", "in doubt"]
Caller = Callable[["Calls", list[int]], None]

#: Calls at once: the broker confirms some of them together.
WAVE = 5

#: The part of all frames that are reached: where the broker confirms many calls together, some are not.
MOSTLY = 0.7

#: Seconds in which a worker runs what was stored, copies included.
RUNS_WITHIN = 120.0


class Calls:
    """An app behind a proxy, and how each of its calls ended, by number."""

    def __init__(self, vhost: Vhost, proxy: FrameProxy, timeout: float) -> None:
        self.vhost = vhost
        self.timeout = timeout
        self.app = App("doubt", proxy.url, ignore_result=True, publish_timeout=timeout, connect_timeout=timeout)
        self.note: Task[..., None] = self.app.task(name="doubt.note")(lambda number: None)
        self.outcomes: dict[int, Outcome] = {}

    def ended(self, number: int, error: BaseException | None) -> None:
        assert error is None or isinstance(error, BrokerError), error
        if error is None:
            self.outcomes[number] = "returned"
        else:
            self.outcomes[number] = "in doubt" if error.maybe_published else "not published"

    def prove(self) -> Counter[Outcome]:
        """Run what was stored, past the proxy, and compare; how many calls ended how."""
        self.app.close(1)
        ran: Counter[int] = Counter()
        app = App("doubt", self.vhost.url, ignore_result=True)
        app.task(name="doubt.note")(lambda number: ran.update((number,)))
        with closing(app), app.worker(["default"], concurrency=1):
            # What a connection still had under way when it broke may be stored a moment later: twice the same is all.
            last = -1

            def all_ran() -> bool:
                nonlocal last
                before, last = last, sum(ran.values())
                return last == before and self.vhost.management.ready("default") == 0

            wait_for(all_ran, RUNS_WITHIN, lambda: f"{sum(ran.values())} ran", every=0.3)
        assert not [number for number, ended in self.outcomes.items() if ended == "not published" and ran[number]]
        assert not [number for number, ended in self.outcomes.items() if ended == "returned" and not ran[number]]
        return Counter(self.outcomes.values())


def with_delay(calls: Calls, numbers: list[int]) -> None:
    def call(number: int) -> None:
        try:
            calls.note.delay(number)
        except BaseException as error:
            calls.ended(number, error)
        else:
            calls.ended(number, None)

    with ThreadPoolExecutor(WAVE) as pool:
        list(pool.map(call, numbers))


def with_adelay(calls: Calls, numbers: list[int]) -> None:
    async def call(number: int) -> None:
        try:
            await calls.note.adelay(number)
        except Exception as error:
            calls.ended(number, error)
        else:
            calls.ended(number, None)

    async def gathered() -> None:
        for wave in waves(numbers):
            await asyncio.gather(*map(call, wave))

    asyncio.run(gathered())


def with_publish_many(calls: Calls, numbers: list[int]) -> None:
    for wave in waves(numbers):
        failed: dict[int, BaseException] = {}
        total = len(wave)
        try:
            calls.note.publish_many((number,) for number in wave)
        except PartlyPublished as error:
            failed, total = dict(error.failed), error.total
        except BrokerError as error:  # before it has drawn any
            failed, total = {0: error}, 1
        for position, number in enumerate(wave):
            if position < total:
                calls.ended(number, failed.get(position))
            else:
                calls.outcomes[number] = "not published"  # it was not drawn


def waves(numbers: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(numbers), WAVE):
        yield numbers[first : first + WAVE]


CALLERS: list[Caller] = [with_delay, with_adelay, with_publish_many]


@pytest.fixture
def proxy(vhost: Vhost) -> Iterator[FrameProxy]:
    created = FrameProxy(vhost.url)
    yield created
    created.close()


def call_through_cuts(
    vhost: Vhost, proxy: FrameProxy, caller: Caller, cuts: list[tuple[Side, int]], each: int, timeout: float
) -> Counter[Outcome]:
    """So many calls while each connection is cut behind the same frame, one frame after the other."""
    calls = Calls(vhost, proxy, timeout)
    numbers = itertools.count()
    cut_at = set()
    with closing(calls.app):
        calls.app.declare()
        for cut in cuts:
            before = proxy.cuts
            proxy.cut_after = cut
            proxy.cut()
            caller(calls, list(itertools.islice(numbers, each)))
            if proxy.cuts > before:
                cut_at.add(cut)
        proxy.cut_after = None
        ended = calls.prove()
    assert len(cut_at) >= len(cuts) * MOSTLY, f"cut behind {cut_at} only"
    return ended


@pytest.mark.parametrize("caller", CALLERS)
def test_maybe_published_is_true_to_what_ran_where_connections_are_cut(
    vhost: Vhost, proxy: FrameProxy, caller: Caller
) -> None:
    """Before a connection stands, and behind the first messages and confirms."""
    cuts: list[tuple[Side, int]] = [("client", 9), ("broker", 7), ("broker", 2)]
    ended = call_through_cuts(vhost, proxy, caller, cuts, 10, 0.3)
    assert ended.total() == 30
    assert ended["not published"], "without a connection nothing was written"


@pytest.mark.parametrize("caller", CALLERS)
def test_maybe_published_is_true_for_all_whose_confirm_is_swallowed(
    vhost: Vhost, proxy: FrameProxy, caller: Caller
) -> None:
    calls = Calls(vhost, proxy, 0.3)
    with closing(calls.app):
        calls.app.declare()
        proxy.swallows = True
        caller(calls, list(range(WAVE)))
        assert proxy.swallowed
        assert calls.prove() == {"in doubt": WAVE}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("side", ["broker", "client"])
def test_maybe_published_is_true_to_what_ran_wherever_connections_are_cut(
    vhost: Vhost, proxy: FrameProxy, caller: Caller, side: Side
) -> None:
    """1,000 calls, 50 for each of the first 20 frames."""
    ended = call_through_cuts(vhost, proxy, caller, [(side, number) for number in range(1, 21)], 50, 0.5)
    print(f"{caller.__name__}, cut behind frames of the {side}: {dict(ended)}")
    assert ended.total() == 1000
    assert ended["returned" if side == "broker" else "in doubt"], "cut behind its own frames, a wave hears no confirm"
    assert ended["not published"]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("caller", CALLERS)
def test_maybe_published_is_true_to_what_ran_while_answers_are_swallowed_now_and_then(
    vhost: Vhost, proxy: FrameProxy, caller: Caller
) -> None:
    """1,000 calls; of each hundred the confirms of the second half never come, and then the wire is cut."""
    calls = Calls(vhost, proxy, 0.5)
    with closing(calls.app):
        calls.app.declare()
        for first in range(0, 1000, 100):
            proxy.swallows = False
            caller(calls, list(range(first, first + 50)))
            proxy.swallows = True
            caller(calls, list(range(first + 50, first + 100)))
            proxy.cut()
        proxy.swallows = False
        ended = calls.prove()
    print(f"{caller.__name__}, confirms swallowed: {dict(ended)}, {proxy.swallowed} frames")
    assert ended.total() == 1000
    assert ended["in doubt"] >= 500
    assert ended["returned"]
