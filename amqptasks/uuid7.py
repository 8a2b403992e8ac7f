"""Task ids: UUIDs of version 7, which sort by the time they were made. https://www.rfc-editor.org/rfc/rfc9562#section-5.7

48 bits of milliseconds, 4 of version, 12 random, 2 of variant, 62 random. Within one millisecond the random part counts
up by a random step (section 6.2, method 2), so the ids of one process are strictly increasing.
"""

from __future__ import annotations

import os
import random
import threading
from time import time_ns
from uuid import UUID, uuid5

#: Random bits of an id: 12 beside the version and 62 beside the variant.
_TAIL_BITS = 74

#: A new millisecond starts with the top random bit clear, so that half of the range is left to count up in.
_FRESH_BITS = _TAIL_BITS - 1

#: Steps of up to 2**32 keep an id hard to guess from its neighbour and leave room for 2**41 ids in a millisecond.
_STEP_BITS = 32

#: The tail in the text form: three digits behind the version, four with the variant in front, twelve.
_LOW_48_BITS = (1 << 48) - 1
_LOW_14_BITS = (1 << 14) - 1
_VARIANT = 0b10 << 14

# A generator of our own: `random.seed(1)` in a user's code must not make two processes draw the same ids.
_bits = random.Random().getrandbits
_lock = threading.Lock()
_millisecond = 0
_tail = 0
_begin = ""


def task_id() -> str:
    """A new id in the usual text form; greater than every id that this process made before, in any thread."""
    global _begin, _millisecond, _tail  # noqa: PLW0603 - the state that makes ids increase
    with _lock:
        now = time_ns() // 1_000_000
        if now > _millisecond:
            _millisecond = now
            _tail = _bits(_FRESH_BITS)
            _begin = _beginning(now)
        else:
            # The same millisecond, or the clock was set back: count on.
            _tail += 1 + _bits(_STEP_BITS)
            if _tail >> _TAIL_BITS:
                _millisecond += 1
                _tail = _bits(_FRESH_BITS)
                _begin = _beginning(_millisecond)
        tail, begin = _tail, _begin
    return f"{begin}{tail >> 62:03x}-{tail >> 48 & _LOW_14_BITS | _VARIANT:x}-{tail & _LOW_48_BITS:012x}"


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


def _after_fork() -> None:
    """A child must not continue its parent's numbers, nor inherit a lock that another thread held."""
    global _bits, _lock, _millisecond  # noqa: PLW0603 - see `task_id`
    _bits = random.Random().getrandbits
    _lock = threading.Lock()
    _millisecond = 0


os.register_at_fork(after_in_child=_after_fork)
