from __future__ import annotations

import random

import pytest

from amqptasks.options.rates import Rate
from amqptasks.worker.limits.bucket import AHEAD, KEPT, Bucket


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bucket_of(clock: Clock, per_second: float) -> Bucket:
    return Bucket(Rate(f"{per_second}/s", 1 / per_second), clock=clock)


def test_the_first_runs_and_those_at_once_are_told_to_come_one_token_apart(clock: Clock) -> None:
    bucket = bucket_of(clock, 10)
    waits = [bucket.take(came_back=False) for _ in range(5)]
    assert waits == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_what_comes_back_at_its_time_finds_its_token(clock: Clock) -> None:
    bucket = bucket_of(clock, 10)
    waits = [bucket.take(came_back=False) for _ in range(5)]
    for wait in waits[1:]:
        clock.now = 1000.0 + wait + 0.03
        assert bucket.take(came_back=True) == 0


def test_a_newcomer_does_not_get_the_token_of_one_that_is_a_moment_late(clock: Clock) -> None:
    bucket = bucket_of(clock, 1)
    bucket.take(came_back=False)
    assert bucket.take(came_back=False) == pytest.approx(1)
    clock.now += 1.02
    assert bucket.take(came_back=False) == pytest.approx(0.98)
    assert bucket.take(came_back=True) == 0


def test_a_token_that_nobody_fetched_is_for_whoever_comes(clock: Clock) -> None:
    """Its task went to another worker."""
    bucket = bucket_of(clock, 1)
    bucket.take(came_back=False)
    bucket.take(came_back=False)
    clock.now += 1 + KEPT
    assert bucket.take(came_back=False) == 0
    assert bucket.take(came_back=False) == 0, "the one that is due by now"
    assert bucket.take(came_back=False) > 0


def test_nothing_is_saved_up_in_idle_times_but_one_token(clock: Clock) -> None:
    bucket = bucket_of(clock, 1)
    clock.now += 3600
    assert [bucket.take(came_back=False) for _ in range(3)] == pytest.approx([0, 1, 2])


def test_a_token_given_back_is_for_the_next(clock: Clock) -> None:
    bucket = bucket_of(clock, 1)
    assert bucket.take(came_back=False) == 0
    bucket.give_back()
    assert bucket.take(came_back=False) == 0
    assert bucket.take(came_back=False) == pytest.approx(1)


def test_far_ahead_no_token_is_promised_and_the_order_stays(clock: Clock) -> None:
    bucket = bucket_of(clock, 1)
    waits = [bucket.take(came_back=False) for _ in range(int(AHEAD) + 100)]
    assert waits == sorted(waits)
    assert waits[-99:] == [AHEAD] * 99


@pytest.mark.parametrize("late", [0.05, 2.0])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("per_second", [0.5, 3.0, 40.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_backlog_is_worked_off_at_the_rate_of_each_worker(
    seed: int, per_second: float, workers: int, late: float
) -> None:
    """A reckoning of the ladder: what is put off comes back, somewhat late, to any of the workers."""
    chance = random.Random(seed)
    clock = Clock()
    buckets = [bucket_of(clock, per_second) for _ in range(workers)]
    tasks = 40 * workers
    coming = [(clock.now, number, False) for number in range(tasks)]
    ran: list[list[float]] = [[] for _ in buckets]
    while coming:
        coming.sort()
        clock.now, number, came_back = coming.pop(0)
        worker = chance.randrange(workers)
        wait = buckets[worker].take(came_back=came_back)
        if wait:
            coming.append((clock.now + wait + chance.uniform(0, late), number, True))
        else:
            ran[worker].append(clock.now)
    assert sum(map(len, ran)) == tasks
    for moments in ran:
        for first, start in enumerate(moments):
            for last in range(first, len(moments)):
                allowed = (moments[last] - start) * per_second + 2 + (KEPT + late) * per_second
                assert last - first + 1 <= allowed + 1
    if workers == 1 and late < 0.5:
        took = max(ran[0]) - 1000.0
        assert took == pytest.approx((tasks - 1) / per_second, rel=0.1, abs=late + 1 / per_second)
