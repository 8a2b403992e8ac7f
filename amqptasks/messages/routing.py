"""Where a task goes: its name and its options to an exchange, a routing key and a priority."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from amqptasks.errors import ConfigurationError, NoRoute
from amqptasks.messages.outgoing import QUEUES_EXCHANGE

#: Names whose destination is remembered. An app has far fewer; a caller that makes names up must not fill the memory.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Route:
    """Tasks whose name fits `pattern` go to `queue`, or to `exchange` with `routing_key` (default: the task's name).

    `exact` compares, `glob` knows `*` (any text, dots too), `?` and `[...]`, `regex` must fit the whole name.
    """

    pattern: str
    kind: Literal["exact", "glob", "regex"]
    exchange: str | None = None
    routing_key: str | None = None
    queue: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """What to publish to. `queue` is set when one queue was meant, by name."""

    exchange: str
    routing_key: str
    queue: str | None
    priority: int | None


class Router:
    """Finds destinations. Options of the call and the task beat routes; an exact route beats patterns; of the patterns
    the first that fits counts, in the order given. What no route takes goes to `default_queue`.

    Raises `ConfigurationError` for a regular expression that is none, and for a route that leads nowhere.
    """

    def __init__(self, routes: Iterable[Route], default_queue: str | None) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        self._default_queue = default_queue
        self._route = lru_cache(_REMEMBERED)(self._match)
        self._by_name = lru_cache(_REMEMBERED)(self._by_route)
        for route in routes:
            _check(route)
            if route.kind == "exact":
                self._exact.setdefault(route.pattern, route)
            else:
                self._patterns.append((_compiled(route), route))

    def destination(
        self,
        task_name: str,
        *,
        queue: str | None = None,
        exchange: str | None = None,
        routing_key: str | None = None,
        priority: int | None = None,
    ) -> Destination:
        """Where `task_name` goes with these options. Raises `NoRoute`, or `ConfigurationError` for options at odds."""
        if queue is not None:
            if exchange is not None or routing_key is not None:
                raise ConfigurationError(
                    f"task {task_name!r} has queue={queue!r} and an exchange or routing key: give one or the other"
                )
            if priority is None:
                route = self.route(task_name)
                priority = route.priority if route else None
            return Destination(QUEUES_EXCHANGE, queue, queue, priority)
        if exchange is not None or routing_key is not None:
            return self._explicit(task_name, exchange, routing_key, priority)
        found = self._by_name(task_name)
        return found if priority is None else replace(found, priority=priority)

    @property
    def queues(self) -> frozenset[str]:
        """The queues that routes name, and the default queue."""
        routes = [*self._exact.values(), *(route for _, route in self._patterns)]
        return frozenset({route.queue for route in routes if route.queue} | {self._default_queue or ""}) - {""}

    def route(self, task_name: str) -> Route | None:
        """The route that takes this task, if one does."""
        return self._route(task_name)

    def _match(self, task_name: str) -> Route | None:
        exact = self._exact.get(task_name)
        if exact is not None:
            return exact
        return next((route for pattern, route in self._patterns if pattern.fullmatch(task_name)), None)

    def _by_route(self, task_name: str) -> Destination:
        route = self.route(task_name)
        if route is not None and route.exchange is not None:
            key = task_name if route.routing_key is None else route.routing_key
            return Destination(route.exchange, key, None, route.priority)
        queue = route.queue if route is not None and route.queue is not None else self._default_queue
        if queue is None:
            raise NoRoute(
                f"no route takes task {task_name!r} and there is no default queue:"
                f" add it under `routes:` in the topology, or call it with queue="
            )
        return Destination(QUEUES_EXCHANGE, queue, queue, route.priority if route else None)

    def _explicit(
        self, task_name: str, exchange: str | None, routing_key: str | None, priority: int | None
    ) -> Destination:
        route = self.route(task_name)
        if exchange is None:
            exchange = route.exchange if route else None
        if exchange is None:
            raise NoRoute(
                f"task {task_name!r} has routing_key={routing_key!r} but no exchange, and no route gives one:"
                f" pass exchange= too, or queue= instead of both"
            )
        if routing_key is None:
            routing_key = route.routing_key if route else None
        if priority is None:
            priority = route.priority if route else None
        return Destination(exchange, task_name if routing_key is None else routing_key, None, priority)


def _check(route: Route) -> None:
    if route.queue is not None and (route.exchange is not None or route.routing_key is not None):
        raise ConfigurationError(f"route {route.pattern!r} names a queue and an exchange or routing key: keep one")
    if route.routing_key is not None and route.exchange is None:
        raise ConfigurationError(f"route {route.pattern!r} has a routing key but no exchange: add `exchange:`")
    if route.queue is None and route.exchange is None and route.priority is None:
        raise ConfigurationError(f"route {route.pattern!r} leads nowhere: add `queue:`, or `exchange:`")


def _compiled(route: Route) -> re.Pattern[str]:
    try:
        return re.compile(fnmatch.translate(route.pattern) if route.kind == "glob" else route.pattern)
    except re.error as error:
        raise ConfigurationError(f"route {route.pattern!r} is no regular expression: {error}") from error
