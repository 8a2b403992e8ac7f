"""Signatures, and what follows on a task: links, error callbacks, chains; under the same ids each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amqptasks import App, Request, Signature
from amqptasks.errors import ConfigurationError, NoRoute, UnknownOption
from amqptasks.messages.ids import derived, made_at, task_id
from amqptasks.messages.reach import EVERYWHERE
from amqptasks.messages.routing import Router
from tests.harness.wait import wait_for

Ran = dict[str, tuple[Any, ...]]


class Shop:
    """Tasks that note what they got, by name."""

    def __init__(self, app: App) -> None:
        self.ran: list[tuple[str, Any]] = []
        self.requests: dict[str, Request] = {}

        @app.task(name="shop.add", bind=True)
        def add(task: Any, x: int, y: int) -> int:
            self._note(task, x + y)
            return x + y

        @app.task(name="shop.fail", bind=True)
        def fail(task: Any) -> None:
            self._note(task, None)
            raise OSError("no line")

        @app.task(name="shop.tell", bind=True)
        def tell(task: Any, *args: Any) -> None:
            self._note(task, args)

        @app.task(name="shop.whole")
        def whole(request: Any, exc: Any, traceback: Any, *more: Any) -> None:
            self.ran.append(("shop.whole", (request, exc, traceback, more)))

        self.add, self.fail, self.tell, self.whole = add, fail, tell, whole

    def _note(self, task: Any, what: Any) -> None:
        self.requests[task.request.id] = task.request
        self.ran.append((task.name, what))

    def wait(self, count: int) -> None:
        wait_for(lambda: len(self.ran) >= count, message=lambda: f"{count} runs, not {self.ran}")


@pytest.fixture
def shop(app: App) -> Shop:
    return Shop(app)


def test_a_signature_is_the_dict_of_the_protocol(shop: Shop) -> None:
    signature = shop.add.s(1, y=2)
    assert signature == {
        "task": "shop.add",
        "args": [1],
        "kwargs": {"y": 2},
        "options": {},
        "subtask_type": None,
        "immutable": False,
    }
    assert repr(signature) == "shop.add(1, y=2)"
    assert shop.add.si(1, 2)["immutable"] is True
    assert shop.add.signature((1, 2), priority=3)["options"] == {"priority": 3}
    with pytest.raises(UnknownOption, match="countdown"):
        shop.add.signature((1, 2), contdown=3)  # type: ignore[call-arg]


def test_further_arguments_come_first_unless_it_is_immutable(shop: Shop) -> None:
    assert shop.add.s(10)(1) == 11
    assert shop.add.s(10).clone((1,))["args"] == [1, 10]
    assert shop.add.si(10, 20)(1) == 30
    assert shop.add.s(10).set(countdown=5)["options"] == {"countdown": 5}
    assert shop.add.s(1, y=2).clone(kwargs={"y": 5})["kwargs"] == {"y": 5}


def test_a_signature_is_called_as_its_task(app: App, shop: Shop) -> None:
    with app.worker():
        assert shop.add.s(10).delay(1).get(timeout=5) == 11
        assert app.signature("shop.add", (1, 2)).apply_async().get(timeout=5) == 3
        assert app.signature(dict(shop.add.s(2, 3))).delay().get(timeout=5) == 5


def test_links_get_the_value_before_their_own_arguments(app: App, shop: Shop) -> None:
    with app.worker():
        result: Any = shop.add.apply_async((1, 2), link=[shop.tell.s("own"), shop.tell.si("alone")])
        assert result.get(timeout=5) == 3
        shop.wait(3)
    assert {what for _, what in shop.ran[1:]} == {("alone",), (3, "own")}
    followers = [request for request in shop.requests.values() if request.task == "shop.tell"]
    assert {request.parent_id for request in followers} == {result.id}
    assert {request.root_id for request in followers} == {result.id}
    assert {request.id for request in followers} == {derived(result.id, "link-0"), derived(result.id, "link-1")}


def test_a_link_of_a_link_follows(app: App, shop: Shop) -> None:
    with app.worker():
        shop.add.s(1, 2).link(shop.add.s(10).link(shop.tell.s())).delay()
        shop.wait(3)
    assert shop.ran == [("shop.add", 3), ("shop.add", 13), ("shop.tell", (13,))]


def test_a_link_may_wait_on_the_broker(app: App, shop: Shop) -> None:
    with app.worker():
        shop.add.apply_async((1, 2), link=shop.tell.s().set(countdown=0.2))
        shop.wait(2)
    assert shop.ran[1] == ("shop.tell", (3,))


def test_the_options_of_a_task_may_name_links(app: App, shop: Shop) -> None:
    linked = app.task(name="shop.linked", link=shop.tell.s())(lambda: "value")
    with app.worker():
        linked.delay()
        shop.wait(1)
    assert shop.ran == [("shop.tell", ("value",))]


def test_links_are_called_once_after_all_retries(app: App, shop: Shop) -> None:
    @app.task(name="shop.twice", bind=True)
    def twice(task: Any) -> int:
        if task.request.retries < 2:
            raise task.retry(countdown=0)
        return 2

    with app.worker():
        twice.apply_async(link=shop.tell.s())
        shop.wait(1)
        assert twice.delay().get(timeout=5) == 2
    assert shop.ran == [("shop.tell", (2,))]


def test_error_callbacks_get_the_id_or_all_there_is(app: App, shop: Shop) -> None:
    with app.worker():
        result: Any = shop.fail.apply_async(link_error=[shop.tell.s(), shop.whole.s("more")], link=shop.tell.s("never"))
        with pytest.raises(OSError, match="no line"):
            result.get(timeout=5)
        shop.wait(3)
    said = dict(shop.ran)
    assert said["shop.tell"] == (result.id,)
    request, error, traceback, more = said["shop.whole"]
    assert (request.id, request.task) == (result.id, "shop.fail")
    assert isinstance(error, OSError)
    assert str(error) == "no line"
    assert traceback.endswith("OSError: no line\n")
    assert more == ("more",)
    assert len(shop.ran) == 3


def test_an_error_callback_that_is_not_known_here_gets_the_id(app: App, shop: Shop) -> None:
    with app.worker(["default"]):
        result: Any = shop.fail.apply_async(link_error=app.signature("other.service.alarm"))
        with pytest.raises(OSError, match="no line"):
            result.get(timeout=5)
        wait_for(lambda: len(letters(app)) == 2, message="it, and its callback that nobody here knows")
    (callback,) = [letter for letter in letters(app) if letter["task"] == "other.service.alarm"]
    assert callback["id"] == derived(result.id, "link-error-0")
    assert callback["parent_id"] == result.id


def test_no_error_callback_before_the_last_attempt(app: App, shop: Shop) -> None:
    again = app.task(name="shop.again", autoretry_for=(OSError,), max_retries=2, default_retry_delay=0)(shop.fail.run)
    with app.worker():
        with pytest.raises(OSError, match="no line"):
            again.apply_async(link_error=shop.tell.s()).get(timeout=5)
        shop.wait(4)
    assert [name for name, _ in shop.ran].count("shop.tell") == 1


def test_a_chain_goes_on_step_by_step(app: App, shop: Shop) -> None:
    with app.worker():
        first: Any = shop.add.apply_async((1, 2), chain=[shop.tell.s(), shop.add.s(100), shop.add.s(10)])
        shop.wait(4)
    assert shop.ran == [("shop.add", 3), ("shop.add", 13), ("shop.add", 113), ("shop.tell", (113,))]
    assert {request.root_id for request in shop.requests.values()} == {first.id}


def test_a_chain_ends_where_a_step_fails(app: App, shop: Shop) -> None:
    with app.worker():
        shop.add.apply_async((1, 2), chain=[shop.tell.s(), shop.fail.si().set(link_error=shop.whole.s())])
        shop.wait(3)
    assert [name for name, _ in shop.ran] == ["shop.add", "shop.fail", "shop.whole"]


def test_what_cannot_follow_is_refused_before_it_runs(app: App, shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="is no signature"):
        shop.add.apply_async((1, 2), link=shop.tell)
    group: Any = {"task": "celery.group", "subtask_type": "group", "args": [], "kwargs": {}, "options": {}}
    with app.worker():
        shop.add.apply_async((1, 2), link=group, ignore_result=True)
        wait_for(lambda: letters(app), message="it is a dead letter")
    assert letters(app)[0]["x-amqptasks-reason"] == "unsupported"
    assert shop.ran == []


def test_a_task_whose_follower_leads_nowhere_is_a_dead_letter_that_says_so(app: App, shop: Shop) -> None:
    app.codec.reach = EVERYWHERE
    with app.worker():
        shop.add.apply_async((1, 2), link=shop.tell.s().set(queue="nowhere"), ignore_result=True)
        wait_for(lambda: letters(app), message="it is a dead letter")
        assert shop.add.delay(1, 1).get(timeout=5) == 2, "nothing is held up"
    (letter,) = letters(app)
    assert letter["x-amqptasks-reason"] == "failed"
    assert "shop.tell" in letter["x-amqptasks-detail"]


def test_a_value_that_cannot_travel_to_a_link_makes_the_task_fail(app: App, shop: Shop) -> None:
    odd = app.task(name="shop.odd")(object)
    with app.worker(), pytest.raises(ConfigurationError, match="cannot be sent"):
        odd.apply_async(link=shop.tell.s()).get(timeout=5)
    assert letters(app)[0]["x-amqptasks-reason"] == "failed"


def test_an_error_callback_that_cannot_be_sent_leaves_the_failure_told(
    app: App, shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise NoRoute("nowhere")

    result: Any = shop.fail.apply_async(link_error=shop.tell.s())
    monkeypatch.setattr(Router, "destination", nowhere)
    with app.worker(), pytest.raises(OSError, match="no line"):
        result.get(timeout=5)
    assert "cannot be sent" in caplog.text
    assert letters(app)[0]["x-amqptasks-reason"] == "failed"


def test_ids_of_followers_derive_from_their_parents() -> None:
    parent = task_id()
    assert derived(parent, "link-0") == derived(parent, "link-0")
    assert derived(parent, "link-0") != derived(parent, "link-1")
    assert derived(parent, "link-0") != parent
    assert made_at(derived(parent, "link-0")) == made_at(parent)
    assert made_at(derived("celery's own", "link-0")) is None
    assert len(derived("celery's own", "link-0")) == 36


def letters(app: App) -> list[dict[str, Any]]:
    """Headers of what is in the dead-letter queue."""
    with app.session() as session:
        found = [dict(delivery.properties.headers or {}) for delivery in session.take("default.dead", 10)]
        session.give_back()
    return found


@pytest.mark.parametrize("call", [lambda s: s.link, lambda s: s.link_error, lambda s: s.on_error])
def test_links_are_collected(shop: Shop, call: Callable[[Any], Any]) -> None:
    signature = shop.add.s(1, 2)
    assert call(signature)(shop.tell.s()) is signature
    call(signature)(shop.tell.s("two"))
    (found,) = signature["options"].values()
    assert [one["args"] for one in found] == [[], ["two"]]
    assert isinstance(signature, Signature)


# A call that takes the place of another


def test_a_task_that_is_replaced_gives_the_value_of_the_other_under_its_own_id(app: App, shop: Shop) -> None:
    @app.task(name="shop.choose", bind=True)
    def choose(task: Any, x: int) -> int:
        raise task.replace(shop.add.s(x, 10))

    with app.worker():
        result = choose.apply_async((1,), link=shop.tell.s(), root_id="root", parent_id="parent")
        assert result.get(timeout=5) == 11
        shop.wait(2)
    assert shop.ran == [("shop.add", 11), ("shop.tell", (11,))]
    request = shop.requests[result.id]
    assert (request.task, request.root_id, request.parent_id) == ("shop.add", "root", "parent")


def test_the_rest_of_a_chain_and_what_waits_follow_on_the_last_step_of_a_replacement(app: App, shop: Shop) -> None:
    @app.task(name="shop.choose", bind=True)
    def choose(task: Any) -> int:
        raise task.replace(shop.add.signature((1, 2), chain=[shop.add.s(100), shop.add.s(10)]))

    with app.worker():
        result = choose.apply_async(chain=[shop.tell.si("the end")])
        assert result.get(timeout=5) == 113
        shop.wait(4)
    assert shop.ran == [("shop.add", 3), ("shop.add", 13), ("shop.add", 113), ("shop.tell", ("the end",))]


def test_a_replacement_that_fails_is_the_failure_of_the_call(app: App, shop: Shop) -> None:
    @app.task(name="shop.choose", bind=True)
    def choose(task: Any) -> None:
        raise task.replace(shop.fail.s())

    with app.worker():
        result = choose.apply_async(link_error=shop.tell.s())
        with pytest.raises(OSError, match="no line"):
            result.get(timeout=5)
        shop.wait(2)
    assert shop.ran[-1] == ("shop.tell", (result.id,))


def test_a_replacement_that_cannot_be_sent_is_a_failure_that_says_so(app: App, shop: Shop) -> None:
    @app.task(name="shop.choose", bind=True)
    def choose(task: Any) -> None:
        raise task.replace(shop.add.s(1, 2, 3))

    with app.worker():
        with pytest.raises(TypeError, match="argument"):
            choose.delay().get(timeout=5)
        assert [letter["x-amqptasks-reason"] for letter in letters(app)] == ["failed"]


def test_here_and_now_the_replacement_runs_in_its_place(app: App, shop: Shop) -> None:
    @app.task(name="shop.choose", bind=True)
    def choose(task: Any, x: int) -> int:
        raise task.replace(shop.add.s(x, 10))

    assert choose.apply((1,)).get() == 11
