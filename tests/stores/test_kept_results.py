"""How long results are kept, how, and for whom: results by id over each store. The broker is one in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from amqptasks import App, ResultSet, Signing
from amqptasks.errors import ConfigurationError, ResultError, ResultsNotKept
from amqptasks.messages.ids import task_id
from amqptasks.results.address import ENVIRONMENT, REPLACES
from amqptasks.runtime.clock import broker_time
from tests.stores.shop import SOON, NewApp, call, elsewhere, with_tasks


@pytest.fixture
def app(new_app: NewApp) -> App:
    return with_tasks(new_app())


@pytest.mark.parametrize(
    ("options", "name", "kept_for"),
    [
        ({}, "add", 86_400),
        ({"result_expires": 50}, "add", 50),
        ({"result_expires": timedelta(minutes=1)}, "fail", 60),
        ({"result_expires": None}, "add", None),
        ({"result_expires": 50}, "own", 7),
        ({"query": "expires=20"}, "add", 20),
        ({"query": "expires=20&failure_expires=30", "result_expires": 50}, "fail", 30),
        ({"query": "failure_expires=30", "result_expires": 50}, "add", 50),
        ({"query": "expires=20&failure_expires=30"}, "own", 7),
    ],
    ids=str,
)
def test_how_long_a_result_is_kept(
    app: App, new_app: NewApp, address: str, options: dict[str, Any], name: str, kept_for: float | None
) -> None:
    query = options.get("query")
    others = {option: value for option, value in options.items() if option != "query"}
    other = new_app(backend=f"{address}?{query}" if query else address, **others)
    for task in ("add", "fail"):
        other.task(name=task)(app.tasks[task].function)
    other.task(name="own", result_expires=7)(app.tasks["add"].function)
    with other.worker():
        result = other.tasks[name].delay(1)
        result.get(SOON, propagate=False)
        assert other.results is not None
        result.date_done  # noqa: B018 - the record is there from now on
        kept = other.results.store.read([result.id], broker_time.now())[result.id]
        assert kept.expires_at == (None if kept_for is None else kept.at + kept_for)


def test_results_are_compressed_where_the_address_says_so(app: App, new_app: NewApp, address: str) -> None:
    other = new_app(backend=f"{address}?compression=zlib")
    other.task(name="many")(lambda: "x" * 100_000)
    with other.worker():
        result = other.tasks["many"].delay()
        assert elsewhere(other, result, new_app).get(SOON) == "x" * 100_000
        assert other.results is not None
        kept = other.results.store.read([result.id], broker_time.now())[result.id]
        assert len(kept.body) < 2000


def test_a_result_that_is_too_large_is_a_failure_that_says_so(
    app: App, new_app: NewApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.task(name="many")(lambda: "x" * 100_000)
    assert app.results is not None
    monkeypatch.setattr(app.results.recording, "largest", 50_000)
    with app.worker():
        result = app.tasks["many"].delay()
        other = elsewhere(app, result, new_app)
        with pytest.raises(ConfigurationError, match="this store takes 50,000"):
            other.get(SOON)
        assert other.state == "FAILURE"


def test_a_value_that_cannot_be_stored_is_a_failure_that_says_so(app: App, new_app: NewApp) -> None:
    app.task(name="odd")(lambda: {"x": object()})
    with app.worker():
        other = elsewhere(app, app.tasks["odd"].delay(), new_app)
        with pytest.raises(ConfigurationError, match="result cannot be stored"):
            other.get(SOON)


KEY = {"2026": "a secret of the right length, 32"}


def test_signed_results_are_believed_and_others_are_not(app: App, new_app: NewApp) -> None:
    signing = new_app(signing=KEY)
    signing.task(name="add")(app.tasks["add"].function)
    with signing.worker():
        result = signing.tasks["add"].delay(2, 2)
        assert new_app(signing=KEY).AsyncResult(result.id).get(SOON) == 4
        with pytest.raises(ResultError, match="not believed"):
            new_app(signing={"2026": "another secret, of the same length"}).AsyncResult(result.id).get(SOON)
        # Without keys it is read as it stands.
        assert new_app().AsyncResult(result.id).get(SOON) == 4


def test_a_forged_result_is_not_believed(app: App, new_app: NewApp) -> None:
    with app.worker():
        forged = app.tasks["add"].delay(2, 2)
        forged.get(SOON)
        forged.date_done  # noqa: B018 - the record is there from now on
    with pytest.raises(ResultError, match="not believed"):
        new_app(signing=Signing(KEY)).AsyncResult(forged.id).get(SOON)


def test_the_result_of_another_task_under_an_id_is_not_given_out(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["add"].delay(2, 2)
        result.get(SOON)
        result.date_done  # noqa: B018 - the record is there from now on
    assert app.results is not None
    kept = app.results.store.read([result.id], broker_time.now())[result.id]
    kept.id = "another"
    app.results.store.write([kept])
    with pytest.raises(ResultError, match="result of another task"):
        new_app().AsyncResult("another").get(SOON)


@pytest.mark.parametrize("identity", ["", "x" * 256, None, 5])
def test_what_is_no_id_is_refused(app: App, identity: Any) -> None:
    with pytest.raises(ConfigurationError, match="task id"):
        app.AsyncResult(identity)


def test_without_a_store_results_are_not_kept(new_app: NewApp) -> None:
    app = new_app(backend=None)
    app.task(name="add")(lambda x: x)
    with pytest.raises(ResultsNotKept, match=r'App\(backend="stream://"\)'):
        app.AsyncResult("1")
    result = app.tasks["add"].delay(5)
    assert app.AsyncResult(result.id) is result
    with app.worker():
        assert result.get(SOON) == 5
    assert (result.date_done, result.worker, result.args) == (None, None, None)
    assert (result.children, result.parent) == ([], None)


def test_the_environment_names_the_store(new_app: NewApp, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, address)
    assert new_app(backend="rpc://").backend.url == address
    assert new_app(backend="memory://in-code").backend.url == "memory://in-code"
    monkeypatch.setenv(REPLACES, "1")
    assert new_app(backend="memory://in-code").backend.url == address


def test_a_worker_does_not_begin_without_a_store(new_app: NewApp) -> None:
    with (
        pytest.raises(ConfigurationError, match="there is no result store for nosuch://"),
        new_app(backend="nosuch://").worker(),
    ):
        pytest.fail("it began")


@pytest.mark.parametrize("wait", ["get", "result set"])
def test_waiting_for_another_task_in_a_task_is_refused_with_what_to_do(app: App, wait: str) -> None:
    def waiting(identity: str, **more: Any) -> Any:
        result = app.AsyncResult(identity)
        return ResultSet([result]).get(SOON, **more)[0] if wait == "result set" else result.get(SOON, **more)

    app.task(name="wait")(waiting)
    with app.worker():
        added = app.tasks["add"].delay(1, 1)
        with pytest.raises(ConfigurationError, match=r"link=, or a chain.*disable_sync_subtasks=False"):
            call(app, "wait", task_id()).get(SOON)
        allowed = app.tasks["wait"].delay(added.id, disable_sync_subtasks=False)
        assert allowed.get(SOON) == 2


def test_a_callback_hears_the_id_and_the_value(app: App) -> None:
    heard: list[tuple[str, Any]] = []
    with app.worker():
        result = app.tasks["add"].delay(1, 1)
        assert result.get(SOON, callback=lambda *given: heard.append(given)) == 2
    assert heard == [(result.id, 2)]
