"""The thread that writes to a store: order, errors, and a store that is down."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from amqptasks.errors import StoreRefused, StoreUnavailable
from amqptasks.results import writer as writers
from amqptasks.results.record import Record
from amqptasks.results.stores.memory import MemoryStore
from amqptasks.results.writer import Writer
from tests.harness.wait import wait_for
from tests.stores.conftest import NOW, record


class Moody(MemoryStore):
    """Does as it is told: `error` is raised by each write, and `refused` are the ids that it never takes."""

    def __init__(self) -> None:
        super().__init__("memory://moody")
        self.error: Exception | None = None
        self.refused: set[str] = set()
        self.tries = 0
        self.order: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def write(self, records: Sequence[Record]) -> None:
        self.tries += 1
        self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        if self.refused & {one.id for one in records}:
            raise StoreRefused("not this one")
        self.order += [one.id for one in records]
        super().write(records)


@pytest.fixture
def store() -> Moody:
    return Moody()


@pytest.fixture
def writer(store: Moody, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(writers, "FIRST_PAUSE", 0.01)
    made = Writer(store)
    yield made
    made.close(5)


def test_records_are_written_in_turn_and_told_of(store: Moody, writer: Writer) -> None:
    told: list[object] = []
    for number in range(2000):
        writer.put(record(str(number)), told.append)
    wait_for(lambda: len(told) == 2000, message="all were told")
    assert set(told) == {None}
    assert store.order == [str(number) for number in range(2000)]


@pytest.mark.parametrize("error", [StoreUnavailable("it is down"), RuntimeError("a mistake in it")], ids=str)
def test_a_store_that_is_down_is_tried_again_until_it_takes_them(
    store: Moody, writer: Writer, error: Exception
) -> None:
    store.error = error
    told: list[object] = []
    for number in range(10):
        writer.put(record(str(number)), told.append)
    wait_for(lambda: store.tries > 3, message="it is tried again")
    assert (told, str(error) in (writer.trouble or "")) == ([], True)
    assert writer.oldest is not None
    store.error = None
    wait_for(lambda: len(told) == 10, message="it has them")
    assert store.order == [str(number) for number in range(10)]
    assert (writer.trouble, writer.oldest) == (None, None)


def test_a_record_that_is_refused_holds_up_no_other(store: Moody, writer: Writer) -> None:
    store.refused = {"3", "5"}
    store.go_on.clear()
    told: dict[str, object] = {}
    for number in range(8):
        writer.put(record(str(number)), lambda refused, number=number: told.update({str(number): refused}))
    store.go_on.set()
    wait_for(lambda: len(told) == 8, message="all were told")
    assert {identity for identity, refused in told.items() if refused is not None} == {"3", "5"}
    assert store.order == ["0", "1", "2", "4", "6", "7"]


def test_one_that_was_withdrawn_is_not_written(store: Moody, writer: Writer) -> None:
    store.error = StoreUnavailable("it is down")
    told: list[object] = []
    first = writer.put(record("1"), told.append)
    wait_for(lambda: store.tries > 1, message="it is tried")
    second = writer.put(record("2"), told.append)
    writer.put(record("3"), told.append)
    first.withdraw()
    second.withdraw()
    store.error = None
    wait_for(lambda: told == [None], message="the third is written")
    assert store.order[-1] == "3"
    assert "2" not in store.order


def test_states_on_the_way_do_not_fill_the_memory(
    store: Moody, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "MOST_OFFERED", 20)
    store.error = StoreUnavailable("it is down")
    writer.put(record("0"))
    wait_for(lambda: store.tries > 1, message="it is tried")
    told: list[object] = []
    writer.put(record("waited for"), told.append)
    for number in range(1, 200):
        writer.put(record(str(number)))
    store.error = None
    wait_for(lambda: bool(told) and store.order[-1:] == ["199"], message="the last are written")
    assert len(store.order) <= 23
    assert "waited for" in store.order


def test_closing_writes_what_waits(store: Moody, writer: Writer) -> None:
    store.go_on.clear()
    for number in range(5):
        writer.put(record(str(number)))
    store.go_on.set()
    writer.close(5)
    assert store.order == ["0", "1", "2", "3", "4"]


def test_closing_says_what_a_store_that_is_down_did_not_take(
    store: Moody, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = StoreUnavailable("it is down")
    writer.put(record("1"))
    wait_for(lambda: store.tries > 0, message="it is tried")
    writer.close(5)
    assert "1 state of a task is not written to the result store: it is down" in caplog.text


def test_what_has_expired_is_removed_without_anybody_who_asks(
    store: Moody, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "CLEAN_EVERY", 0.02)
    writer.put(record("1", expires_at=1.0))
    writer.put(record("2", expires_at=NOW * 2))
    wait_for(lambda: list(store.read(["1", "2"], 0.0)) == ["2"], message="it is removed")
