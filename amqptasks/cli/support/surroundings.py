"""What a process of ours may find when it begins, and must not work with: closed standard streams, blocked signals."""

from __future__ import annotations

import os
import signal
import sys


def settle() -> None:
    """Call it first in the main thread.

    A closed stdin, stdout or stderr becomes /dev/null. Otherwise the next file or connection gets its number, and what
    is written to stderr goes there.

    Signals that whoever began us has blocked are unblocked, and dead children are told of again: both are inherited,
    and a worker that does not hear TERM, or whose children stay zombies, is no use to anybody.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - open as long as the process
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
