"""Whether the broker's clock and this machine's agree: deadlines (`expires`, `eta`) are moments, set by one machine and
looked at by another."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.untrusted.numbers import counted

#: Seconds of difference from which on it is told, and from which on it is wrong. Machines that ask a time server differ
#: by milliseconds; most deadlines are minutes.
TOLD_FROM = 2.0
WRONG_FROM = 30.0


def clock(seen: Snapshot) -> Iterator[Finding]:
    if seen.clock is None:
        return
    least = abs(seen.clock.ahead) - seen.clock.uncertain
    if least >= TOLD_FROM:
        where = "ahead of" if seen.clock.ahead > 0 else "behind"
        yield Finding(
            "wrong" if least >= WRONG_FROM else "note",
            "clock",
            f"the broker's is {counted(round(abs(seen.clock.ahead)), 'second')} {where} this machine's: tasks with an"
            " eta or expires are early or late by such differences",
            "timedatectl set-ntp true",
        )
