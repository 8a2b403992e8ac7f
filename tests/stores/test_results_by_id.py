"""Results by id over each store: every state, what a result says, and who may ask. The broker is one in memory."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amqptasks import App, RemoteError, ResultTimeout
from amqptasks.errors import ResultError, TaskRejected, TaskRevoked
from amqptasks.results.result import AsyncResult
from amqptasks.results.stored_result import StoredResult
from tests.harness.wait import wait_for
from tests.stores.shop import SOON, NewApp, call, elsewhere, with_tasks


@pytest.fixture
def app(new_app: NewApp) -> App:
    return with_tasks(new_app())


@pytest.mark.parametrize("name", ["delay", "publish_many", "submit", "send_task", "apply_async"])
def test_each_way_to_call_is_stored(app: App, new_app: NewApp, name: str) -> None:
    add = app.tasks["add"]
    with app.worker():
        result = {
            "delay": lambda: add.delay(2, 3),
            "publish_many": lambda: add.publish_many([(2, 3)])[0],
            "submit": lambda: add.submit(2, 3).result(SOON),
            "send_task": lambda: app.send_task("add", (2, 3)),
            "apply_async": lambda: add.apply_async((2, 3)),
        }[name]()
        assert elsewhere(app, result, new_app).get(SOON) == 5
        assert result.get(SOON) == 5


def test_a_success_says_everything(app: App, new_app: NewApp) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with app.worker() as worker:
        result = app.tasks["add"].delay(2, y=3, password="secret")
        for one in (elsewhere(app, result, new_app), result):
            assert one.get(SOON) == 5
            assert (one.state, one.status, one.ready(), one.successful(), one.failed()) == (
                "SUCCESS",
                "SUCCESS",
                True,
                True,
                False,
            )
            assert (one.result, one.info, one.traceback) == (5, 5, None)
            assert (one.name, one.args, one.kwargs) == ("add", [2], {"y": 3, "password": "***"})
            assert (one.worker, one.queue, one.retries) == (worker.name, "default", 0)
            assert (one.children, one.parent, one.reason) == ([], None, None)
            assert one.date_done is not None
            assert before < one.date_done < datetime.now(UTC) + timedelta(seconds=5)


def test_a_secret_that_is_given_by_position_is_hidden(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["add"].delay(1, 2, "secret")
        other = elsewhere(app, result, new_app)
        other.get(SOON)
        assert other.args == [1, 2, "***"]


def test_long_arguments_are_left_out(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["fail"].delay("x" * 5000)
        other = elsewhere(app, result, new_app)
        assert isinstance(other.get(SOON, propagate=False), ValueError)
        assert (other.args, other.kwargs, other.name) == (None, None, "fail")


def test_a_failure_comes_with_type_text_and_traceback(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["fail"].delay("no", 5)
        for one in (elsewhere(app, result, new_app), result):
            with pytest.raises(ValueError, match="no") as caught:
                one.get(SOON)
            assert caught.value.args == ("no", 5)
            assert (one.state, one.failed(), one.successful()) == ("FAILURE", True, False)
            assert "raise ValueError(*args)" in (one.traceback or "")
            assert repr(one.result) == "ValueError('no', 5)"


def test_an_exception_whose_arguments_do_not_travel_comes_with_its_type_and_text(app: App, new_app: NewApp) -> None:
    with app.worker():
        other = elsewhere(app, app.tasks["fail-odd"].delay(), new_app)
        with pytest.raises(RemoteError, match="1 and 2") as caught:
            other.get(SOON)
        assert caught.value.exception_type.endswith("Odd")
        assert "raise Odd(1, 2)" in (other.traceback or "")


def test_a_rejected_task_says_why(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["reject"].delay()
        for one in (elsewhere(app, result, new_app), result):
            with pytest.raises(TaskRejected, match="no such customer"):
                one.get(SOON)
            assert (one.state, one.reason) == ("REJECTED", "rejected: no such customer")


def test_an_unknown_task_is_rejected(app: App, new_app: NewApp) -> None:
    with app.worker():
        other = elsewhere(app, app.send_task("nobody.knows"), new_app)
        with pytest.raises(TaskRejected, match="unknown-task"):
            other.get(SOON)
        assert (other.state, other.name) == ("REJECTED", "nobody.knows")


def test_an_expired_task_is_revoked(app: App, new_app: NewApp) -> None:
    result = call(app, "add", 1, expires=datetime.now(UTC) - timedelta(seconds=5))
    with app.worker():
        for one in (elsewhere(app, result, new_app), result):
            with pytest.raises(TaskRevoked):
                one.get(SOON)
            assert one.state == "REVOKED"
            assert "expired" in (one.reason or "")


def test_an_ignored_task_is_over(app: App, new_app: NewApp) -> None:
    with app.worker():
        other = elsewhere(app, app.tasks["ignore"].delay(), new_app)
        assert other.get(SOON) is None
        assert other.state == "IGNORED"


def test_who_wants_no_result_has_none(app: App, new_app: NewApp) -> None:
    with app.worker() as worker:
        result = call(app, "add", 1, ignore_result=True)
        wait_for(lambda: worker.counts["Success"] == 1, message="it ran")
    assert (result.state, elsewhere(app, result, new_app).state) == ("IGNORED", "PENDING")


def test_states_on_the_way_are_seen_by_the_caller_and_by_others(app: App, new_app: NewApp) -> None:
    gate = app.gate  # type: ignore[attr-defined]
    with app.worker() as worker:
        result = app.tasks["progress"].delay()
        both = (result, elsewhere(app, result, new_app))
        for one in both:
            wait_for(lambda one=one: one.state == "STARTED", message="it has begun")
            assert one.info["hostname"] == worker.name
        gate.set()
        for one in both:
            wait_for(lambda one=one: one.state == "PROGRESS", message="it told its progress")
            assert (one.info, one.ready()) == ({"done": 1}, False)
        gate.set()
        assert [one.get(SOON) for one in both] == ["done", "done"]


def test_a_retry_is_seen_by_the_caller_and_by_others(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["again"].delay()
        both = (result, elsewhere(app, result, new_app))
        for one in both:
            wait_for(lambda one=one: one.state == "RETRY", message="it is to run again", every=0.005)
            assert isinstance(one.result, KeyError)
        app.gate.set()  # type: ignore[attr-defined]
        assert [one.get(SOON) for one in both] == ["now", "now"]
        assert [one.retries for one in both] == [1, 1]


def test_an_id_that_nobody_called_is_pending(app: App, new_app: NewApp) -> None:
    result = new_app().AsyncResult("nobody")
    assert (result.state, result.ready(), result.result, result.traceback) == ("PENDING", False, None, None)
    assert (result.date_done, result.args, result.worker, result.children) == (None, None, None, [])
    with pytest.raises(ResultTimeout):
        result.get(timeout=0.05)


def test_no_time_is_no_waiting(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["add"].delay(1)
        result.get(SOON)
        result.date_done  # noqa: B018 - the record is there from now on
        assert elsewhere(app, result, new_app).get(timeout=0) == 1


def test_it_can_be_awaited(app: App, new_app: NewApp) -> None:
    async def both(result: AsyncResult[Any]) -> list[Any]:
        async with asyncio.timeout(SOON):
            return list(await asyncio.gather(result, elsewhere(app, result, new_app)))

    with app.worker():
        assert asyncio.run(both(app.tasks["add"].delay(4, 5))) == [9, 9]


def test_a_task_gives_the_result_of_its_calls(app: App) -> None:
    with app.worker():
        result = app.tasks["add"].delay(1, 1)
        identity = result.id
        assert result.get(SOON) == 2
        del result
        assert app.tasks["add"].AsyncResult(identity).get(SOON) == 2
        assert app.tasks["add"].AsyncResult(identity).name == "add"


def test_a_result_that_waits_here_is_the_same_object(app: App) -> None:
    result = app.tasks["add"].delay(1)
    assert app.AsyncResult(result.id) is result


def test_calls_of_a_task_are_its_children(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["parent"].delay()
        other = elsewhere(app, result, new_app)
        child = other.get(SOON)
        assert [one.id for one in other.children] == [child]
        assert other.children[0].get(SOON) == 3
        found = other.children[0].parent
        assert found is not None
        assert found.id == result.id


def test_links_are_stored_and_are_children(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["add"].apply_async((1, 2), link=app.tasks["add"].s(10))
        other = elsewhere(app, result, new_app)
        assert other.get(SOON) == 3
        assert [one.get(SOON) for one in other.children] == [13]


def test_the_steps_of_a_chain_are_stored(app: App, new_app: NewApp) -> None:
    with app.worker():
        steps = [app.tasks["add"].s(100), app.tasks["add"].s(10)]
        result = app.tasks["add"].apply_async((1, 2), chain=steps)
        other = elsewhere(app, result, new_app)
        assert other.get(SOON) == 3
        (second,) = other.children
        assert second.get(SOON) == 13
        (third,) = second.children
        assert third.get(SOON) == 113


def test_a_forgotten_result_is_pending(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = app.tasks["add"].delay(1)
        other = elsewhere(app, result, new_app)
        assert result.get(SOON) == 1
        result.forget()
        assert other.state == "PENDING"
        assert elsewhere(app, result, new_app).state == "PENDING"


def test_whoever_waits_for_a_result_that_is_forgotten_is_told(app: App) -> None:
    result = app.tasks["add"].delay(1)
    caught: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(ResultError, match="forgotten") as told:
            result.get(SOON)
        caught.append(told.value)

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_for(lambda: result._waiters, message="it waits")
    result.forget()
    waiter.join(SOON)
    assert len(caught) == 1


def test_a_lost_reply_is_no_lost_result(app: App) -> None:
    result = app.tasks["add"].delay(1, 1)
    replies = app.caller.replies
    app.caller.link.call_soon(lambda: replies.lost("the connection broke"))
    wait_for(lambda: replies.known(result.id) is None, message="nothing is pushed any more")
    with app.worker():
        assert result.get(SOON) == 2
        assert result.state == "SUCCESS"


def test_a_reply_that_goes_elsewhere_is_found_by_id(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = call(app, "add", 3, reply_to="amq.rabbitmq.reply-to.nobody")
        assert isinstance(result, StoredResult)
        assert result.get(SOON) == 3
