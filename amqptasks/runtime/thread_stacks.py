"""Where the threads of this process are.

`faulthandler` writes it, and no frame of a running thread is touched from Python. `sys._current_frames` makes objects
of such frames. With Python 3.11.7 that stopped whole processes for ever when the garbage collector ran in it
(https://github.com/python/cpython/issues/106883), and walking these frames ended in a segmentation fault.
"""

from __future__ import annotations

import faulthandler
import re
import tempfile
import traceback

_THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)\b")
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


def thread_stacks() -> dict[int, list[traceback.FrameSummary]]:
    """The stack of each thread, by the thread's identity, its innermost frame last as in a traceback. `faulthandler`
    writes 100 frames of a thread at most, the innermost ones.

    Raises:
        OSError: there is no descriptor or no disk for the text.
    """
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        lines = file.read().decode(errors="replace").splitlines()
    stacks: dict[int, list[traceback.FrameSummary]] = {}
    frames: list[traceback.FrameSummary] = []
    for line in lines:
        if thread := _THREAD.match(line):
            frames = stacks[int(thread[1], 16)] = []
        elif frame := _FRAME.match(line):
            frames.insert(0, traceback.FrameSummary(frame[1], int(frame[2]), frame[3], lookup_line=False))
    return stacks


def formatted(stack: list[traceback.FrameSummary], shown: int) -> str:
    """The innermost frames of a stack, as a traceback has them; `shown` of them."""
    return "".join(traceback.format_list(stack[-shown:])).rstrip()
