"""The demo's workers: processes started from the command line, or one in this process where the broker is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from amqptasks import dial
from amqptasks.errors import AmqptasksError
from amqptasks.runtime.clock import monotonic

if TYPE_CHECKING:
    from amqptasks.app.app import App

#: Seconds for a worker to consume: an interpreter, its imports and a few round trips, on a busy machine.
READY_WITHIN = 40.0

#: Seconds for a warm stop; nothing runs long here.
STOP_WITHIN = 15.0

#: Seconds between two looks.
LOOK_EVERY = 0.05


#: A queue, the process that works on it, and what that prints.
Started = tuple[str, "subprocess.Popen[bytes]", Path]


class WorkerFailed(AmqptasksError):
    """A worker of the demo did not start; the message has its output."""


@contextmanager
def processes(queues: Mapping[str, int], environment: Mapping[str, str], folder: Path, url: str) -> Iterator[None]:
    """One worker process for each queue, with that many threads; ended when the block ends. Raises `WorkerFailed`."""
    started: list[Started] = []
    try:
        # In a thread, which no signal interrupts: one that came between a process's birth and its place in the list
        # would leave it behind. Leaving the block waits for the thread.
        with ThreadPoolExecutor(1) as starter:
            for queue, concurrency in queues.items():
                starter.submit(_start, queue, concurrency, environment, folder, started).result()
        _wait_until_consuming(started, url)
        yield
    finally:
        for _, process, _ in started:
            process.terminate()
        for _, process, _ in started:
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(queue: str, concurrency: int, environment: Mapping[str, str], folder: Path, started: list[Started]) -> None:
    arguments = ["-A", "amqptasks.dev.demo.shop", "worker", "-Q", queue, "-c", str(concurrency), "-P", "threads"]
    log = folder / f"{queue}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "amqptasks", *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started.append((queue, process, log))


@contextmanager
def in_this_process(app: App, queues: Mapping[str, int]) -> Iterator[None]:
    """One thread for all: priorities show only where tasks have to wait for each other."""
    with app.worker(list(queues), concurrency=1):
        yield


def _wait_until_consuming(started: list[Started], url: str) -> None:
    deadline = monotonic() + READY_WITHIN
    session = dial.session([url])
    try:
        for queue, process, log in started:
            while not ((state := session.queue_state(queue)) is not None and state.consumers):
                if process.poll() is not None or monotonic() > deadline:
                    raise WorkerFailed(f"the worker of {queue} does not consume:\n{log.read_text(errors='replace')}")
                time.sleep(LOOK_EVERY)
    finally:
        session.close()
