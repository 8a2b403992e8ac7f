"""Middleware: its order around each way of publishing and running, and an exception in each of its lines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest

from amqptasks import App, ConfigurationError, Middleware, Reject, Request, Retry
from amqptasks.errors import PartlyPublished, Unroutable
from amqptasks.memory.registry import forget
from amqptasks.results.result import AsyncResult
from tests.harness.wait import wait_for

#: Seconds in which any of these calls is done.
SOON = 10.0


class Noting(Middleware):
    """Notes what it sees, and raises where it is told to."""

    def __init__(self, name: str, notes: list[Any], raises: dict[str, Exception] | None = None) -> None:
        self._name, self._notes, self._raises = name, notes, raises or {}

    def _note(self, what: str, *more: Any) -> None:
        self._notes.append((self._name, what, *more))
        if error := self._raises.get(what):
            raise error

    def around_publish(self, request: Request) -> Generator[None, Any, None]:
        request.headers[f"from-{self._name}"] = request.task
        self._note("publish", request.task)
        try:
            yield
        except Exception as error:
            self._note("not published", type(error).__name__)
            raise
        self._note("published", request.task)

    def around_run(self, request: Request) -> Generator[None, Any, None]:
        self._note("run", request.task)
        try:
            value = yield
        except Exception as error:
            self._note("failed", type(error).__name__)
            raise
        self._note("ran", value)


class NotingAsync(Noting):
    async def around_publish_async(self, request: Request) -> AsyncGenerator[None, Any]:
        await asyncio.sleep(0)
        self._note("publish", "awaited")
        yield
        await asyncio.sleep(0)
        self._note("published", "awaited")

    async def around_run_async(self, request: Request) -> AsyncGenerator[None, Any]:
        await asyncio.sleep(0)
        self._note("run", "awaited")
        value = yield
        await asyncio.sleep(0)
        self._note("ran", "awaited", value)


@pytest.fixture
def notes() -> list[Any]:
    return []


@pytest.fixture
def new_app() -> Iterator[Callable[..., App]]:
    """An app with two middlewares; a note for each of their lines."""
    made: list[App] = []
    broker = f"memory://{uuid.uuid4().hex}"

    def new(notes: list[Any], raises: dict[str, Exception] | None = None, kind: type[Noting] = Noting) -> App:
        app = App("shop", broker, middleware=[Noting("outer", notes), kind("inner", notes, raises)])
        app.task(name="add")(lambda x, y: x + y)
        app.task(name="fail")(_fail)
        made.append(app)
        return app

    yield new
    for app in made:
        app.close()
    forget(broker)


def _fail(*_: Any) -> None:
    raise OSError("no line")


PUBLISHED = [
    ("outer", "publish", "add"),
    ("inner", "publish", "add"),
    ("inner", "published", "add"),
    ("outer", "published", "add"),
]

RAN = [("outer", "run", "add"), ("inner", "run", "add"), ("inner", "ran", 3), ("outer", "ran", 3)]

#: Each way of making one call.
WAYS: dict[str, Callable[[App], AsyncResult[Any]]] = {
    "delay": lambda app: app.tasks["add"].delay(1, 2),
    "apply_async": lambda app: app.tasks["add"].apply_async((1, 2), countdown=0.01),
    "unique": lambda app: app.tasks["add"].apply_async((1, 2), unique=True),
    "send_task": lambda app: app.send_task("add", (1, 2)),
    "submit": lambda app: app.tasks["add"].submit(1, 2).result(SOON),
    "publish_many": lambda app: app.tasks["add"].publish_many([(1, 2)])[0],
    "adelay": lambda app: asyncio.run(_awaited(app.tasks["add"].adelay(1, 2))),
    "aapply_async": lambda app: asyncio.run(_awaited(app.tasks["add"].aapply_async((1, 2), unique=True))),
}


async def _awaited(call: Any) -> Any:
    return await call


@pytest.mark.parametrize("opened", [False, True], ids=["the first call", "a later one"])
@pytest.mark.parametrize("way", WAYS)
def test_middleware_is_around_each_way_to_publish_and_the_run(
    way: str, opened: bool, new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes)
    if opened:
        app.declare()
        notes.clear()
    called = WAYS[way](app)
    assert notes == PUBLISHED
    notes.clear()
    with app.worker():
        assert called.get(SOON) == 3
    assert [note for note in notes if note[2] in ("add", 3)] == RAN


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_before_the_publish_refuses_the_call(
    way: str, new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes, {"publish": LookupError("not now")})
    with pytest.raises(LookupError, match="not now"):
        WAYS[way](app)
    assert [note[:2] for note in notes] == [("outer", "publish"), ("inner", "publish"), ("outer", "not published")]
    app.declare()
    with app.session() as session:
        state = session.queue_state("default")
    assert state is not None
    assert state.messages == 0


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_after_the_publish_is_logged(
    way: str, new_app: Callable[..., App], notes: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app(notes, {"published": LookupError("too late")})
    called = WAYS[way](app)
    assert [note[:2] for note in notes][-1] == ("outer", "not published")
    wait_for(lambda: "the call stays as it is" in caplog.text, message="it is logged")
    with app.worker():
        assert called.get(SOON) == 3


@pytest.mark.parametrize("way", ["delay", "send_task", "submit", "publish_many", "adelay"])
def test_middleware_hears_of_a_call_that_the_broker_refuses(
    way: str, new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes)
    app.task(name="lost", exchange="amqptasks.queues", routing_key="nowhere")(_fail)
    ways: dict[str, Callable[[], Any]] = {
        "delay": app.tasks["lost"].delay,
        "send_task": lambda: app.send_task("lost", exchange="amqptasks.queues", routing_key="nowhere"),
        "submit": lambda: app.tasks["lost"].submit().result(SOON),
        "publish_many": lambda: app.tasks["lost"].publish_many([()]),
        "adelay": lambda: asyncio.run(_awaited(app.tasks["lost"].adelay())),
    }
    with pytest.raises((Unroutable, PartlyPublished)):
        ways[way]()
    assert notes[2:] == [("inner", "not published", "Unroutable"), ("outer", "not published", "Unroutable")]


def test_its_headers_travel_and_those_of_the_protocol_are_refused(
    new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes)
    seen: list[Any] = []
    look = app.task(name="look", bind=True)(lambda self: seen.append(dict(self.request.headers)))
    with app.worker():
        look.apply_async(headers={"mine": 1}).get(SOON)
    assert seen == [{"mine": 1, "from-outer": "look", "from-inner": "look"}]

    class Wrong(Middleware):
        def around_publish(self, request: Request) -> Generator[None, Any, None]:
            request.headers.update(self.headers)
            yield

        def __init__(self, headers: dict[str, Any]) -> None:
            self.headers = headers

    for headers in ({"task": "other"}, {"odd": object()}):
        other = App("other", app.broker, middleware=[Wrong(headers)])
        with pytest.raises(ConfigurationError, match="header"):
            other.send_task("look")
        other.close()


def test_a_retry_and_what_follows_are_published_through_it(new_app: Callable[..., App], notes: list[Any]) -> None:
    app = new_app(notes)
    seen: list[Any] = []
    done = threading.Event()

    @app.task(name="again", bind=True, max_retries=1, default_retry_delay=0)
    def again(self: Any, word: str) -> str:
        seen.append((self.request.retries, self.request.headers.get("from-inner"), self.request.headers.get("mine")))
        if not self.request.retries:
            raise self.retry((word + "!",))
        return word

    @app.task(name="follow", bind=True)
    def follow(self: Any, value: str) -> None:
        seen.append((value, self.request.headers.get("from-inner"), self.request.headers.get("mine")))
        done.set()

    with app.worker():
        again.apply_async(("now",), link=follow.s(), headers={"mine": 7}).get(SOON)
        assert done.wait(SOON)
    assert seen == [(0, "again", 7), (1, "again", 7), ("now!", "follow", None)]
    published = [note[2] for note in notes if note[:2] == ("inner", "published")]
    assert sorted(published) == ["again", "again", "follow"]


@pytest.mark.parametrize("what", ["publish", "published"])
def test_an_exception_around_a_retry_ends_the_task_or_is_logged(
    what: str, new_app: Callable[..., App], notes: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app(notes)
    worker_app = new_app(notes, {what: LookupError("not now")})
    runs: list[int] = []

    def flaky(self: Any) -> str:
        runs.append(self.request.retries)
        if not self.request.retries:
            raise self.retry(countdown=0)
        return "done"

    for each in (app, worker_app):
        each.task(name="flaky", bind=True, max_retries=1)(flaky)
    with worker_app.worker():
        result = app.tasks["flaky"].delay()
        if what == "publish":
            with pytest.raises(LookupError, match="not now"):
                result.get(SOON)
            assert runs == [0]
        else:
            assert result.get(SOON) == "done"
            assert runs == [0, 1]
            wait_for(lambda: "the call stays as it is" in caplog.text, message="it is logged")


def test_an_exception_around_a_follower_is_the_failure_of_its_task(
    new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes)
    worker_app = new_app(notes, {"publish": LookupError("not now")})
    with worker_app.worker():
        result = app.tasks["add"].apply_async((1, 2), link=app.signature("add", (4,)))
        with pytest.raises(LookupError, match="not now"):
            result.get(SOON)


@pytest.mark.parametrize("pool", ["threads", "eager"])
@pytest.mark.parametrize(
    ("what", "sees"),
    [
        ("run", [("outer", "run"), ("inner", "run"), ("outer", "failed")]),
        ("ran", [("outer", "run"), ("inner", "run"), ("inner", "ran"), ("outer", "failed")]),
    ],
)
def test_an_exception_around_a_run_is_that_of_the_attempt(
    what: str, sees: list[Any], pool: str, new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes, {what: LookupError("not now")})
    app.task(name="twice", autoretry_for=(LookupError,), max_retries=1, default_retry_delay=0)(lambda: 3)
    if pool == "eager":
        error = app.tasks["twice"].apply().result
    else:
        with app.worker():
            error = app.tasks["twice"].delay().get(SOON, propagate=False)
    assert isinstance(error, LookupError)
    assert [note[:2] for note in notes if "publish" not in note[1]] == sees * 2


@pytest.mark.parametrize("pool", ["threads", "eager"])
def test_an_exception_of_the_task_is_raised_around_it(pool: str, new_app: Callable[..., App], notes: list[Any]) -> None:
    app = new_app(notes)
    if pool == "eager":
        error = app.tasks["fail"].apply().result
    else:
        with app.worker():
            error = app.tasks["fail"].delay().get(SOON, propagate=False)
    assert isinstance(error, OSError)
    failed = [note for note in notes if note[1] == "failed"]
    assert failed == [("inner", "failed", "OSError"), ("outer", "failed", "OSError")]


@pytest.mark.parametrize("async_class", [Noting, NotingAsync])
def test_an_async_task_has_it_on_its_loop(
    async_class: type[Noting], new_app: Callable[..., App], notes: list[Any]
) -> None:
    app = new_app(notes, kind=async_class)
    app.task(name="triple")(_triple)
    with app.worker():
        called = asyncio.run(_awaited(app.tasks["triple"].adelay(2)))
        assert called.get(SOON) == 6
    awaited = [note for note in notes if "awaited" in note]
    if async_class is NotingAsync:
        assert [note[1] for note in awaited if "publish" in note[1]] == ["publish", "published"]
        assert [note[1] for note in awaited if "publish" not in note[1]] == ["run", "ran"]
        assert ("outer", "ran", 6) in notes
    else:
        assert awaited == []
        assert [note for note in notes if "publish" not in note[1]] == [
            ("outer", "run", "triple"),
            ("inner", "run", "triple"),
            ("inner", "ran", 6),
            ("outer", "ran", 6),
        ]


async def _triple(x: int) -> int:
    await asyncio.sleep(0)
    return 3 * x


def test_it_may_ask_for_another_end_and_hides_nothing(new_app: Callable[..., App], notes: list[Any]) -> None:
    class Hiding(Middleware):
        def around_run(self, request: Request) -> Generator[None, Any, None]:
            with contextlib.suppress(OSError):
                yield

    class Refusing(Middleware):
        def around_run(self, request: Request) -> Generator[None, Any, None]:
            raise Reject("closed today")
            yield

    class Translating(Middleware):
        def around_run(self, request: Request) -> Generator[None, Any, None]:
            try:
                yield
            except OSError as error:
                raise Retry(0, max_retries=1) from error

    def state(*middleware: Middleware, function: Callable[[], Any] = _fail) -> tuple[str, str]:
        result: Any = App("x", "memory://never", middleware=middleware).task(name="t")(function).apply()
        return result.state, type(result.result).__name__

    def stop() -> None:
        raise StopIteration

    assert state(Hiding()) == ("FAILURE", "OSError")
    assert state(Hiding(), Noting("n", notes)) == ("FAILURE", "OSError")
    assert state(Refusing()) == ("REJECTED", "TaskRejected")
    assert state(Translating())[0] == "FAILURE"
    assert state(Hiding(), Translating(), function=stop) == ("FAILURE", "StopIteration")


def test_what_is_no_middleware_is_refused_at_once() -> None:
    class NoYield(Middleware):
        def around_run(self, request: Request) -> Any:
            return None

    class Plain(Middleware):
        def around_publish_async(self, request: Request) -> Any:
            yield

    class Twice(Middleware):
        def around_run(self, request: Request) -> Generator[None, Any, None]:
            yield
            yield

    with pytest.raises(ConfigurationError, match="subclass of Middleware"):
        App("x", middleware=[print])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match=r"NoYield\.around_run .* with a `yield`"):
        App("x", middleware=[NoYield()])
    with pytest.raises(ConfigurationError, match=r"Plain\.around_publish_async .*`async def`"):
        App("x", middleware=[Plain()])
    app = App("x", "memory://never", middleware=[Twice()])
    with pytest.raises(RuntimeError, match="yields once"):
        app.task(name="t")(lambda: 1).apply(throw=True)


def test_without_any_nothing_is_called(new_app: Callable[..., App]) -> None:
    app = App("shop", "memory://never", middleware=[Middleware()])
    task = app.task(name="t")(lambda: 1)
    assert (app.middleware.publishes, app.middleware.runs, task.is_plain) == (False, False, True)
