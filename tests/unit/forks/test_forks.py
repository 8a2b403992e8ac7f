"""What a forked child lets go of, and how it leaves. In a program of its own: a fork copies all threads' locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

HEAD = """
import os, socket, sys
from amqptasks.runtime import forks

def in_child(run):
    pid = os.fork()
    if pid == 0:
        run()
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(source: str) -> tuple[list[str], str]:
    """The lines that the program printed, and what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + source], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.splitlines(), done.stderr


def test_let_go_closes_the_childs_copy_and_keeps_its_number_taken() -> None:
    lines, _ = run(
        """
ours, theirs = socket.socketpair()
def child():
    number = ours.fileno()
    forks.let_go([number, -1])
    assert os.path.realpath(f"/proc/self/fd/{number}") == os.devnull
    other = os.open(os.devnull, os.O_RDONLY)
    ours.close()
    os.fstat(other)
    os._exit(0 if other != number else 1)
print(in_child(child))
ours.send(b"still open")
print(theirs.recv(20).decode())
"""
    )
    assert lines == ["0", "still open"]


def test_in_child_calls_each_method_that_still_has_its_object_and_goes_on_after_one_that_raises() -> None:
    lines, _ = run(
        """
class Part:
    def __init__(self, name): self.name = name; forks.in_child(self.gone)
    def gone(self):
        if self.name == "raises": raise OSError
        os.write(1, f"{self.name}\\n".encode())
raises, first, second, dead = Part("raises"), Part("first"), Part("second"), Part("dead")
del dead
print(forks.here.depth, flush=True)
in_child(lambda: in_child(lambda: os.write(1, f"{forks.here.depth}\\n".encode())))
"""
    )
    assert lines == ["0", "first", "second", "2"], "each is called in the child and not again in the child's own child"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("None", 0, ""),
        ("SystemExit()", 0, ""),
        ("SystemExit(7)", 7, ""),
        ("SystemExit(True)", 1, ""),
        ("SystemExit('no disk')", 1, "no disk"),
        ("ValueError('odd')", 1, "ValueError: odd"),
        ("KeyboardInterrupt()", 1, "KeyboardInterrupt"),
    ],
)
def test_leave_ends_a_forked_child_with_the_status_of_a_program(error: str, status: int, said: str) -> None:
    lines, errors = run(f"print(in_child(lambda: (print('said', flush=False), forks.leave({error}))))")
    assert lines == ["said", str(status)]
    assert errors.strip().endswith(said)


CLOSED = """
import os
from amqptasks.amqp.link import Link

link = Link(["amqp://guest:guest@127.0.0.1:1/"])
link.start()
before = set(link._loop.descriptors)
link.stop(10)
read, write = os.pipe()
assert {read, write} & before, "the numbers are taken anew"
if os.fork() == 0:
    os.write(write, b"theirs")
    os._exit(0)
os.close(write)
print(os.read(read, 10).decode(), link._loop.descriptors)
"""


def test_a_child_that_is_forked_after_a_link_was_closed_keeps_what_has_its_numbers_now() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "theirs []\n"
