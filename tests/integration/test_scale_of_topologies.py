"""A large topology: 4,500 classic and 500 quorum queues, each bound twice, with one dead-letter queue for all."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pika
import pytest

from amqptasks.management.client import Management
from tests.conftest import start_node
from tests.harness.nodes import StartedBroker
from tests.harness.vhost import Vhost, new_vhost

CLASSIC, QUORUM = 4500, 500

#: The bare loop does a tenth of each kind: it is the rate that counts.
PART = 10

#: Seconds that `plan` may take; its process, the reading of a file of 5,000 queues and all. Less those for which the
#: process could have run and other programs had the processors: they say something of the machine, nothing of the plan.
PLAN_WITHIN = 10.0

#: Seconds of a processor that the process may use for that: more than twice what was measured (1.2).
PLAN_CPU = 3.0

#: RabbitMQ's own default in milliseconds. With those of the other tests' nodes, half a second, a node with 5,000 queues
#: is busy with nothing but their statistics, and answers four times as late.
FIGURES = {"collect_statistics_interval": "5000"}

#: Runs a command line, then says what memory it took at most, in KiB, its seconds of a processor, and the nanoseconds
#: for which it waited for one (https://docs.kernel.org/scheduler/sched-stats.html).
MEASURED = """
import resource, sys
from amqptasks.cli import main
try:
    main(sys.argv[1:])
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    waited = open("/proc/self/schedstat").read().split()[1]
    print(used.ru_maxrss, used.ru_utime + used.ru_stime, waited, file=sys.stderr)
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.kills_broker]


@pytest.fixture(scope="module")
def large_broker(request: pytest.FixtureRequest) -> Iterator[StartedBroker]:
    with start_node("large", request, FIGURES, advanced="[]") as started:
        yield started


def _topology(path: Path) -> Path:
    lines = ["version: 1", "exchanges:", "  events: {type: topic}", "queues:", "  dead: {dead_letter: false}"]
    for number in range(CLASSIC + QUORUM):
        kind = "classic" if number < CLASSIC else "quorum"
        lines.append(
            f"  q{number}: {{type: {kind}, dead_letter: {{queue: dead}},"
            f' bindings: [{{exchange: events, routing_key: "of.{number}"}}]}}'
        )
    path.write_text("\n".join(lines))
    return path


class Run(NamedTuple):
    """`seconds` are by the clock, less what it `waited` for a processor; `memory` is in MiB."""

    status: int
    output: str
    seconds: float
    waited: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s (and {self.waited:.1f} s held up), {self.cpu:.1f} s of CPU, {self.memory:.0f} MiB"


def _run(command: str, file: Path, vhost: Vhost, *more: str) -> Run:
    api = vhost.management._base.removesuffix("/api")
    arguments = [command, str(file), "--broker", vhost.url, "--management", api, "--no-delays", "--json", *more]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, timeout=1500, check=False
    )
    seconds = time.monotonic() - begun
    memory, cpu, waited = (float(figure) for figure in done.stderr.split()[-3:])
    return Run(done.returncode, done.stdout, seconds - waited / 1e9, waited / 1e9, cpu, memory / 1024)


def _delete(vhost: Vhost) -> None:
    """A virtual host of 5,000 queues goes slowly: longer than the fixture's client waits."""
    api = Management(vhost.management._base.removesuffix("/api"), vhost.url, timeout=600)
    api.delete("vhosts", vhost.name)


def _bare_loop(vhost: Vhost) -> float:
    """Objects a second of a loop with pika, one after the other."""
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("events", "topic", durable=True)
        count = 0
        begun = time.monotonic()
        for kind, queues in (("classic", CLASSIC // PART), ("quorum", QUORUM // PART)):
            for number in range(queues):
                name = f"{kind}{number}"
                channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
                channel.queue_bind(name, "events", f"of.{name}")
                channel.queue_bind(name, "amq.direct", name)
                count += 3
        return count / (time.monotonic() - begun)


def test_5000_queues_are_planned_within_seconds_and_declared_faster_than_in_a_loop(
    large_broker: StartedBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file, broker = _topology(tmp_path / "large.yaml"), large_broker
    with new_vhost(broker) as vhost:
        bare = _bare_loop(vhost)
        _delete(vhost)
    with new_vhost(broker) as vhost:
        empty = _run("plan", file, vhost)
        figures = [f"RabbitMQ {broker.version}", f"plan on an empty broker {empty}"]
        assert empty.status == 2
        assert empty.seconds < PLAN_WITHIN, figures
        objects = json.loads(empty.output)["summary"]["create"]
        declared = _run("declare", file, vhost)
        assert declared.status == 0
        assert len(json.loads(declared.output)) == objects
        rate = objects / (declared.seconds + declared.waited)
        figures.append(f"declare of {objects} objects {declared}, {rate:.0f}/s (loop: {bare:.0f}/s)")
        full = _run("plan", file, vhost, "--prune")
        figures.append(f"plan on the full broker {full}")
        with capsys.disabled():
            print("", *figures, sep="\n  ")
        _delete(vhost)
        assert full.status == 0, full.output[:2000]
        assert full.seconds < PLAN_WITHIN, figures
        assert full.cpu < PLAN_CPU, figures
        assert rate > bare, figures
