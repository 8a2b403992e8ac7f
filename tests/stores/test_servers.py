"""What stores on servers do when these are killed, silent, closed to them, or used by several processes at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import ConfigurationError, StoreUnavailable
from amqptasks.results import writer as writers
from amqptasks.results.record import Record
from amqptasks.results.stores import mysql, open_store, postgresql, redis, s3, sql
from amqptasks.results.stores.base import Store
from tests.harness.wait import wait_for
from tests.stores.conftest import NOW, ON_SERVERS, record
from tests.stores.processes import begin_together, check_a_fork
from tests.stores.servers import PASSWORD, SERVERS, Server

SOON = 60.0


@pytest.fixture(params=ON_SERVERS)
def server(request: pytest.FixtureRequest, server_of: Callable[[str], Server]) -> Server:
    return server_of(request.param)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sql, postgresql, mysql):
        monkeypatch.setattr(module, "STATEMENT_WITHIN", 1)
    for module in (redis, s3):
        monkeypatch.setattr(module, "ANSWER_WITHIN", 1)
        monkeypatch.setattr(module, "CONNECT_WITHIN", 1)


def hides(text: str) -> bool:
    return PASSWORD not in text and PASSWORD.replace("@", "%40") not in text and "w%2Frd" not in text


def test_a_server_that_is_killed_is_told_and_is_used_again_once_it_is_back(server: Server) -> None:
    store = open_store(server.url)
    store.write([record("before")])
    server.kill()
    try:
        for act in (lambda: store.write([record("2")]), lambda: store.read(["before"], NOW)):
            with pytest.raises(StoreUnavailable) as caught:
                act()
            assert store.where in str(caught.value)
            assert hides(f"{caught.value!r} {store.where}")
    finally:
        server.start()
    assert list(store.read(["before"], NOW)) == ["before"]
    store.write([record("after")])
    assert sorted(store.read(["before", "2", "after"], NOW)) == ["after", "before"]
    store.close()


def test_idle_connections_that_the_server_lost_are_no_error(server: Server) -> None:
    """Whoever asks later need not know that it was restarted meanwhile."""
    store = open_store(server.url)
    store.write([record("1")])
    server.kill()
    server.start()
    assert list(store.read(["1"], NOW)) == ["1"]
    store.close()


def test_a_server_that_is_silent_costs_no_more_than_its_limits(server: Server, short_limits: None) -> None:
    store = open_store(server.url)
    store.write([record("1")])
    server.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            store.read(["1"], NOW)
    finally:
        server.thaw()
    assert time.monotonic() - began < 30.0
    assert list(store.read(["1"], NOW)) == ["1"]
    store.close()


def test_a_store_that_is_killed_between_write_and_ack_loses_nothing(
    server: Server, memory_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "LONGEST_PAUSE", 0.5)
    app = App("shop", memory_broker, backend=server.url)
    app.task(name="double")(lambda x: 2 * x)
    assert app.results is not None
    store, killed, numbers = app.results.store, threading.Event(), range(200)
    write = store.write

    def write_and_kill(records: Sequence[Record]) -> None:
        write(records)
        if not killed.is_set() and any(one.final for one in records):
            server.kill()
            killed.set()

    monkeypatch.setattr(store, "write", write_and_kill)
    other = App("other", memory_broker, backend=server.url)
    with app.worker(queues={"default": 20}) as node:
        called = app.tasks["double"].publish_many([(number,) for number in numbers])
        assert killed.wait(SOON)
        wait_for(lambda: node.queues["default"].unsettled == 20, SOON, "the queue waits for its store")
        server.start()
        assert [other.AsyncResult(one.id).get(SOON) for one in called] == [2 * number for number in numbers]
        wait_for(lambda: node.queues["default"].unsettled == 0, SOON, "all are acknowledged")
        assert node.counts["Success"] == len(numbers)
    app.close()
    other.close()


def test_processes_write_the_same_tasks_and_one_is_first(server: Server) -> None:
    code = (
        "import sys; from tests.stores.test_servers import *\n"
        "store = open_store(sys.argv[1]); print('ready', flush=True); input()\n"
        "for number in range(20):\n"
        "    store.write([record(str(number), 'STARTED')])\n"
        "    store.write([record(str(number), body=sys.argv[2].encode()), record(f'{sys.argv[2]}-{number}')])\n"
        "    print(store.read([str(number)], NOW)[str(number)].body.decode(), flush=True)\n"
    )
    said = [text.split() for text in begin_together(code, [(server.url, name) for name in "ab"])]
    assert said[0] == said[1]
    store = open_store(server.url)
    kept = store.read([str(number) for number in range(20)], NOW)
    assert [kept[str(number)].body.decode() for number in range(20)] == said[0]
    store.close()


def test_a_forked_child_has_a_connection_of_its_own(server: Server) -> None:
    store = open_store(server.url)
    check_a_fork(store)
    store.close()


def test_a_password_is_never_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the right one nor a wrong one."""
    assert hides(repr(open_store(server.url).__dict__.get("where")))
    if "@" not in server.url:
        return  # the keys of S3 are never in an address
    scheme, _, rest = server.url.partition("://")
    place = rest.rpartition("@")[2]
    user = rest.partition(":")[0]
    store = open_store(f"{scheme}://{user}:wr0ng-s3cret@{place}")
    with pytest.raises(StoreUnavailable) as caught:
        store.read(["1"], NOW)
    assert "wr0ng" not in f"{caught.value!r}{caught.value.__cause__}{caplog.text}{store.where}"
    store.close()


@pytest.mark.stores
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@[host/x",
        "postgresql://user:s3cret@host/x?nosuch=1",
        "mysql://user:s3cret@host:port/x",
        "mysql://user:s3cret@host/x?nosuch=s3cret",
        "mysql://user:s3cret@host",
        "mysql://user:s3cret/@host/x",
        "redis://user:s3cret@host:port/0",
        "redis://user:s3cret@host/0?socket_timeout=s3cret",
        "s3://key:s3cret@bucket",
        "s3://",
        "s3://bucket?nosuch=s3cret",
        "s3://bucket?endpoint=s3cret",
    ],
)
def test_a_wrong_address_is_told_without_what_it_hides(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert "s3cret" not in f"{caught.value!r}{caught.value.__cause__!r}"
    assert "backend" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://host/x", "psycopg", "sql"),
        ("mysql://host/x", "pymysql", "sql"),
        ("redis://host", "redis", "redis"),
        ("s3://bucket", "boto3", "s3"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'amqptasks\[{extra}\]'"):
        open_store(url)


def opened(server_of: Callable[[str], Server], name: str) -> tuple[Server, Any]:
    found = server_of(name)
    store: Store = open_store(found.url)
    return found, store


@pytest.mark.stores
def test_a_redis_that_may_lose_results_is_told(
    server_of: Callable[[str], Server], caplog: pytest.LogCaptureFixture
) -> None:
    found, store = opened(server_of, "redis")

    def set_(appendonly: str, maxmemory: str, policy: str) -> None:
        settings = {"appendonly": appendonly, "maxmemory": maxmemory, "maxmemory-policy": policy}
        found.ask(lambda client: [client.config_set(name, value) for name, value in settings.items()])  # type: ignore[call-arg]

    set_("no", "100mb", "allkeys-lru")
    try:
        store.write([record("1")])
    finally:
        set_("yes", "0", "noeviction")
    assert "appendonly yes" in caplog.text
    assert "allkeys-lru" in caplog.text
    caplog.clear()
    store.close()
    other = open_store(found.url)
    other.write([record("2")])
    assert caplog.text == ""
    other.close()


@pytest.mark.stores
def test_a_redis_that_is_full_is_no_end(server_of: Callable[[str], Server]) -> None:
    found, store = opened(server_of, "redis")
    found.ask(lambda client: client.config_set("maxmemory", "1"))  # type: ignore[call-arg]
    try:
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            store.write([record("1")])
    finally:
        found.ask(lambda client: client.config_set("maxmemory", "0"))  # type: ignore[call-arg]
    store.write([record("1")])
    assert list(store.read(["1"], NOW)) == ["1"]
    store.close()


@pytest.mark.stores
def test_an_object_store_without_conditional_writes_is_refused(server_of: Callable[[str], Server]) -> None:
    _, store = opened(server_of, "s3")
    put = store._put
    store._put = lambda key, data, **condition: put(key, data)
    with pytest.raises(StoreUnavailable, match="does not know conditional writes"):
        store.write([record("1")])
    store.close()


def test_there_are_servers_for_all_of_them() -> None:
    assert sorted(SERVERS) == ["mysql", "postgresql", "redis", "s3"]
