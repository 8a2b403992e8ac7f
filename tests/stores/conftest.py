"""`store`: each test that takes it runs over every result store. `open_again` opens the same one a second time. Tests
with `address` alone need no broker, and leave out the streams.

Stores on servers are for `make test-stores`, where a server that is missing is a failure, and else a counted skip.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from amqptasks import dial
from amqptasks.memory.registry import forget
from amqptasks.messages.properties import Properties
from amqptasks.results import stored_result
from amqptasks.results.record import Record
from amqptasks.results.stores import memory, open_store
from amqptasks.results.stores.base import Around, Store
from amqptasks.streams import result_streams
from amqptasks.transport import Link
from amqptasks.transport.publisher import Publisher
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.stores.servers import SERVERS, server_of
from tests.stores.shop import NewApp, apps_with

__all__ = ["server_of"]

ON_SERVERS = [pytest.param(name, marks=pytest.mark.stores) for name in SERVERS]
WITHOUT_BROKER = ["memory", "sqlite", *ON_SERVERS]
STORES = [*WITHOUT_BROKER, pytest.param("stream", marks=pytest.mark.broker)]

#: When the records of these tests are made: Redis removes by its own clock what expires before that.
NOW = 4_000_000_000.0


@pytest.fixture(autouse=True)
def _servers_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that does other things, too, moto takes seconds for what S3 does in some milliseconds."""
    monkeypatch.setattr(stored_result, "STORED_WITHIN", 30.0)


@pytest.fixture
def memory_broker() -> Iterator[str]:
    """A broker in memory, of this test's own."""
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    forget(url)


@pytest.fixture(params=WITHOUT_BROKER)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a store of this test's own, which needs no broker."""
    if request.param in SERVERS:
        yield request.getfixturevalue("server_of")(request.param).url
    elif request.param == "memory":
        name = f"memory://{uuid.uuid4().hex}"
        yield name
        memory._stores.pop(name, None)
    else:
        yield f"sqlite:///{tmp_path}/results.db"


@pytest.fixture
def new_app(address: str) -> Iterator[NewApp]:
    with apps_with(address) as new:
        yield new


@pytest.fixture(scope="module")
def streams_vhost(request: pytest.FixtureRequest) -> Iterator[Vhost]:
    """One for all tests of the suite, which are many: the streams are deleted between them."""
    with new_vhost(request.getfixturevalue("broker")) as made:
        yield made


@pytest.fixture(params=STORES)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    made: list[Store] = []
    links: list[Link] = []
    vhost = request.getfixturevalue("streams_vhost") if request.param == "stream" else None
    if request.param in SERVERS:
        url = request.getfixturevalue("server_of")(request.param).url
    else:
        url = {
            "memory": f"memory://{uuid.uuid4().hex}",
            "sqlite": f"sqlite:///{tmp_path}/results.db",
            "stream": "stream://?partitions=2",
        }[request.param]

    def again() -> Store:
        around = None
        if vhost is not None:
            link = dial.link([vhost.url])
            links.append(link)
            link.start()
            link.call_soon(lambda: link.connect(lambda _error: None))
            wait_for(lambda: link.capabilities, message="the link is connected")
            around = Around(lambda: link, lambda: Publisher(link), lambda: closing(dial.session([vhost.url])))
        made.append(open_store(url, around))
        return made[-1]

    yield again
    for one in made:
        one.close()
    for link in links:
        link.stop(5.0)
    for key in result_streams.keys(2) if vhost is not None else ():
        vhost.management.delete_queue(result_streams.name_of(key))
    memory._stores.pop(url, None)


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Store:
    return open_again()


def record(
    identity: str = "1",
    state: str = "SUCCESS",
    body: bytes = b"{}",
    *,
    attempt: int = 0,
    at: float = NOW,
    expires_at: float | None = None,
) -> Record:
    headers: dict[str, object] = {"compression": "application/x-gzip", "x-amqptasks-signature": "v1:key:0af"}
    properties = Properties("application/json", "utf-8", headers, correlation_id=identity)
    return Record(identity, state, body, properties, attempt, at, expires_at)
