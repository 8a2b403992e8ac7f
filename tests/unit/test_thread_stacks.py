"""Where the threads are, asked for while they run and while the garbage collector has work."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from amqptasks.runtime.thread_stacks import formatted, thread_stacks

REPOSITORY = Path(__file__).resolve().parents[2]

#: Threads that run, and garbage whose end wants a lock that `sys._current_frames` holds. With Python 3.11.7 and that
#: function a process stood still within some of these turns, or ended in a segmentation fault.
PROGRAM = """
import gc, threading, time
from amqptasks.runtime.thread_stacks import formatted, thread_stacks

class Box: ...

def litter():
    box = Box()
    box.itself, box.local = box, threading.local()
    box.local.x = 1

def turn():
    while not over.is_set():
        nap(20)

def nap(depth):
    nap(depth - 1) if depth else time.sleep(0.0005)

over = threading.Event()
threads = [threading.Thread(target=turn) for _ in range(8)]
for thread in threads:
    thread.start()
gc.set_threshold(3, 1, 1)
for number in range(1000):
    litter()
    stacks = thread_stacks()
    assert len(stacks) == 9 and all(formatted(stack, 8) for stack in stacks.values())
over.set()
print("went on", gc.isenabled())
"""


def test_thread_stacks_are_told_while_threads_run_and_the_garbage_collector_has_work() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("went on True", "")


def test_thread_stacks_name_file_line_and_function_with_the_innermost_frame_last() -> None:
    stack = thread_stacks()[threading.get_ident()]
    *_, caller, innermost = stack
    assert (innermost.name, caller.name) == (
        "thread_stacks",
        "test_thread_stacks_name_file_line_and_function_with_the_innermost_frame_last",
    )
    text = formatted(stack, 2)
    assert text.startswith(f'  File "{__file__}", line {caller.lineno}, in {caller.name}\n')
    assert "stack = thread_stacks()[threading.get_ident()]" in text


def test_thread_stacks_tell_of_a_thread_that_waits() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert thread_stacks()[thread.ident or 0][-1].name == "wait"
    finally:
        over.set()
        thread.join()
