"""Memory that the node shares with its children: a slot for each, with what it runs and what interrupts it; and behind
the slots, for all of them, from which level on they log.

A slot is six fields of eight bytes, each written by one side only:
    child   number of the job that it runs (0: none), when it began (seconds on the monotonic clock)
    node    number of the job to interrupt, and with which of `INTERRUPTIONS`; of the last whose lease is lost
    child   number of the last job that it began
"""

from __future__ import annotations

import mmap
import os
import struct

from amqptasks.errors import INTERRUPTIONS
from amqptasks.options.workers import MOST_PROCESSES

#: Children of one pool at the same time, those that are leaving included. A slot costs nothing before it is used.
COUNT = MOST_PROCESSES

#: Bytes of a slot: a cache line, so that two children never write to the same one.
SIZE = 64

_RUNS = struct.Struct("<Qd")
_NUMBER = struct.Struct("<Q")
_INTERRUPT = struct.Struct("<QQ")

#: Where the last two fields are.
_LOST = _RUNS.size + _INTERRUPT.size

_BEGAN = _LOST + _NUMBER.size

#: Where the level is, and how many bytes there are: it has a cache line of its own, to which hardly ever is written.
_LEVEL = COUNT * SIZE
_ALL = _LEVEL + SIZE


class Slots:
    """`descriptor` is the file behind it: pass it to a process that is to share it."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("amqptasks-slots")
            os.ftruncate(descriptor, _ALL)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _ALL)

    def clear(self, slot: int) -> None:
        self._memory[slot * SIZE : slot * SIZE + SIZE] = bytes(SIZE)

    def begin(self, slot: int, number: int, now: float) -> None:
        """Child: it runs job `number` since `now`."""
        _RUNS.pack_into(self._memory, slot * SIZE, number, now)
        _NUMBER.pack_into(self._memory, slot * SIZE + _BEGAN, number)

    def end(self, slot: int) -> None:
        """Child: it runs nothing."""
        _NUMBER.pack_into(self._memory, slot * SIZE, 0)

    def runs(self, slot: int) -> tuple[int, float]:
        """The number of the job that runs (0: none), and since when."""
        number, since = _RUNS.unpack_from(self._memory, slot * SIZE)
        return number, since

    def has_begun(self, slot: int, number: int) -> bool:
        """Node: whether job `number` is the last that began there; it may have ended."""
        began: int = _NUMBER.unpack_from(self._memory, slot * SIZE + _BEGAN)[0]
        return began == number

    def interrupt(self, slot: int, number: int, kind: type[BaseException]) -> None:
        """Node: what the child's signal handler is to raise in job `number`."""
        _INTERRUPT.pack_into(self._memory, slot * SIZE + _RUNS.size, number, INTERRUPTIONS.index(kind))

    def interruption(self, slot: int) -> type[BaseException] | None:
        """Child: what is to be raised in the job that runs now."""
        runs, _ = self.runs(slot)
        number, kind = _INTERRUPT.unpack_from(self._memory, slot * SIZE + _RUNS.size)
        return INTERRUPTIONS[kind] if runs and number == runs else None

    def lose(self, slot: int, number: int) -> None:
        """Node: the lease of job `number` is lost; 0: that of none is."""
        _NUMBER.pack_into(self._memory, slot * SIZE + _LOST, number)

    def is_lost(self, slot: int) -> bool:
        """Child: whether the lease of the job that runs now is lost."""
        runs, _ = self.runs(slot)
        (lost,) = _NUMBER.unpack_from(self._memory, slot * SIZE + _LOST)
        return bool(runs) and runs == lost

    def set_level(self, level: int) -> None:
        """Node: from which level on all children log."""
        _NUMBER.pack_into(self._memory, _LEVEL, level)

    def level(self) -> int:
        """Child: from which level on it is to log."""
        number: int = _NUMBER.unpack_from(self._memory, _LEVEL)[0]
        return number

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
