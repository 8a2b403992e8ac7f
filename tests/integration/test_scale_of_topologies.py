"""A large topology: 4,500 classic and 500 quorum queues, each bound twice, with one dead-letter queue for all."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from amqptasks.amqp.management import Management
from tests.conftest import start_node
from tests.harness.nodes import StartedBroker
from tests.harness.vhost import Vhost, new_vhost

CLASSIC, QUORUM = 4500, 500

#: The bare loop does a tenth of each kind: it is the rate that counts.
PART = 10

#: Seconds that `plan` may take; its process, the reading of a file of 5,000 queues and all.
PLAN_WITHIN = 10.0

#: RabbitMQ's own default in milliseconds. With those of the other tests' nodes, half a second, a node with 5,000 queues
#: is busy with nothing but their statistics, and answers four times as late.
FIGURES = {"collect_statistics_interval": "5000"}

#: Runs a command line, then says what memory it took at most, in KiB.
MEASURED = """
import resource, sys
from amqptasks.cli import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
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


def _run(command: str, file: Path, vhost: Vhost, *more: str) -> tuple[int, str, float, float]:
    """Status, output, seconds, MiB."""
    api = vhost.management._base.removesuffix("/api")
    arguments = [command, str(file), "--broker", vhost.url, "--management", api, "--no-delays", "--json", *more]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, timeout=1500, check=False
    )
    return done.returncode, done.stdout, time.monotonic() - begun, int(done.stderr.split()[-1]) / 1024


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
        status, out, seconds, memory = _run("plan", file, vhost)
        figures = [f"RabbitMQ {broker.version}", f"plan on an empty broker {seconds:.1f} s, {memory:.0f} MiB"]
        assert status == 2
        assert seconds < PLAN_WITHIN, figures
        objects = json.loads(out)["summary"]["create"]
        status, out, seconds, memory = _run("declare", file, vhost)
        assert status == 0
        assert len(json.loads(out)) == objects
        rate = objects / seconds
        figures.append(
            f"declare of {objects} objects {seconds:.1f} s, {rate:.0f}/s (loop: {bare:.0f}/s), {memory:.0f} MiB"
        )
        status, out, seconds, memory = _run("plan", file, vhost, "--prune")
        figures.append(f"plan on the full broker {seconds:.1f} s, {memory:.0f} MiB")
        with capsys.disabled():
            print("", *figures, sep="\n  ")
        _delete(vhost)
        assert status == 0, out[:2000]
        assert seconds < PLAN_WITHIN, figures
        assert rate > bare, figures
