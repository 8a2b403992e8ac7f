"""Entering and leaving the ladder of delay queues, without a broker at hand.

A delay is a number of ticks, written in binary. Rung n of the ladder holds a message for 2^n ticks and passes it to
rung n-1; a message waits on the rungs whose bit is set in its delay, and the others only pass it on. It enters at its
highest bit. `topology/expand/ladder.py` builds the rungs, `docs/topology.md` draws them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

from amqptasks.errors import ConfigurationError
from amqptasks.messages.own_headers import BIT, ENTERED, QUEUE, TO
from amqptasks.transport.capabilities import Capabilities

#: Milliseconds that the lowest rung holds a message. Finer than what a loaded broker keeps (about 2 ms a rung
#: visited), and a whole number, as `x-message-ttl` wants.
TICK = 32

#: 30 rungs reach 397 days: a year, with room for one who counts it generously.
RUNGS = 30

#: Seconds of the longest delay: all bits set.
LONGEST = (2**RUNGS - 1) * TICK / 1000

#: A delay may grow by this part, so that its low bits need not be set: fewer rungs, and nobody notices. 1,000 would
#: spare one rung more and cost a delay of a minute 60 ms, most of what a task may be late by.
UNNOTICED = 2000

#: What all names of the ladder begin with.
PREFIX = "amqptasks.delay"

#: What the names of all twins begin with: see `due`.
TWINS = "amqptasks.due."

#: The exchange at the foot of the ladder; it hands over to the target's twin.
END = f"{PREFIX}.end"

#: Exchange and queue for messages whose target is gone.
LOST = f"{PREFIX}.lost"

#: The exchange through which a process gets back the message with which it asks for the broker's time.
CLOCK = "amqptasks.clock"

#: An exchange that leads nowhere. Each rung sends it what enters there. So the alternate exchange of a rung, which
#: takes what need not wait on it, never takes a message from a publisher while the rung's queue is missing: the message
#: is returned.
DEAD_END = f"{PREFIX}.missing"

#: What the names begin with of the queues in which delayed messages wait for room, see `room`.
ROOM = f"{PREFIX}.room."

#: Argument of such a queue, which tells people the queue that it stands before. RabbitMQ passes over what it does not
#: know.
ROOM_OF = QUEUE

#: The lowest priority of the upper of two classes (RabbitMQ 4.0 to 4.2). Messages without one are in the lower class.
UPPER_CLASS = 5

_BITS = tuple(f"{BIT}{rung:02d}" for rung in range(RUNGS))


def rung(number: int, upper: bool = False) -> str:
    """The name of a rung's exchange and queue; `upper` for the second ladder, of high priorities."""
    return f"{PREFIX}.high.{number:02d}" if upper else f"{PREFIX}.{number:02d}"


def bit(number: int) -> str:
    """The header that makes a message wait on this rung."""
    return _BITS[number]


def entered_at(number: int) -> str:
    """The value of the header `ENTERED` for a message that enters at this rung."""
    return f"{number:02d}"


def due(exchange: str) -> str:
    """The name of an exchange's twin, through which delayed messages reach what is bound to it."""
    return f"{TWINS}{exchange}"


def room(queue: str) -> str:
    """The name of the queue in which delayed messages wait for room in `queue`, and of the exchange behind it. It does
    not contain that queue's name: a policy that bounds the one must not bound the other."""
    return ROOM + hashlib.blake2s(queue.encode(), digest_size=8).hexdigest()


def rungs_for(longest: float) -> int:
    """How many rungs a ladder needs for delays up to `longest` seconds."""
    return _ticks(min(longest, LONGEST)).bit_length()


def enter(
    delay: float, to: str, capabilities: Capabilities, priority: int | None, longest: float = LONGEST
) -> tuple[str, dict[str, object]]:
    """The exchange to publish to, and the headers to add, for a message that shall reach exchange `to` in `delay`
    seconds: never earlier, and at most 0.05 % and one tick (32 ms) later.

    The message keeps its routing key. It must not carry an `expiration`: on a rung it would arrive early.
    Raises `ConfigurationError` for a delay over `longest` seconds, or one that is no number.
    """
    if not math.isfinite(delay):
        raise ConfigurationError(f"a delay of {delay} seconds is no delay")
    if not longest:
        raise ConfigurationError(
            "nothing can be delayed: the topology says `delays: false`. Remove that line, and run `amqptasks declare`"
        )
    if delay > longest:
        raise ConfigurationError(
            f"a delay of {delay:.0f} s ({delay / 86400:.1f} days) is over the longest that the ladder has,"
            f" {longest:.0f} s ({longest / 86400:.1f} days): see `delays: {{max: ...}}` in the topology"
        )
    ticks = _with_few_bits(_ticks(delay), 2 ** rungs_for(longest) - 1)
    upper = capabilities.two_priority_classes and priority is not None and priority >= UPPER_CLASS
    headers: dict[str, object] = {name: True for number, name in enumerate(_BITS) if ticks >> number & 1}
    highest = ticks.bit_length() - 1
    headers[TO] = to
    headers[ENTERED] = entered_at(highest)
    return rung(highest, upper), headers


def arrived_by_ladder(headers: Mapping[str, object]) -> bool:
    """True for a message that has been delayed on its way here."""
    return TO in headers


def skipped(exchange: str, headers: Mapping[str, object]) -> tuple[int, ...]:
    """The rungs on which a delivered message was to wait and did not, because their queues were missing: it came early
    by their times. `exchange` and `headers` are the delivery's.

    RabbitMQ notes in `x-death` each queue that a message left. A message that others published again, with a copy of
    our headers, came another way, and nothing is said of it.
    """
    if TO not in headers:
        return ()
    if not exchange.startswith(f"{PREFIX}."):
        return ()
    left = _queues_left(headers)
    return tuple(
        number
        for number, name in enumerate(_BITS)
        if headers.get(name) is True and not left & {rung(number), rung(number, upper=True)}
    )


def waiting_time(numbers: Iterable[int]) -> float:
    """Seconds that a message waits on these rungs together."""
    return sum(TICK << number for number in numbers) / 1000


def _queues_left(headers: Mapping[str, object]) -> set[str]:
    deaths = headers.get("x-death")
    found = [death.get("queue") for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []
    return {name for name in found if isinstance(name, str)}


def _ticks(seconds: float) -> int:
    """Rounded up; at least one, because a message without a bit has no rung to wait on."""
    # Less than a microsecond is cut off first: 1.37 s is 1370.0000000000002 ms in binary.
    return max(1, -(-math.ceil(round(seconds * 1000, 3)) // TICK))


def _with_few_bits(ticks: int, most: int) -> int:
    """The next number within the tolerance that has the fewest bits set. Adding a number's lowest set bit to it
    carries: it never sets more bits than it clears."""
    latest = min(ticks + ticks // UNNOTICED, most)
    while ticks + (ticks & -ticks) <= latest:
        ticks += ticks & -ticks
    return ticks
