"""What tasks have freed goes back to the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from amqptasks.worker.process.allocator import VARIABLE

CODE = """
import psutil
from amqptasks.worker.process.allocator import return_large_blocks
return_large_blocks()
for _ in range(3):
    kept = []
    for _ in range(4):
        block = bytearray(20_000_000)
        kept.append(bytearray(100_000))  # above the block, where the heap can be
        del block
print(psutil.Process().memory_full_info().uss // 1_000_000)
"""


def uss(environment: dict[str, str]) -> int:
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_large_blocks_go_back_once_they_are_free() -> None:
    assert uss({}) + 15 <= uss({VARIABLE: "33554432"}), "the environment has the say"
