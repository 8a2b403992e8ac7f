"""`store`: each test that takes it runs over every result store. `open_again` opens the same one a second time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amqptasks.messages.properties import Properties
from amqptasks.results.record import Record
from amqptasks.results.stores import memory, open_store
from amqptasks.results.stores.base import Store

STORES = ("memory", "sqlite")

#: When the records of these tests are made.
NOW = 1_800_000_000.0


@pytest.fixture(params=STORES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a store of this test's own."""
    if request.param == "memory":
        name = f"memory://{uuid.uuid4().hex}"
        yield name
        memory._stores.pop(name, None)
    else:
        yield f"sqlite:///{tmp_path}/results.db"


@pytest.fixture
def open_again(address: str) -> Iterator[Callable[[], Store]]:
    made: list[Store] = []

    def again() -> Store:
        made.append(open_store(address))
        return made[-1]

    yield again
    for one in made:
        one.close()


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
