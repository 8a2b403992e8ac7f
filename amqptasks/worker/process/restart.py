"""A new beginning in the same process (HUP). First it is tried whether the new code can begin.

The trial is a child process with the same command line. It imports the app and all tasks, checks all options, and ends
before it connects. Until it has ended well, the worker works on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from typing import IO, NoReturn

from amqptasks.runtime.clock import monotonic
from amqptasks.untrusted.printable import printable

#: The environment variable that tells a worker's command to end once it has found out that it could begin. Not an
#: option: the program that begins a worker may be a wrapper, and what it does with its arguments is not known.
TRIAL = "AMQPTASKS_WORKER_TRIAL"

#: Seconds for a trial: an app of some hundred modules needs several on a busy machine.
TRIED_WITHIN = 60.0

#: Characters that are shown of the last line that a failed trial printed.
SHOWN = 1000


def command() -> list[str]:
    """How this process was begun."""
    return [sys.executable, *sys.orig_argv[1:]]


def is_trial() -> bool:
    """Whether this process is a trial. Only the first call says so: what the app starts is none."""
    return os.environ.pop(TRIAL, None) is not None


class Trial:
    """Begins when it is made. Raises `OSError` where no process can be started: there is no interpreter, no room."""

    def __init__(self) -> None:
        self._deadline = monotonic() + TRIED_WITHIN
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        try:
            self._process = subprocess.Popen(
                command(),
                env={**os.environ, TRIAL: "1"},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            self._output.close()
            raise

    def failure(self) -> str | None:
        """Why the new code cannot begin; "" where it can, None while that is not known."""
        status = self._process.poll()
        if status is None:
            return None if monotonic() < self._deadline else f"it has not begun within {TRIED_WITHIN:g} s"
        if status == 0:
            return ""
        with contextlib.suppress(OSError, ValueError):
            self._output.seek(0)
            lines = [line for line in self._output.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return printable(lines[-1].strip().removeprefix("amqptasks: "), SHOWN)
        return f"its trial ended with status {status}"

    def end(self) -> None:
        """Stop it where it still runs."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


def begin_anew() -> NoReturn:
    """Replace this process. HUP is ignored from here until the new one hears it: by default it would end that one.
    Nothing is missed, for the new one has not imported anything by then."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.execv(sys.executable, command())  # noqa: S606
