"""From a topology, and the objects that it becomes on a broker, to its graph.

Two things are folded, because they are alike in every topology: `amqptasks.queues`, through which a queue is meant by
its name (an edge leads to the queue itself); and the ladder of delays with the twins at its foot and the rooms before
queues (one node).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.routing import Route
from amqptasks.topology import durations
from amqptasks.topology.ask.reach import matches
from amqptasks.topology.delays import PREFIX
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.graphs.graph import Edge, Figures, Graph, Kind, Node, Way
from amqptasks.topology.topology import BUILT_IN, QueueRetry, Source, Topology
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Arguments, Exchange, Queue
from amqptasks.untrusted.numbers import counted

#: The ids of the nodes that stand for no single object.
DELAYS, DEFAULT_ROUTE = "delays", "route:default"

_FOLDED = (f"{PREFIX}.", "amqptasks.due.")


def build(topology: Topology, capabilities: Capabilities, figures: Mapping[str, Figures] | None = None) -> Graph:
    """The graph of what `topology` is on a broker with these capabilities; with `figures` of its queues, by name."""
    return _Builder(topology, capabilities, figures or {}).graph()


def written(route: Route) -> str:
    """The route's task name or pattern, as its file has it."""
    return f"/{route.pattern}/" if route.kind == "regex" else route.pattern


def retry_words(retry: QueueRetry) -> str:
    """`5s, 30s, 5m` or `1s doubling to 10m`, with the number of retries where it is not that of the delays."""
    if retry.delays:
        words = ", ".join(map(durations.written, retry.delays))
        count = "" if retry.max_retries in (None, len(retry.delays)) else f", {counted(retry.max_retries or 0, 'time')}"
    else:
        words = f"{durations.written(retry.first or 0)} doubling to {durations.written(retry.max or 0)}"
        count = "" if retry.max_retries is None else f", {counted(retry.max_retries, 'time')}"
    return words + count + (f" ±{retry.jitter:.0%}" if retry.jitter else "")


def headers_words(arguments: Arguments) -> str:
    """What a binding of a headers exchange asks for: `all: format=pdf, pages`."""
    wanted = [name if value is None else f"{name}={value}" for name, value in arguments.items() if name != "x-match"]
    return f"{arguments.get('x-match', 'all')}: {', '.join(wanted) or 'anything'}"


class _Builder:
    def __init__(self, topology: Topology, capabilities: Capabilities, figures: Mapping[str, Figures]) -> None:
        self._topology = topology
        self._capabilities = capabilities
        self._objects = expand(topology, capabilities)
        self._figures = figures
        self._nodes: dict[str, Node] = {}
        self._edges: list[Edge] = []
        self._numbers = itertools.count(1)
        self._sources: dict[str, Source] = {}  # by the edge's id
        self._waiting = {name for queue in topology.queues.values() for name in queue.retry_queues.values()}

    def graph(self) -> Graph:
        for exchange in self._objects.exchanges:
            if not self._is_folded(exchange.name):
                self._exchange(exchange)
        for queue in self._objects.queues:
            if not self._is_folded(queue.name):
                self._queue(queue)
        self._bindings()
        for exchange in self._objects.exchanges:
            self._alternate(exchange)
        for queue in self._objects.queues:
            self._dead_letters(queue)
        self._retries()
        for number, route in enumerate(self._topology.routes):
            self._route(f"route:{number}", route)
        self._default_route()
        nodes = sorted(self._nodes.values(), key=lambda node: node.kind != "route")
        return Graph(tuple(nodes), tuple(self._edges), self._routed())

    def _is_folded(self, name: str) -> bool:
        return name == QUEUES_EXCHANGE or name.startswith(_FOLDED)

    def _exchange(self, exchange: Exchange) -> None:
        badges = tuple(name for name in ("internal", "auto_delete") if getattr(exchange, name))
        durable = () if exchange.durable else ("not durable",)
        details = [("type", exchange.type), *_listed(exchange.arguments)]
        node = Node(f"exchange:{exchange.name}", "exchange", exchange.name, exchange.type, badges + durable)
        self._add(node, details)

    def _known_exchange(self, name: str) -> str:
        """The id of an exchange's node; one that every virtual host has gets its node when it is used."""
        key = f"exchange:{name}"
        if key not in self._nodes:
            self._exchange(Exchange(name, BUILT_IN.get(name, "direct")))
        return key

    def _queue(self, queue: Queue) -> None:
        settings = self._topology.queues.get(queue.name)
        kind: Kind = "queue" if settings is not None else "waiting"
        if queue.name in self._topology.ends:
            kind = "dead"
        node = Node(
            f"queue:{queue.name}",
            kind,
            queue.name,
            str(queue.arguments.get("x-queue-type", "classic")),
            tuple(self._badges(queue)),
            figures=self._figures.get(queue.name),
        )
        details = [("type", node.type)]
        if settings is not None and settings.retry is not None:
            details.append(("retry", retry_words(settings.retry)))
        if settings is not None and settings.type != "stream":
            limit = settings.most_deliveries
            details.append(
                ("given up after", counted(limit, "delivery", "deliveries") if limit else "no number of deliveries")
            )
        self._add(node, details + list(_listed(queue.arguments)))

    def _badges(self, queue: Queue) -> Iterator[str]:
        settings = self._topology.queues.get(queue.name)
        if settings is not None and settings.max_priority is not None:
            yield f"priority 0-{settings.max_priority}"
        if settings is not None and settings.retry is not None:
            yield f"retry {retry_words(settings.retry)}"
        if isinstance(ttl := queue.arguments.get("x-message-ttl"), int):
            yield f"{durations.written(ttl / 1000)} at most"
        for name, unit in (("x-max-length", "messages"), ("x-max-length-bytes", "bytes")):
            if isinstance(bound := queue.arguments.get(name), int):
                yield f"{bound:,} {unit}"
        if settings is not None and settings.single_active_consumer:
            yield "one consumer"
        if settings is not None and settings.dead_letters is None and settings.type != "stream":
            yield "drops what fails"

    def _bindings(self) -> None:
        for binding in self._objects.bindings:
            if self._is_folded(binding.source) or self._is_folded(binding.destination):
                continue
            source = self._known_exchange(binding.source)
            target = f"{binding.destination_type}:{binding.destination}"
            kind = self._nodes[source].type
            label = {"fanout": "", "headers": headers_words(binding.arguments)}.get(kind, binding.routing_key or '""')
            edge = self._edge(source, target, "binding", label)
            self._sources[edge.id] = Source(binding.source, binding.routing_key, binding.arguments)

    def _alternate(self, exchange: Exchange) -> None:
        alternate = exchange.arguments.get("alternate-exchange")
        if isinstance(alternate, str) and not self._is_folded(exchange.name) and not self._is_folded(alternate):
            self._edge(f"exchange:{exchange.name}", self._known_exchange(alternate), "alternate", "what finds no queue")

    def _dead_letters(self, queue: Queue) -> None:
        exchange = queue.arguments.get("x-dead-letter-exchange")
        back = queue.name in self._waiting  # the edge that leads there goes both ways
        if not isinstance(exchange, str) or back or self._is_folded(queue.name):
            return
        key = queue.arguments.get("x-dead-letter-routing-key")
        ttl = queue.arguments.get("x-message-ttl")
        label = f"after {durations.written(ttl / 1000)}" if isinstance(ttl, int) else ""
        source = f"queue:{queue.name}"
        if exchange in ("", QUEUES_EXCHANGE):
            if f"queue:{key}" in self._nodes:
                self._edge(source, f"queue:{key}", "dead-letter", label)
        elif not self._is_folded(exchange):
            words = " ".join(filter(None, [label, "" if key is None else str(key)]))
            self._edge(source, self._known_exchange(exchange), "dead-letter", words)

    def _retries(self) -> None:
        longest = durations.written(self._topology.longest_delay)
        node = Node(DELAYS, "delays", "delays", "ladder", ("countdowns, ETAs, retries wait here",))
        self._add(node, [("longest delay", longest), ("queues", f"{PREFIX}.00 and up, each twice as long")])
        for queue in self._topology.queues.values():
            for delay, name in queue.retry_queues.items():
                self._edge(f"queue:{queue.name}", f"queue:{name}", "retry", durations.written(delay))
            if queue.retry is not None and self._waits_in_ladder(queue.retry):
                self._edge(f"queue:{queue.name}", DELAYS, "retry", retry_words(queue.retry))

    def _waits_in_ladder(self, retry: QueueRetry) -> bool:
        return retry.kind == "ladder" or (retry.kind == "native" and not self._capabilities.delayed_retry)

    def _route(self, node_id: str, route: Route) -> None:
        badges = () if route.priority is None else (f"priority {route.priority}",)
        self._add(Node(node_id, "route", written(route), route.kind, badges), [("written as", route.kind)])
        queue = route.queue or (self._topology.default_queue if route.exchange is None else None)
        if queue is not None:
            self._edge(node_id, f"queue:{queue}", "route")
        elif route.exchange is not None:
            key = "the task's name" if route.routing_key is None else route.routing_key
            kind = self._topology.exchange_type(route.exchange)
            label = "" if kind in ("fanout", "headers") else key
            self._edge(node_id, self._known_exchange(route.exchange), "route", label)

    def _default_route(self) -> None:
        queue = self._topology.default_queue
        if queue is not None:
            self._add(Node(DEFAULT_ROUTE, "route", "any other task", "default"), [("written as", "default_queue")])
            self._edge(DEFAULT_ROUTE, f"queue:{queue}", "route")

    def _routed(self) -> dict[str, frozenset[str]]:
        routed = {}
        routes = dict(zip((f"route:{n}" for n in itertools.count()), self._topology.routes, strict=False))
        for edge in [edge for edge in self._edges if edge.way == "route"]:
            route = routes.get(edge.source)
            passed = {edge.source, edge.id, edge.target}
            if route is not None and edge.target.startswith("exchange:"):
                key = route.pattern if route.routing_key is None and route.kind == "exact" else route.routing_key
                self._pass(edge.target, key, passed)
            routed[edge.source] = frozenset(passed)
        return routed

    def _pass(self, exchange: str, routing_key: str | None, passed: set[str]) -> None:
        """Add what a message passes from this exchange on. None: any key."""
        passed.add(exchange)
        kind = self._topology.routes_as(self._nodes[exchange].name) or "direct"
        onward = [edge for edge in self._edges if edge.source == exchange and edge.way == "binding"]
        taken = [edge for edge in onward if matches(kind, self._sources[edge.id], routing_key)]
        if not taken or routing_key is None:
            taken += [edge for edge in self._edges if edge.source == exchange and edge.way == "alternate"]
        for edge in taken:
            passed.add(edge.id)
            if edge.target in passed:
                continue
            passed.add(edge.target)
            if edge.target.startswith("exchange:"):
                self._pass(edge.target, routing_key, passed)

    def _add(self, node: Node, details: list[tuple[str, str]]) -> None:
        self._nodes[node.id] = Node(node.id, node.kind, node.name, node.type, node.badges, tuple(details), node.figures)

    def _edge(self, source: str, target: str, way: Way, label: str = "") -> Edge:
        edge = Edge(f"edge:{next(self._numbers)}", source, target, way, label)
        self._edges.append(edge)
        return edge


def _listed(arguments: Arguments) -> Iterator[tuple[str, str]]:
    for name, value in arguments.items():
        yield name, str(value).lower() if isinstance(value, bool) else str(value)
