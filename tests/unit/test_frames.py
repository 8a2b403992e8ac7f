"""The frames of all threads, asked for while the garbage collector has work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from amqptasks.frames import current_frames

REPOSITORY = Path(__file__).resolve().parents[2]

#: Threads whose frames are no objects yet, and garbage whose end wants the lock that `sys._current_frames` holds. With
#: Python 3.11.7 a process stood still within some of these turns.
PROGRAM = """
import gc, threading, time
from amqptasks.frames import current_frames

class Box: ...

def litter():
    box = Box()
    box.itself, box.local = box, threading.local()
    box.local.x = 1

def turn():
    while not over.is_set():
        nap()

def nap():
    time.sleep(0.0005)

over = threading.Event()
threads = [threading.Thread(target=turn) for _ in range(8)]
for thread in threads:
    thread.start()
gc.set_threshold(3, 1, 1)
for number in range(1000):
    litter()
    assert len(current_frames()) == 9
over.set()
print("went on", gc.isenabled())
"""


def test_current_frames_are_told_while_garbage_wants_the_same_lock_of_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("went on True", "")


def test_current_frames_names_the_frame_of_the_thread_that_asks() -> None:
    assert current_frames()[threading.get_ident()].f_code.co_name == "current"


def test_a_child_forked_while_another_thread_asks_has_a_collector() -> None:
    program = """
import gc, os, threading
from amqptasks import frames
asking, go = threading.Event(), threading.Event()
real = frames.sys._current_frames
frames.sys._current_frames = lambda: (asking.set(), go.wait(), real())[-1]
thread = threading.Thread(target=frames.current_frames)
thread.start()
asking.wait()
child = os.fork()
if not child:
    frames.sys._current_frames = real
    os._exit(0 if gc.isenabled() and frames.current_frames() and gc.isenabled() else 1)
status = os.waitpid(child, 0)[1]
go.set()
thread.join()
print(status, gc.isenabled())
"""
    if not hasattr(os, "fork"):
        return
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "0 True", done.stderr
