"""The apps of several services with one store, for tests of results by id."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from amqptasks import App, Ignore, Reject
from amqptasks.memory.registry import forget
from amqptasks.results.result import AsyncResult

SOON = 60.0

NewApp = Callable[..., App]


class Odd(Exception):
    """Its constructor wants other arguments than it hands on."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@contextmanager
def apps_with(address: str) -> Iterator[NewApp]:
    """Apps on one broker with one store, as in several services."""
    broker = f"memory://{uuid.uuid4().hex}"
    made: list[App] = []

    def new(**options: Any) -> App:
        made.append(App("shop", broker, **{"backend": address, **options}))
        return made[-1]

    yield new
    for one in made:
        one.close()
    forget(broker)


def with_tasks(app: App) -> App:
    """`app`, once it has the tasks of these tests. `app.gate` lets those go on that wait."""
    gate = threading.Event()
    app.gate = gate  # type: ignore[attr-defined]

    @app.task(name="add")
    def add(x: int, y: int = 0, password: str = "") -> int:
        return x + y

    @app.task(name="fail")
    def fail(*args: Any) -> None:
        raise ValueError(*args)

    @app.task(name="fail-odd")
    def fail_odd() -> None:
        raise Odd(1, 2)

    @app.task(name="reject")
    def reject() -> Any:
        return Reject("no such customer")

    @app.task(name="ignore")
    def ignore() -> Any:
        return Ignore()

    @app.task(name="again", max_retries=2, default_retry_delay=0.01, autoretry_for=(KeyError,), bind=True)
    def again(self: Any) -> str:
        if self.request.retries == 0:
            raise KeyError("not yet")
        assert gate.wait(SOON)
        return "now"

    @app.task(name="progress", bind=True, track_started=True)
    def progress(self: Any) -> str:
        assert gate.wait(SOON)
        gate.clear()
        self.update_state(state="PROGRESS", meta={"done": 1})
        assert gate.wait(SOON)
        return "done"

    @app.task(name="parent")
    def parent() -> str:
        return str(add.delay(1, 2).id)

    return app


def elsewhere(app: App, result: AsyncResult[Any], new_app: NewApp) -> AsyncResult[Any]:
    """The same result in an app that did not call."""
    return new_app().AsyncResult(result.id)


def call(app: App, name: str, *args: Any, **options: Any) -> AsyncResult[Any]:
    result: AsyncResult[Any] = app.tasks[name].apply_async(args, **options)
    return result
