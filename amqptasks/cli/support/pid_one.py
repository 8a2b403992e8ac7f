"""The first process of a container: it runs the program as its child, passes signals on, and reaps orphans.

The kernel drops every signal that the first process has no handler for, so that TERM would be lost while an app is
imported. It also gives it all orphans, which stay zombies until they are waited for. Waiting for any child would take
the statuses of those that tasks have begun themselves. So the program runs in a child, as under `tini` or `docker run
--init`. https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NoReturn

#: Signals that are for the program.
PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGWINCH", "SIGCONT")
    if hasattr(signal, name)
)


def take_over() -> None:
    """Returns in the child that is to be the program; at once where this process is not the first one."""
    if os.getpid() != 1:
        return
    # Blocked before the child is there: a blocked signal waits, also for the first process.
    waited_for = {*PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    child = os.fork()
    if child == 0:
        _be_in_front()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return
    _watch_over(child, waited_for)


def _be_in_front() -> None:
    """A process group of its own, which has the terminal. So Ctrl-C comes once, and not from the first process, too."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
        if os.isatty(0):
            # From a group that is not in front: the kernel would stop us.
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpgrp())
            signal.signal(signal.SIGTTOU, before)


def _watch_over(child: int, waited_for: set[signal.Signals]) -> NoReturn:
    while True:
        number = signal.sigwait(waited_for)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    os._exit(code if code >= 0 else 128 - code)  # as a shell says it
