"""`stream://`: what is declared and planned, a "there is none" that is exact, and records that nobody may forge."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, cast

import pika
import pytest
from click.testing import CliRunner

from amqptasks import App, ResultSet
from amqptasks.cli import main
from amqptasks.errors import ConfigurationError, StoreUnavailable
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.ids import task_id
from amqptasks.results.record import Record
from amqptasks.results.stores import stream_look
from amqptasks.results.stores.base import Store
from amqptasks.runtime.clock import monotonic
from amqptasks.streams import result_streams
from tests.harness.management import Management
from tests.harness.nodes import StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.integration.test_roles import api
from tests.stores.conftest import record

if TYPE_CHECKING:
    from amqptasks.transport import Link

SOON = 20.0
BACKEND = "stream://?partitions=2"
TOPOLOGY = "version: 1\nqueues:\n  orders: {}\n"


@pytest.fixture
def topology(tmp_path: Path) -> str:
    file = tmp_path / "shop.yaml"
    file.write_text(TOPOLOGY)
    return str(file)


@pytest.fixture
def new_app(vhost: Vhost, topology: str) -> Iterator[Callable[[], App]]:
    """Apps that declare nothing by themselves."""
    made: list[App] = []

    def new() -> App:
        made.append(App("shop", vhost.url, topology=topology, backend=BACKEND))
        return made[-1]

    yield new
    for app in made:
        app.close()


def store_of(app: App) -> Store:
    assert app.results is not None
    return app.results.store


def test_the_streams_are_declared_and_the_plan_is_empty_then(vhost: Vhost, topology: str) -> None:
    where = ["--broker", vhost.url, "--management", api(vhost), "--backend", "stream://"]
    before = CliRunner().invoke(main, ["plan", topology, "--json", *where])
    steps = json.loads(before.output)["steps"]
    count = 16 if vhost.management.release() >= (3, 13, 0) else 64
    planned = {step["name"] for step in steps if step["kind"] == "queue"}
    assert {f"amqptasks.results.{count}.{number:02d}" for number in range(count)} <= planned
    declared = CliRunner().invoke(main, ["declare", topology, *where])
    assert declared.exit_code == 0, declared.output
    after = CliRunner().invoke(main, ["plan", topology, "--json", *where])
    assert json.loads(after.output)["steps"] == []
    # Another number of streams is another set.
    other = CliRunner().invoke(main, ["plan", topology, "--json", *where[:-1], "stream://?partitions=3"])
    assert len([step for step in json.loads(other.output)["steps"] if step["kind"] == "queue"]) == 3


def test_streams_that_are_missing_are_made_by_the_first_who_needs_them(
    new_app: Callable[[], App], management: Management
) -> None:
    assert new_app().AsyncResult("nobody").state == "PENDING"
    assert {"amqptasks.results.02.00", "amqptasks.results.02.01"} <= {queue["name"] for queue in management.queues()}


def test_none_is_said_after_a_stream_was_deleted_and_made_again(
    new_app: Callable[[], App], management: Management
) -> None:
    store = store_of(new_app())
    store.write([record("1", at=time.time())])
    assert list(store.read(["1"], time.time())) == ["1"]
    management.delete_queue(result_streams.name_of(result_streams.key_of("1", 2)))
    assert store.read(["1"], time.time()) == {}
    store.write([record("1", "FAILURE", at=time.time())])
    assert store.read(["1"], time.time())["1"].state == "FAILURE"


def test_a_record_is_found_although_its_ids_clock_and_the_readers_are_an_hour_ahead(
    new_app: Callable[[], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start ahead of all records gives nothing, not even the probe: then all of the stream is read."""
    store = store_of(new_app())
    ahead = time.time() + 3600
    made = f"{int(ahead * 1000):012x}"
    identity = f"{made[:8]}-{made[8:]}-7000-8000-000000000000"
    store.write([record(identity, at=ahead)])
    monkeypatch.setattr(stream_look, "SILENT", 0.5)
    assert list(store.read([identity], ahead)) == [identity]
    missing = f"{identity[:-1]}1"
    assert store.read([missing], ahead) == {}


def test_a_result_that_is_older_than_its_id_is_found(
    new_app: Callable[[], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first record is not looked at before all of the stream was read: `BEFORE` is negative here."""
    store = store_of(new_app())
    identity = task_id()
    store.write([record(identity, at=time.time())])
    monkeypatch.setattr(stream_look, "BEFORE", -3600.0)
    monkeypatch.setattr(stream_look, "SILENT", 0.5)
    assert list(store.read([identity], time.time() + 7200)) == [identity]


def test_a_node_that_gives_no_probe_back_is_no_answer(
    new_app: Callable[[], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(new_app())
    store.write([record("1", at=time.time())])
    monkeypatch.setattr(stream_look, "NO_ANSWER", 0.3)
    monkeypatch.setattr(stream_look._Reading, "deliveries", lambda self, batch: None)
    with pytest.raises(StoreUnavailable, match="Whether there is a result is not known"):
        store.read(["1"], time.time())


@pytest.mark.parametrize(
    "exchange", ["amqptasks.results.probe", "", "foreign"], ids=["as a probe", "by name", "by an exchange of its own"]
)
def test_a_record_that_came_by_another_exchange_is_no_result(
    new_app: Callable[[], App], vhost: Vhost, exchange: str
) -> None:
    store = store_of(new_app())
    store.write([record("2", at=time.time())])
    key = result_streams.key_of("1", 2)
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        if exchange == "foreign":
            channel.exchange_declare("foreign", "direct")
            channel.queue_bind(result_streams.name_of(key), "foreign", key)
        properties = pika.BasicProperties(message_id="1", headers={"x-stream-filter-value": "1"})
        where = result_streams.name_of(key) if exchange == "" else key
        channel.basic_publish(exchange, where, record("1").encode(), properties, mandatory=True)
    assert store.read(["1"], time.time()) == {}


@pytest.mark.parametrize("body", [b"", b"{}", record("other").encode()], ids=["nothing", "json", "of another task"])
def test_a_record_that_cannot_be_read_is_passed_over(new_app: Callable[[], App], vhost: Vhost, body: bytes) -> None:
    store = store_of(new_app())
    store.write([record("0", at=time.time())])
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id="1", headers={"x-stream-filter-value": "1"})
        channel.basic_publish("amqptasks.results", result_streams.key_of("1", 2), body, properties, mandatory=True)
    store.write([record("1", body=b"right", at=time.time())])
    assert store.read(["1"], time.time())["1"].body == b"right"


def test_a_thousand_of_many_are_read_in_one_pass_a_stream(
    new_app: Callable[[], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(new_app())
    ids = [task_id() for _ in range(3000)]
    store.write([record(identity, body=b"x" * 200, at=time.time()) for identity in ids])
    opened: list[str] = []
    open_reading = stream_look._Reading.open

    def counted(self: stream_look._Reading, *given: object) -> None:
        opened.append(str(given[1]))
        open_reading(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(stream_look._Reading, "open", counted)
    wanted = ids[::3]
    found: dict[str, Record] = store.read(wanted, time.time())
    assert list(found) == sorted(found, key=wanted.index) or set(found) == set(wanted)
    assert len(found) == 1000
    assert sorted(opened) == ["amqptasks.results.02.00", "amqptasks.results.02.01"]


def test_a_broker_with_filters_passes_on_little_of_many(
    new_app: Callable[[], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    store = store_of(app)
    ids = [task_id() for _ in range(1500)]
    for start in range(0, len(ids), 50):  # a chunk each
        store.write([record(identity, at=time.time()) for identity in ids[start : start + 50]])
    came: list[int] = []
    take = stream_look._Reading.deliveries

    def counted(self: stream_look._Reading, batch: list[Delivery]) -> None:
        came.append(len(batch))
        take(self, batch)

    monkeypatch.setattr(stream_look._Reading, "deliveries", counted)
    wanted = [*ids[100:110], *ids[700:780]]
    assert set(store.read(wanted, time.time())) == set(wanted)
    capabilities = app.caller.link.capabilities
    assert capabilities is not None
    assert sum(came) < 700 if capabilities.stream_filters else sum(came) >= len(wanted), came


def test_the_silence_of_one_stream_says_nothing_while_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    hearing = stream_look.Hearing()
    look = stream_look.Look(cast("Link", None), "00", ["1"], 0.0, SimpleQueue(), hearing)
    failed: list[str] = []
    monkeypatch.setattr(look, "_another_node", failed.append)
    look._from_first = True
    look._reading = stream_look._Reading(look, frozenset(["1"]), "probe")
    look._reading.heard = monotonic() - stream_look.NO_ANSWER - 1
    hearing.at = monotonic()
    look.check()
    assert failed == []
    hearing.at = look._reading.heard
    look.check()
    assert len(failed) == 1


def test_without_a_broker_a_question_says_so(vhost: Vhost, topology: str) -> None:
    app = App("shop", "amqp://guest:guest@127.0.0.1:1/", topology=topology, backend=BACKEND, connect_timeout=0.3)
    with pytest.raises(StoreUnavailable, match=r"stream://.*127\.0\.0\.1:1"):
        _ = app.AsyncResult("1").state
    app.close()


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("stream://host", "names no host"),
        ("stream://?partitions=0", "from 1 to 1,024"),
        ("stream://?partitions=many", "from 1 to 1,024"),
        ("stream://?partitions=99999", "from 1 to 1,024"),
        ("stream://?colour=red", "write stream://"),
    ],
)
def test_an_address_that_cannot_be_is_refused(backend: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        App("shop", "amqp://localhost", backend=backend)


def test_streams_in_memory_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs RabbitMQ"):
        App("shop", "memory://", backend="stream://")


def test_progress_is_seen_by_another_app_while_the_task_runs(vhost: Vhost) -> None:
    import threading

    gate = threading.Event()
    app = App("shop", vhost.url, backend=BACKEND)
    other = App("shop", vhost.url, backend=BACKEND)

    @app.task(bind=True, name="work")
    def work(self: object) -> str:
        self.update_state(state="PROGRESS", meta={"done": 1})  # type: ignore[attr-defined]
        assert gate.wait(SOON)
        return "done"

    with app.worker():
        seen = other.AsyncResult(work.delay().id)
        wait_for(lambda: seen.state == "PROGRESS", SOON, "it told its progress")
        assert seen.info == {"done": 1}
        gate.set()
        assert seen.get(SOON) == "done"
    app.close()
    other.close()


@pytest.mark.long
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_goes_while_results_are_stored_loses_none(own_broker: StartedBroker, how: str) -> None:
    """Tasks end while their store is away: they wait, and are acknowledged once it has their results."""
    with new_vhost(own_broker) as vhost, closing(App("shop", vhost.url, backend=BACKEND)) as app:

        @app.task(name="work")
        def work(number: int) -> int:
            time.sleep(0.005)
            return number

        ids = [result.id for result in work.publish_many([(number,) for number in range(3000)])]
        with app.worker(concurrency=4) as node:
            wait_for(lambda: node.counts["Success"] > 500, SOON, "some have ended")
            getattr(own_broker.node, how)()
            wait_for(lambda: not node.ready, SOON, "the worker has noticed")
            own_broker.node.start()
            wait_for(lambda: node.counts["Success"] >= 3000, 60.0, lambda: f"all have ended: {node.counts}")
            with closing(App("shop", vhost.url, backend=BACKEND)) as other:
                found = ResultSet(map(other.AsyncResult, ids))
                assert found.get(SOON) == list(range(3000))
