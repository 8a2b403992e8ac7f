"""Python's garbage collector in a process that runs tasks."""

from __future__ import annotations

import gc

#: Objects that may be made before the collector looks at the youngest. Python's default, 700 (2,000 from 3.13 on), is
#: reached by every 50 messages that a worker holds, all of them alive, and looking at them took a tenth of the CPU time
#: of a short task. At this number the collector may find some MB of garbage in cycles, not some 100 KB.
YOUNGEST = 10_000


def leave_alone() -> None:
    """What is there by now, the app and all its modules, is not looked at again: it stays until the process ends. Call
    it once everything is imported. Whoever set a threshold above ours, or switched the collector off, keeps that.
    https://docs.python.org/3/library/gc.html#gc.freeze"""
    gc.collect()
    gc.freeze()
    youngest, *older = gc.get_threshold()
    if 0 < youngest < YOUNGEST:
        gc.set_threshold(YOUNGEST, *older)
