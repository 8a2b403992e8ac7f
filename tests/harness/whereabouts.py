"""Where tasks can be that did not run: what the broker says of each queue, consumer and channel, and what the processes
of a worker are doing. Text for the message of a test that fails; asked only then.

A process shows its stacks, and a node its view, where its app has called `shows_itself`.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil

from tests.harness.management import Management
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerProcess

#: Has a process write down what it does. The product uses the other one that is free.
SHOW = signal.SIGUSR2

#: Where, in the current folder: appended to by all that are asked, one after the other.
SHOWN = "shown.log"

#: Seconds for a process to write its stacks: all of them are busy when a machine is.
SHOWN_WITHIN = 5.0

#: Seconds between the first sign of an answer and the end of it.
WRITTEN_WITHIN = 0.3

#: Characters of a worker's output: its last words, without the tracebacks of tasks that failed as they must.
LAST_WORDS = 3000


def shows_itself(view: Callable[[], str]) -> None:
    """Have this process, and its forks, write their stacks when asked, and this one what `view` says as well. The
    stacks come even where Python code cannot run."""
    own, shown = os.getpid(), open(SHOWN, "ab", buffering=0)  # noqa: SIM115 - for as long as the process lives

    def write(_signum: int, _frame: FrameType | None) -> None:
        if os.getpid() == own:
            shown.write(f"{view()}\n".encode())

    signal.signal(SHOW, write)
    faulthandler.register(SHOW, shown, all_threads=True, chain=True)


def whereabouts(management: Management, workers: list[WorkerProcess], folder: Path) -> str:
    """All of it; `folder` is the one in which the workers run."""
    parts = [f"load {os.getloadavg()}", *_on_the_broker(management)]
    for worker in workers:
        parts.append(f"worker {worker.pid}: {_status(worker)}")
        if worker.status is None:
            parts += [_doing(process, folder) for process in _family(worker.pid)]
        parts.append(_last_words(worker.output))
    return "\n".join(parts)


def _on_the_broker(management: Management) -> list[str]:
    parts = [
        f"queue {queue['name']}: {queue.get('messages_ready')} ready, {queue.get('messages_unacknowledged')} unacked,"
        f" {queue.get('consumers')} consumers"
        for queue in management.queues()
    ]
    owners = _owners()
    for consumer in management.consumers():
        channel = consumer["channel_details"] or {}  # an empty list where the broker knows of no channel
        parts.append(
            f"consumer of {consumer['queue']['name']}: {consumer['consumer_tag']}, prefetch"
            f" {consumer['prefetch_count']}, active {consumer.get('active')}, {channel.get('name', 'NO CHANNEL')},"
            f" process {owners.get(channel.get('peer_port'))}"
        )
    parts += [
        f"channel {channel['name']}: {channel.get('state')}, {channel.get('messages_unacknowledged')} unacked,"
        f" {channel.get('acks_uncommitted')} acks uncommitted, {channel.get('messages_unconfirmed')} unconfirmed,"
        f" process {owners.get((channel.get('connection_details') or {}).get('peer_port'))}"
        for channel in management.request("GET", "vhosts", management.vhost, "channels") or []
    ]
    for connection in management.connections():
        role = (connection.get("client_properties") or {}).get("role")
        parts.append(f"connection {connection['name']}: {role}, {connection.get('state')}")
    return parts


def _owners() -> dict[int | None, int | None]:
    """Process by the port of its end of a connection."""
    return {found.laddr.port: found.pid for found in psutil.net_connections("tcp") if found.laddr and found.raddr}


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _status(worker: WorkerProcess) -> str:
    return "running" if worker.status is None else f"ended with status {worker.status}"


def _doing(process: psutil.Process, folder: Path) -> str:
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            line = (
                f"process {process.pid}, child of {process.ppid()}: {process.status()}, for"
                f" {time.time() - process.create_time():.1f} s, {cpu.user + cpu.system:.1f} s on a processor"
            )
        return f"{line}\n{_stacks(process, folder / SHOWN)}"
    except psutil.NoSuchProcess:
        return f"process {process.pid}: gone meanwhile"


def _stacks(process: psutil.Process, shown: Path) -> str:
    if not _catches(process.pid, SHOW):  # it would die of it: a supervisor, or a process that has not got that far
        return "  (it cannot be asked)"
    before = shown.stat().st_size if shown.exists() else 0
    process.send_signal(SHOW)
    try:
        wait_for(lambda: shown.stat().st_size > before, SHOWN_WITHIN)
    except AssertionError:
        return "  (it does not answer)"
    time.sleep(WRITTEN_WITHIN)  # the rest of it; nothing says where it ends
    return shown.read_bytes()[before:].decode(errors="replace").rstrip()


def _catches(pid: int, number: int) -> bool:
    """https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _last_words(output: str) -> str:
    return "\n".join(line for line in output.splitlines() if line[:4].isdecimal())[-LAST_WORDS:]
