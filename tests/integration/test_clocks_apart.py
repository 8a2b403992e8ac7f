"""A publisher, a worker and an operator whose clocks are two hours apart: everything is as with equal clocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from amqptasks.runtime.clock import monotonic
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY

#: Hours by which the clocks of publisher, worker and operator are off. Each two roles meet with each two clocks.
COMBINATIONS = [
    *((-2, -2, -2), (-2, 0, 2), (-2, 2, 0)),
    *((0, -2, 2), (0, 0, 0), (0, 2, -2)),
    *((2, -2, 0), (2, 0, -2), (2, 2, 2)),
]

#: Seconds from the start of an interpreter to its first call, on a busy machine.
STARTS_WITHIN = 60.0

#: Seconds by which a task may be late on a busy machine, idle ones need a few hundredths; and early, because calls of
#: which the moment is noted before and after take some time.
LATE, EARLY = 5.0, 0.1

#: Seconds between a call and a revocation that is to tell them apart. The broker tells whole seconds, so each of both
#: processes knows its time to half a second, and 0.15 s more where an answer was read late.
APART = 1.4


class Process:
    """One role, see `tests.harness.shifted_clock`."""

    def __init__(self, role: str, hours: float, url: str) -> None:
        self.said: dict[str, tuple[float, object]] = {}
        self.twice: list[str] = []
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.shifted_clock", role, str(hours)],
            cwd=REPOSITORY,
            env={**os.environ, "AMQPTASKS_BROKER_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def go_on(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def at(self, what: str, within: float = STARTS_WITHIN) -> float:
        """When it said so, on the monotonic clock."""
        wait_for(lambda: what in self.said, within, lambda: f"no {what!r} in {sorted(self.said)}")
        return self.said[what][0]

    def end(self) -> None:
        with self._child:
            assert self._child.stdin is not None
            self._child.stdin.close()
            try:
                self._child.wait(20)
            finally:
                self._child.kill()
        self._reader.join(5)

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            what, at, more = json.loads(line)
            if what in self.said:
                self.twice.append(what)
            self.said.setdefault(what, (at, more))


@contextmanager
def _roles(publisher: float, worker: float, operator: float, url: str) -> Iterator[tuple[Process, Process, Process]]:
    with ExitStack() as stack:
        made = []
        for role, hours in (("worker", worker), ("publisher", publisher), ("operator", operator)):
            made.append(Process(role, hours, url))
            stack.callback(made[-1].end)
        yield made[1], made[0], made[2]


@pytest.mark.long
@pytest.mark.timeout(200)
@pytest.mark.parametrize(("publisher", "worker", "operator"), COMBINATIONS)
def test_expires_countdown_eta_revoke_lock_rate_limit_and_ping_with_clocks_two_hours_apart(
    vhost: Vhost, publisher: float, worker: float, operator: float
):
    with _roles(publisher, worker, operator, vhost.url) as (calls, runs, commands):
        runs.at("ready")
        runs.at("ran first")
        commands.at("there")
        calls.go_on()
        called = calls.at("called")
        published = calls.at("published")
        wait_for(lambda: monotonic() > published + APART)
        commands.go_on()
        commands.at("pinged")
        assert (commands.said["revoked"][1], commands.said["pinged"][1]) == (1, 1), "one worker answers"
        wait_for(lambda: monotonic() > commands.at("pinged") + APART)
        calls.go_on()
        again = calls.at("published again")
        late = runs.at("ran after the revocation", 10) - again
        slow = runs.at("ran slowly 1", 10) - runs.at("ran slowly 0")
        for word in ("expires in 60", "until 60", "alone 0", "alone 1"):
            runs.at(f"ran {word}", 15)
        for word in ("countdown 2", "eta 2"):
            at = runs.at(f"ran {word}", 15)
            assert called + 2 - EARLY <= at <= published + 2 + LATE, f"{word}: after {at - called:.2f} s"
        # What is not to run would have run by now: 3 and 6 seconds after the calls.
        wait_for(lambda: monotonic() > published + 8, 12)
        assert {"ran expired", "ran before the revocation"}.isdisjoint(runs.said)
        assert not runs.twice
        assert late < LATE
        assert 0.5 < slow < 1 + LATE


@pytest.mark.long
def test_a_publisher_without_a_delay_ladder_takes_the_time_from_the_next_heartbeat_of_a_worker(
    vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its `expires=60` is over for the worker while its clock, two hours behind, is all that it knows."""
    file = tmp_path / "topology.yaml"
    file.write_text("version: 1\nqueues:\n  default:\ndelays: false\n")
    monkeypatch.setenv("TOPOLOGY", str(file))
    with ExitStack() as stack:
        worker = Process("worker", 0, vhost.url)
        stack.callback(worker.end)
        worker.at("ready")
        bystander = Process("bystander", -2, vhost.url)
        stack.callback(bystander.end)
        bystander.at("knows")
        assert bystander.said["knows"][1] == pytest.approx(7200, abs=1.5)
        worker.at("ran by the broker's clock", 10)
        assert "ran by its own clock" not in worker.said
