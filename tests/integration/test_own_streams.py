"""The streams that workers keep: out of reach of publishers, moved where an earlier release made them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.control import places
from amqptasks.errors import PublishError
from amqptasks.events import places as events
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.topology.plan import retired
from amqptasks.transport.entities import Binding, Exchange
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.integration.asking import Told
from tests.integration.test_roles import api

STREAMS = (places.REVOKED, places.NODES, events.STREAM)

#: A number that no float can hold.
HUGE = "1" + "0" * 400


def as_earlier_releases_made_it(session: Session) -> None:
    """All streams hang on the exchange that publishers may write to."""
    session.declare_exchange(Exchange("amqptasks.queues", "direct"))
    session.declare_exchange(events.EXCHANGE)
    for stream in STREAMS:
        session.declare_queue(stream.queue)
        session.bind(stream.retired)
    session.bind(Binding(events.EXCHANGE.name, events.STREAM.name, "#"))


def by_the_queues_exchange(stream: str) -> Outgoing:
    return Outgoing("amqptasks.queues", stream, b"{}", Properties())


@pytest.fixture
def file(tmp_path: Path) -> str:
    written = tmp_path / "shop.yaml"
    written.write_text("version: 1\nqueues:\n  default:\ndelays: {max: 1s}\n")
    return str(written)


def test_the_streams_known_to_declare_are_those_that_workers_keep() -> None:
    assert {stream.name: stream.exchange for stream in STREAMS[:2]} | {
        events.STREAM.name: events.EXCHANGE
    } == retired.SOURCES
    assert [stream.retired for stream in STREAMS] == [retired.retired_of(stream.name) for stream in STREAMS]


def test_streams_made_by_a_worker_cannot_be_written_through_the_exchange_of_queues(vhost: Vhost) -> None:
    with Session([vhost.url]) as session:
        places.prepare(session, has_streams=True)
        events.prepare(session, has_streams=True)
        session.declare_exchange(Exchange("amqptasks.queues", "direct"))
        for stream in STREAMS:
            with pytest.raises(PublishError):
                session.publish(by_the_queues_exchange(stream.name))


def test_a_worker_moves_the_streams_of_an_earlier_release(vhost: Vhost) -> None:
    with Session([vhost.url]) as session:
        as_earlier_releases_made_it(session)
        places.prepare(session, has_streams=True)
        events.prepare(session, has_streams=True)
        for stream in STREAMS:
            with pytest.raises(PublishError):
                session.publish(by_the_queues_exchange(stream.name))
        session.publish(places.REVOKED.message(b"{}"))


@pytest.mark.parametrize("over", ["management", "amqp"])
def test_declare_moves_the_streams_of_an_earlier_release_and_plan_says_so(vhost: Vhost, file: str, over: str) -> None:
    where = ["--broker", vhost.url, "--management", api(vhost)]
    with Session([vhost.url]) as session:
        as_earlier_releases_made_it(session)
    told = CliRunner().invoke(main, ["plan", file, "--json", *where])
    steps = {(step["action"], step["kind"], step["name"]) for step in json.loads(told.stdout)["steps"]}
    removed = {name for action, kind, name in steps if (action, kind) == ("remove", "binding")}
    assert len(removed) == len(STREAMS), steps
    assert ("create", "exchange", places.REVOKED.exchange.name) in steps
    shown = CliRunner().invoke(main, ["plan", file, *where])
    assert "3 to remove" in shown.stdout
    assert shown.exit_code == 2
    if over == "amqp":
        with Session([vhost.url]) as session:
            assert len(list(retired.move(session))) == 2 * len(STREAMS)
    done = CliRunner().invoke(main, ["declare", file, *where])
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(main, ["plan", file, "--broker", vhost.url, "--management", api(vhost)])
    assert again.exit_code == 0, again.output
    with Session([vhost.url]) as session:
        for stream in STREAMS:
            with pytest.raises(PublishError):
                session.publish(by_the_queues_exchange(stream.name))


def test_declare_closes_the_end_of_the_ladder_for_internal_and_built_in_exchanges(vhost: Vhost, tmp_path: Path) -> None:
    written = tmp_path / "shop.yaml"
    written.write_text(
        "version: 1\nexchanges: {inner: {type: topic, internal: true}}\nqueues:\n  payments:\n    bindings:\n"
        "    - {exchange: amq.topic, routing_key: pay}\n    - {exchange: inner, routing_key: pay}\ndelays: {max: 1s}\n"
    )
    where = ["--broker", vhost.url, "--management", api(vhost)]
    assert CliRunner().invoke(main, ["declare", str(written), *where]).exit_code == 0
    with Session([vhost.url]) as session:  # as an earlier release declared it
        for target in ("inner", "amq.topic"):
            twin = Exchange(f"amqptasks.due.{target}", "topic")
            session.declare_exchange(twin)
            session.bind(Binding(twin.name, "payments", "pay"))
            arguments = {"x-match": "all-with-x", "x-amqptasks-to": target}
            session.bind(Binding("amqptasks.delay.end", twin.name, "", "exchange", arguments))
    told = CliRunner().invoke(main, ["plan", str(written), "--json", *where])
    assert json.loads(told.stdout)["summary"]["remove"] == 2
    assert CliRunner().invoke(main, ["declare", str(written), *where]).exit_code == 0
    with Session([vhost.url]) as session:
        for target in ("inner", "amq.topic"):
            headers: dict[str, object] = {"x-amqptasks-d00": True, "x-amqptasks-to": target}
            session.publish(Outgoing("amqptasks.delay.00", "pay", b"forged", Properties(headers=headers)))
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 2)
    assert vhost.management.ready("payments") == 0


@contextmanager
def a_worker_behind(told: Told, *records: str, exchange: str | None = None) -> Iterator[None]:
    with told.app.session() as session:
        places.prepare(session, has_streams=True)
        for record in records:
            message = places.REVOKED.message(record.encode())
            if exchange is not None:
                message = Outgoing(exchange, places.REVOKED.name, message.body, message.properties)
            session.publish(message)
    with told.app.worker(["default"], concurrency=1):
        yield


def test_a_worker_reads_on_behind_records_that_are_no_revocations_and_counts_them(vhost: Vhost) -> None:
    told = Told(vhost.url)
    with closing(told.app):
        told.app.declare()
        before = told.send("note", "before")
        records = [
            f'{{"revoke":{{"ids":["a"]}},"at":{HUGE}}}', '{"revoke":{"tasks":["*"]},"at":1e15}', "[" * 50_000, "null",
            json.dumps({"revoke": {"tasks": ["*"]}, "at": time.time() + 1000}),
            json.dumps({"revoke": {"headers": {"task": {"deep": {}}}}, "at": time.time()}),
            json.dumps({"revoke": {"ids": ["really"]}, "at": time.time()}),
        ]  # fmt: skip
        with a_worker_behind(told, *records):
            assert before.get(10) is None
            assert told.send("note", "after").get(10) is None
            (revoked,) = told.app.control.revoked().values()
            assert (revoked.skipped, revoked.ids, revoked.tasks) == (6, ("really",), ())


def test_a_worker_skips_revocations_that_came_by_the_default_exchange(vhost: Vhost) -> None:
    told = Told(vhost.url)
    with closing(told.app):
        told.app.declare()
        before = told.send("note", "before")
        with a_worker_behind(told, json.dumps({"revoke": {"tasks": ["*"]}, "at": time.time()}), exchange=""):
            assert before.get(10) is None
            (revoked,) = told.app.control.revoked().values()
            assert revoked.skipped == 1
