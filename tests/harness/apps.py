"""Apps on one broker, as in several services."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from amqptasks import App
from amqptasks.memory.registry import forget

NewApp = Callable[..., App]


@contextmanager
def apps_on(url: str | None) -> Iterator[NewApp]:
    """A function that makes them, with options of `App`; None: on a broker in memory. They are closed in the end."""
    where = url or f"memory://{uuid.uuid4().hex}"
    made: list[App] = []

    def new(**options: Any) -> App:
        made.append(App("shop", where, ignore_result=True, **options))
        return made[-1]

    yield new
    for app in made:
        app.close()
    if url is None:
        forget(where)
