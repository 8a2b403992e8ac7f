"""How many processors a worker may use, from the files of control groups as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from amqptasks.worker.process import processors

MACHINE = 16


@pytest.fixture(autouse=True)
def _large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(MACHINE)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


def test_without_control_groups_it_is_what_the_process_may_run_on(tmp_path: Path) -> None:
    assert processors.available(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),  # one and a half: a second process has something to do
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("max 100000", MACHINE),
        ("9900000 100000", MACHINE),  # more than there are
        ("", MACHINE),
        ("200000", MACHINE),
        ("200000 0", MACHINE),
    ],
)
def test_version_2_says_quota_and_period_in_one_line(tmp_path: Path, quota: str, expected: int) -> None:
    files = {"proc/self/cgroup": "0::/pod/box", "sys/fs/cgroup/pod/box/cpu.max": quota}
    assert processors.available(write(tmp_path, files)) == expected


def test_the_least_of_a_group_and_all_above_it_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/box",
        "sys/fs/cgroup/pod/box/cpu.max": "800000 100000",
        "sys/fs/cgroup/pod/cpu.max": "300000 100000",
        "sys/fs/cgroup/cpu.max": "max 100000",
    }
    assert processors.available(write(tmp_path, files)) == 3


def test_in_a_container_the_path_is_the_hosts_and_only_the_topmost_folder_is_there(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/kubepods/burstable/pod12/34", "sys/fs/cgroup/cpu.max": "400000 100000"}
    assert processors.available(write(tmp_path, files)) == 4


@pytest.mark.parametrize(("quota", "expected"), [("250000", 3), ("-1", MACHINE)])
def test_version_1_has_a_file_for_each_and_minus_one_for_none(tmp_path: Path, quota: str, expected: int) -> None:
    files = {
        "proc/self/cgroup": "12:memory:/box\n4:cpu,cpuacct:/box",
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": quota,
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/box/cpu.cfs_quota_us": "1",
    }
    assert processors.available(write(tmp_path, files)) == expected


def test_the_processors_that_a_process_is_bound_to_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5}, raising=False)
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "800000 100000"}
    assert processors.available(write(tmp_path, files)) == 2
