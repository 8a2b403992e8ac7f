"""CPU time of other processes (Linux: /proc is read), in seconds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_time(process: int) -> float:
    """User and system time of a process with all its threads; 0 when it is gone. It counts in hundredths of a second:
    measure a second or more."""
    try:
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_times(processes: Iterable[int]) -> float:
    return sum(cpu_time(process) for process in processes)


def tree(process: int) -> list[int]:
    """This process and all below it."""
    try:
        parent = psutil.Process(process)
        return [process, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def memory(process: int) -> tuple[float, float]:
    """Resident megabytes of a process tree: as each process counts them, and with shared pages counted once."""
    resident = proportional = 0.0
    for one in tree(process):
        info = psutil.Process(one).memory_full_info()
        resident += info.rss / 1e6
        proportional += info.pss / 1e6
    return resident, proportional
