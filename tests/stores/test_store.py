"""What every result store does, over each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from amqptasks.errors import StoreRefused
from amqptasks.results.reply import FINAL_STATES
from amqptasks.results.stores import OWN, sql, sqlite
from amqptasks.results.stores.base import Store
from tests.stores.conftest import NOW, record

FINAL = sorted(FINAL_STATES)
ON_THE_WAY = ("SENT", "STARTED", "PROGRESS", "RETRY", "custom state")


@pytest.mark.parametrize("state", [*FINAL, *ON_THE_WAY])
def test_a_record_comes_back_as_it_was_written(store: Store, state: str) -> None:
    written = record(state=state, attempt=3, expires_at=NOW + 5.5)
    store.write([written])
    assert store.read(["1"], NOW) == {"1": written}


@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff'\"", b"x" * 3_000_000], ids=["nothing", "any bytes", "three million bytes"]
)
def test_any_body_comes_back(store: Store, body: bytes) -> None:
    store.write([record(body=body)])
    assert store.read(["1"], NOW)["1"].body == body


@pytest.mark.parametrize("identity", ["a/b?c=d", "é" * 127, "' or 1=1 --", "%_*", " "])
def test_any_id_is_one_id(store: Store, identity: str) -> None:
    store.write([record(identity), record("other")])
    assert list(store.read([identity], NOW)) == [identity]


def test_an_id_without_a_record_is_not_there(store: Store) -> None:
    store.write([record("1")])
    assert store.read(["2"], NOW) == {}


def test_no_id_is_no_question(store: Store) -> None:
    assert store.read([], NOW) == {}


def test_hundreds_are_read_at_once(store: Store) -> None:
    store.write([record(str(number)) for number in range(510)])
    found = store.read([str(number) for number in range(0, 1020, 2)], NOW)
    assert sorted(map(int, found)) == list(range(0, 510, 2))


@pytest.mark.parametrize("first", FINAL)
@pytest.mark.parametrize("later", [*FINAL, "STARTED"])
def test_the_first_final_state_stays(store: Store, first: str, later: str) -> None:
    store.write([record(state=first, body=b"first")])
    store.write([record(state=later, body=b"later", attempt=9, at=NOW + 1)])
    assert (store.read(["1"], NOW)["1"].state, store.read(["1"], NOW)["1"].body) == (first, b"first")


def test_the_first_final_state_stays_within_one_write(store: Store) -> None:
    store.write([record(body=b"first"), record(state="FAILURE", body=b"later")])
    assert store.read(["1"], NOW)["1"].body == b"first"


@pytest.mark.parametrize("final", FINAL)
def test_a_final_state_takes_the_place_of_one_on_the_way(store: Store, final: str) -> None:
    store.write([record(state="RETRY", attempt=4)])
    store.write([record(state=final, attempt=0)])
    assert store.read(["1"], NOW)["1"].state == final


def test_a_later_state_on_the_way_takes_the_place_of_an_earlier_one(store: Store) -> None:
    for state in ("SENT", "STARTED", "PROGRESS"):
        store.write([record(state=state)])
        assert store.read(["1"], NOW)["1"].state == state


def test_a_late_word_of_an_earlier_attempt_changes_nothing(store: Store) -> None:
    store.write([record(state="STARTED", attempt=1)])
    store.write([record(state="RETRY", attempt=0)])
    assert store.read(["1"], NOW)["1"].state == "STARTED"


@pytest.mark.parametrize("state", ["SUCCESS", "STARTED"])
def test_what_has_expired_is_not_there(store: Store, state: str) -> None:
    store.write([record(state=state, expires_at=NOW + 10)])
    assert list(store.read(["1"], NOW + 9.9)) == ["1"]
    assert store.read(["1"], NOW + 10) == {}


@pytest.mark.parametrize("state", ["SUCCESS", "STARTED"])
def test_what_has_expired_gives_its_place_to_anything(store: Store, state: str) -> None:
    store.write([record(state=state, attempt=5, expires_at=NOW + 10)])
    store.write([record(state="STARTED", at=NOW + 11)])
    assert store.read(["1"], NOW + 11)["1"].attempt == 0


def test_what_never_expires_stays(store: Store) -> None:
    store.write([record(expires_at=None)])
    store.clean(NOW * 2)
    assert list(store.read(["1"], NOW * 2)) == ["1"]


def test_cleaning_removes_what_has_expired_and_nothing_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sql, sqlite):
        monkeypatch.setattr(module, "CLEANED_AT_ONCE", 40)
    store.write([record(str(number), expires_at=NOW + number) for number in range(120)])
    while store.clean(NOW + 100):
        pass
    # By an earlier clock, what was removed is still not there. RabbitMQ and Redis remove by themselves, and later.
    earlier = NOW + 100 if store.where.startswith(("stream", "redis")) else NOW - 1
    found = store.read([str(number) for number in range(120)], earlier)
    assert sorted(map(int, found)) == list(range(101, 120))


def test_forgetting_removes_a_record_for_good_or_is_refused(store: Store) -> None:
    store.write([record("1"), record("2")])
    if store.where.startswith("stream"):
        with pytest.raises(StoreRefused, match="keeps each result until it expires"):
            store.forget(["1"])
        assert list(store.read(["1"], NOW)) == ["1"]
        return
    store.forget(["1", "never there"])
    assert list(store.read(["1", "2"], NOW)) == ["2"]
    store.write([record("1", "FAILURE")])
    assert store.read(["1"], NOW)["1"].state == "FAILURE"


def test_another_one_of_the_same_address_sees_it_at_once(store: Store, open_again: Callable[[], Store]) -> None:
    other = open_again()
    store.write([record()])
    assert list(other.read(["1"], NOW)) == ["1"]
    other.write([record("2")])
    assert sorted(store.read(["1", "2"], NOW)) == ["1", "2"]


def test_it_can_be_used_after_it_was_closed(store: Store) -> None:
    store.write([record()])
    store.close()
    store.close()
    assert list(store.read(["1"], NOW)) == ["1"]


def test_many_threads_write_the_same_task_and_one_is_first(store: Store) -> None:
    def write(number: int) -> None:
        for identity in range(20):
            store.write([record(str(identity), body=b"%d" % number)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    seen: dict[str, bytes] = {}
    while any(thread.is_alive() for thread in threads):
        for identity, found in store.read([str(number) for number in range(20)], NOW).items():
            assert seen.setdefault(identity, found.body) == found.body
    for thread in threads:
        thread.join()
    assert len(store.read([str(number) for number in range(20)], NOW)) == 20


def test_its_address_is_told(store: Store) -> None:
    assert store.where.partition("://")[0] in OWN
