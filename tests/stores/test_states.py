"""The table of states in docs/results.md: each on every store, seen by the caller and by another process."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from amqptasks import App, Ignore, Reject
from amqptasks.errors import ConfigurationError
from amqptasks.memory.registry import forget
from amqptasks.results.result import AsyncResult
from amqptasks.results.stores import open_store
from amqptasks.results.stores.memory import MemoryStore
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY
from tests.stores.conftest import NOW, record

SOON = 60.0

#: A row: state, what it means, seen by the caller, by id.
ROW = re.compile(r"^\| `([A-Z_]+)`[^|]*\| (.*) \| (yes|no) \| (yes|no) \|$", re.MULTILINE)

Made = tuple[AsyncResult[Any], Callable[[], object]]


def table() -> dict[str, tuple[bool, bool]]:
    text = (REPOSITORY / "docs/results.md").read_text().partition("\n## States\n")[2].partition("\n## ")[0]
    return {state: (caller == "yes", by_id == "yes") for state, _, caller, by_id in ROW.findall(text)}


@pytest.fixture
def broker() -> Iterator[str]:
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    forget(url)


class Shop:
    """An app that calls and works, and one in another place. `go` lets tasks go on."""

    def __init__(self, broker: str, address: str) -> None:
        self.broker, self.address = broker, address
        self.go = threading.Event()
        self.apps: list[App] = []
        self.app = self.new()
        self.other = self.new()
        go = self.go

        @self.app.task(name="hold", bind=True, track_started=True, max_retries=1, default_retry_delay=0.01)
        def hold(task: Any, what: str) -> Any:
            if what == "again" and task.request.retries == 0:
                raise task.retry()
            if what not in ("STARTED", "again"):
                task.update_state(state=what, meta={"done": 1})
            assert go.wait(SOON)
            return what

        # Without `track_started`, the state RETRY stays until the second run ends.
        @self.app.task(name="again", bind=True, max_retries=1, default_retry_delay=0.01)
        def again(task: Any) -> None:
            if task.request.retries == 0:
                raise task.retry()
            assert go.wait(SOON)

        @self.app.task(name="end")
        def end(what: str) -> Any:
            if what == "FAILURE":
                raise ValueError(what)
            return {"REJECTED": Reject("no"), "IGNORED": Ignore(), "SUCCESS": 1}[what]

    def new(self, **options: Any) -> App:
        self.apps.append(App("shop", self.broker, **{"backend": self.address, **options}))
        return self.apps[-1]

    def call(self, name: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        result: AsyncResult[Any] = self.app.tasks[name].apply_async(args, **options)
        return result


@pytest.fixture
def shop(broker: str, address: str) -> Iterator[Shop]:
    made = Shop(broker, address)
    yield made
    made.go.set()
    for app in made.apps:
        app.close()


ENDS = ("SUCCESS", "FAILURE", "REJECTED")
ON_THE_WAY = ("STARTED", "PROGRESS")


@pytest.mark.parametrize("state", [*ENDS, *ON_THE_WAY, "RETRY", "REVOKED"])
def test_a_state_is_seen_by_the_caller_and_by_another_process(shop: Shop, state: str) -> None:
    assert table()[state] == (True, True)
    with shop.app.worker():
        if state in ENDS:
            result = shop.call("end", state)
        elif state in ON_THE_WAY:
            result = shop.call("hold", state)
        elif state == "RETRY":
            result = shop.call("again")
        else:
            result = shop.call("end", "SUCCESS", expires=datetime.now(UTC) - timedelta(seconds=5))
        elsewhere = shop.other.AsyncResult(result.id)
        for one in (result, elsewhere):
            wait_for(lambda one=one: one.state == state, SOON, f"its state is {state}")
            assert one.ready() is (state in (*ENDS, "REVOKED"))
        shop.go.set()


def test_pending_and_sent_and_unknown(shop: Shop) -> None:
    assert table()["PENDING"] == (True, True)
    result = shop.call("end", "SUCCESS")
    assert (result.state, shop.other.AsyncResult(result.id).state) == ("PENDING", "PENDING")
    assert table()["SENT"] == (True, True)
    tracking = shop.new(track_sent=True)
    result = tracking.send_task("end", ("SUCCESS",))
    assert (result.state, shop.other.AsyncResult(result.id).state) == ("SENT", "SENT")
    assert table()["UNKNOWN"] == (False, True)
    assert tracking.AsyncResult("nobody").state == "UNKNOWN"


def test_ignored_by_the_caller_and_by_the_task(shop: Shop) -> None:
    assert table()["IGNORED"] == (True, True)
    assert shop.call("end", "SUCCESS", ignore_result=True).state == "IGNORED"
    with shop.app.worker():
        result = shop.call("end", "IGNORED")
        assert shop.other.AsyncResult(result.id).get(SOON) is None
        assert shop.other.AsyncResult(result.id).state == "IGNORED"


def test_lost_and_not_kept_are_for_callers_without_a_store(shop: Shop) -> None:
    assert (table()["LOST"], table()["NOT_KEPT"]) == ((True, False), (True, False))
    plain = shop.new(backend="rpc://")
    result = plain.send_task("end", ("SUCCESS",))
    replies = plain.caller.replies
    plain.caller.link.call_soon(lambda: replies.lost("the connection broke"))
    wait_for(lambda: result.state == "LOST", SOON, "its reply is lost")
    assert plain.send_task("end", ("SUCCESS",), reply_to="amq.rabbitmq.reply-to.nobody").state == "NOT_KEPT"
    assert shop.other.AsyncResult(result.id).state == "PENDING"


def test_the_table_has_these_states_and_no_other() -> None:
    tested = {*ENDS, *ON_THE_WAY, "RETRY", "REVOKED", "PENDING", "SENT", "UNKNOWN", "IGNORED", "LOST", "NOT_KEPT"}
    assert set(table()) == tested


def test_a_store_of_another_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = EntryPoint("mine", "amqptasks.results.stores.memory:MemoryStore", "amqptasks.result_stores")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **given: EntryPoints([mine]).select(**given))
    store = open_store("mine://somewhere/else?x=1")
    assert isinstance(store, MemoryStore)
    assert store.where == "mine://somewhere/else?x=1"
    store.write([record()])
    assert list(store.read(["1"], NOW)) == ["1"]
    with pytest.raises(ConfigurationError, match=r"no result store for other://; there is .*s3://, mine://"):
        open_store("other://x")
    app = App("shop", "memory://", backend="mine://here?expires=5")
    assert app.results is not None
    assert (app.results.store.where, app.results.address.expires) == ("mine://here", 5.0)
    app.close()
