"""How many processors this process may use: what a container allows counts, not what the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available(root: Path = Path("/")) -> int:
    """At least one. The least of the machine's processors, those that this process may run on, and its control
    groups' quota, rounded up. `root` is where `proc` and `sys` are.
    https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v2.html (`cpu.max`),
    https://www.kernel.org/doc/html/latest/scheduler/sched-bwc.html (version 1, `cpu.cfs_quota_us`)"""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        count = os.cpu_count() or 1
    for quota in _quotas(root):
        count = min(count, max(1, math.ceil(quota)))
    return count


def _quotas(root: Path) -> list[float]:
    """Of this process's groups and all above them, in processors."""
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            base = root / "sys/fs/cgroup/cpu"
        else:
            continue
        group = base / path.strip("/")
        # In a container the path is that of the host, and only the topmost folder is to be seen.
        for folder in {group, *group.parents, base}:
            if folder == base or base in folder.parents:
                quota = _of_version_1(folder) if controllers else _of_version_2(folder)
                if quota is not None:
                    found.append(quota)
    return found


def _of_version_2(folder: Path) -> float | None:
    quota, _, period = " ".join(_lines(folder / "cpu.max")).partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _of_version_1(folder: Path) -> float | None:
    quota, period = (" ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split("\n")[:-1]
    except OSError:
        return []
