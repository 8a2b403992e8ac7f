"""Real worker processes: started from the command line, watched through their output, ended by signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.harness.wait import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]

#: What a worker prints once the broker has confirmed all its consumers.
READY = r"(?i)\bready\b"

#: Seconds from start to ready: an interpreter, its imports and a few round trips, on a busy machine.
READY_WITHIN = 30.0


class WorkerProcess:
    """One `python -m PROGRAM ...`, in a process group of its own. `output` is what it printed, errors included."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str],
        log: Path,
        program: str = "amqptasks",
    ) -> None:
        self.arguments = arguments
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", program, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def status(self) -> int | None:
        """Its exit status (negative: the signal that ended it); None while it runs."""
        return self._process.poll()

    def wait_until_ready(self, timeout: float = READY_WITHIN) -> WorkerProcess:
        self.wait_for_line(READY, timeout)
        return self

    def wait_for_line(self, pattern: str, timeout: float = 10.0, count: int = 1) -> list[str]:
        """Wait until the pattern was printed `count` times; the matches. Fails at once when the process ends."""

        def matches() -> list[str] | None:
            ended = self.status is not None  # looked at before the output: its last words may hold the line
            found = [match.group() for match in re.finditer(pattern, self.output)]
            if len(found) >= count:
                return found
            if ended:
                raise RuntimeError(f"the worker ended with status {self.status}; its output:\n{self.output}")
            return None

        return wait_for(matches, timeout, lambda: f"{count} x {pattern!r} in the worker's output:\n{self.output}") or []

    def signal(self, number: int) -> None:
        """To the process alone, as `kill` does."""
        self._process.send_signal(number)

    def terminate(self, timeout: float = 20.0) -> int:
        """A warm stop (TERM); its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> int:
        """SIGKILL to it and all its children; its exit status."""
        if self.status is None:
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait(10.0)

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit status, once it has ended; fails with its output when it does not."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout:g} s; its output:\n{self.output}") from None

    def memory(self) -> int:
        """Resident bytes of it and its children now."""
        process = psutil.Process(self.pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))


class WorkerFactory:
    """Starts worker processes of app modules that it writes to `folder`, and reaps them all in the end."""

    def __init__(self, folder: Path, broker_url: str) -> None:
        self.folder = folder
        self.broker_url = broker_url
        self.started: list[WorkerProcess] = []

    def __call__(
        self,
        source: str | None,
        *arguments: str,
        module: str = "shop",
        broker_url: str | None = None,
        environment: dict[str, str] | None = None,
        ready: bool = True,
    ) -> WorkerProcess:
        """Start `amqptasks -A MODULE worker ARGUMENTS`, and wait until it is ready (unless `ready` is False).

        `source` is the text of MODULE (None: written before, or importable as it is). The broker's address
        (default: the one of the test's virtual host) goes in by the environment.
        """
        if source is not None:
            (self.folder / f"{module}.py").write_text(source)
        return self.command(
            "-A", module, "worker", *arguments, broker_url=broker_url, environment=environment, ready=ready
        )

    def command(
        self,
        *arguments: str,
        broker_url: str | None = None,
        environment: dict[str, str] | None = None,
        ready: bool = False,
        program: str = "amqptasks",
    ) -> WorkerProcess:
        """Start any `amqptasks ARGUMENTS` (or another program), in the same surroundings."""
        surroundings = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "AMQPTASKS_BROKER_URL": broker_url or self.broker_url,
            **(environment or {}),
        }
        log = self.folder / f"process-{len(self.started)}.log"
        process = WorkerProcess(list(arguments), self.folder, surroundings, log, program)
        self.started.append(process)
        return process.wait_until_ready() if ready else process

    def end_all(self) -> None:
        for process in self.started:
            process.kill()
