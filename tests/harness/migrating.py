"""A migration in a process of its own, which kills itself at an event of one's choice.

python -m tests.harness.migrating URL MANAGEMENT_URL TOPOLOGY QUEUE [EVENT]
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from amqptasks.management.client import Management
from amqptasks.topology.migrate.migration import Event
from amqptasks.topology.migrate.opening import opened
from amqptasks.topology.migrate.run import migrate
from amqptasks.topology.read.loader import load
from tests.harness.worker_process import REPOSITORY

#: Seconds between two figures of a quorum queue on the nodes that our tests start.
EVERY = 0.5

KILLED = -signal.SIGKILL


def label(event: Event) -> str:
    """What an event is called on the command line, in every run the same: the moving of messages is told many times,
    and has one name; numbers of messages have none."""
    return f"{event.stage}: {'moving' if event.moved is not None else re.sub('[0-9]+', 'N', event.detail)}"


def migrate_until(event: str | None, url: str, management_url: str, topology: Path, queue: str) -> int:
    """Run it as a child process, killed at `event`; its exit status. Fails with what it printed."""
    command = [sys.executable, "-m", "tests.harness.migrating", url, management_url, str(topology), queue]
    ended = subprocess.run(
        command + ([event] if event else []),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode in (0, KILLED), f"{event}:\n{ended.stdout}{ended.stderr}"
    return ended.returncode


def main(url: str, management_url: str, topology: str, queue: str, kill_at: str | None = None) -> None:
    def tell(event: Event) -> None:
        if kill_at is not None and label(event) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    management = Management(management_url, url)
    with opened(load(topology), queue, [url], management, every=EVERY, patience=30, tell=tell) as migration:
        print(migrate(migration))


if __name__ == "__main__":
    main(*sys.argv[1:])
