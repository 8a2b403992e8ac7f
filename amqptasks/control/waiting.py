"""Tasks that wait for their time: they are in the rungs of the delay ladder, and each rung says how many it holds.

A message on rung n waits at most 2^(n+1) ticks more: what is left of this rung's time, and the rungs below.
"""

from __future__ import annotations

from dataclasses import dataclass

from amqptasks.topology.delays import RUNGS, TICK, rung
from amqptasks.transport import Session


@dataclass(frozen=True, slots=True)
class Waiting:
    """`count` tasks are due within `within` seconds, and not within half of what the rung below says, unless they have
    waited for a part of it already."""

    within: float
    count: int


def waiting(session: Session) -> list[Waiting]:
    """How many tasks wait, by the time within which they are due, the nearest first; rungs that hold none are left out.
    What is just passing from one rung to the next may be counted twice, or not at all."""
    found: list[Waiting] = []
    upper = session.capabilities.two_priority_classes
    for number in range(RUNGS):
        names = [rung(number), *([rung(number, upper=True)] if upper else [])]
        states = [session.queue_state(name) for name in names]
        if states[0] is None:
            break  # the ladder ends with the longest delay that the topology allows
        count = sum(state.messages for state in states if state is not None)
        if count:
            found.append(Waiting(TICK * 2 ** (number + 1) / 1000, count))
    return found
