"""Task ids: UUIDs of version 7, which sort by the time they were made. https://www.rfc-editor.org/rfc/rfc9562#section-5.7

48 bits of milliseconds, 4 of version, 12 random, 2 of variant, 62 random. The random part counts up by a random step
(section 6.2, method 2), so the ids of one process increase.

There is no lock: the handler of a signal may make an id in the middle of another, and would wait for itself.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import accumulate, repeat
from operator import add
from time import time_ns
from uuid import UUID, uuid5

from amqptasks.runtime.clock import broker_time

#: Random bits of an id: 12 beside the version and 62 beside the variant.
_TAIL_BITS = 74

#: The top random bit is clear at the start: 2**42 steps are left to count up in, more than any process makes.
_FRESH_BITS = _TAIL_BITS - 1

#: Steps of up to 2**32 keep an id hard to guess from its neighbour.
_STEP_BITS = 32

#: The tail in the text form: three digits behind the version, four with the variant in front, twelve.
_LOW_48_BITS = (1 << 48) - 1
_LOW_14_BITS = (1 << 14) - 1
_HIGH_12_BITS = (1 << 12) - 1
_VARIANT = 0b10 << 14


def _new_tails() -> Iterator[int]:
    """Increasing numbers. Each `next` is one step in C, which no signal and no other thread interrupts."""
    # A generator of our own: `random.seed(1)` in a user's code must not make two processes draw the same ids.
    bits = random.Random().getrandbits
    return accumulate(map(add, map(bits, repeat(_STEP_BITS)), repeat(1)), initial=bits(_FRESH_BITS))


_tails = _new_tails()

#: The latest millisecond, and the text with which its ids begin. In one tuple, so that both are always of one time.
_latest = (0, "")

#: Milliseconds by which the broker's clock is ahead of ours.
_ahead = 0


def task_id() -> str:
    """A new id in the usual text form. It is greater than every id that this thread made before, and than those of
    other threads that it can know of. From any thread, also from the handler of a signal."""
    global _latest  # noqa: PLW0603 - the state that makes ids increase
    latest = _latest
    now = time_ns() // 1_000_000 + _ahead
    if now > latest[0]:  # else it is the same millisecond, or the clock was set back: go on from there
        _latest = latest = (now, _beginning(now))
    tail = next(_tails)
    return (
        f"{latest[1]}{tail >> 62 & _HIGH_12_BITS:03x}"
        f"-{tail >> 48 & _LOW_14_BITS | _VARIANT:x}-{tail & _LOW_48_BITS:012x}"
    )


def _beginning(millisecond: int) -> str:
    """What all ids of a millisecond begin with: 48 bits of time and the version."""
    return f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"


def made_at(task_id: str) -> float | None:
    """Seconds since 1970, to the millisecond, at which this id was made; None for one that is no UUID of version 7."""
    if len(task_id) != 36 or task_id[14] != "7":
        return None
    try:
        return int(task_id[:8] + task_id[9:13], 16) / 1000
    except ValueError:
        return None


def derived(parent: str, name: str) -> str:
    """The id of what follows on `parent` under `name`: always the same one, so that a second is known as a duplicate.

    Its time is the parent's; where the parent's id tells none, it is a UUID of version 5 (RFC 9562, section 5.5).
    """
    hashed = uuid5(_FOLLOWERS, f"{parent}/{name}")
    moment = made_at(parent)
    if moment is None:
        return str(hashed)
    return f"{parent[:13]}-7{str(hashed)[15:]}"


#: A namespace of our own, drawn once.
_FOLLOWERS = UUID("5b1c2b8e-6f0a-4a6e-9f55-9a1d3f4f7c21")


def _moved(seconds: float) -> None:
    """The time of an id is the broker's: revocations by name compare it. Ids of before may be greater than those that
    come."""
    global _ahead, _latest  # noqa: PLW0603 - see `task_id`
    _ahead = round(seconds * 1000)
    _latest = (0, "")


broker_time.listen(_moved)


def _after_fork() -> None:
    """A child must not continue its parent's numbers."""
    global _tails  # noqa: PLW0603 - see `task_id`
    _tails = _new_tails()


os.register_at_fork(after_in_child=_after_fork)
