"""The graph of a topology: what a message can meet, and the ways between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

#: `route`: a task name or pattern. `queue`: one that the file names. `dead`: its dead-letter queue. `waiting`: another
#: queue that was generated, where messages wait. `delays`: the ladder of delay queues, as one.
Kind = Literal["route", "exchange", "queue", "dead", "waiting", "delays"]

#: `route`: from a task to where it is published. `binding`: from an exchange on. `alternate`: what finds no binding.
#: `dead-letter`: what a queue gives up. `retry`: to where it waits, and back.
Way = Literal["route", "binding", "alternate", "dead-letter", "retry"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a queue holds and does now; rates are messages a second."""

    ready: int
    unacked: int
    consumers: int
    rate_in: float
    rate_out: float


@dataclass(frozen=True, slots=True)
class Node:
    """`type` is the exchange's or queue's, or how a route is written (exact, glob, regex). `badges` are its few words
    in the picture, `details` all that is known, by name. `figures` are there for queues of a living broker."""

    id: str
    kind: Kind
    name: str
    type: str
    badges: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    id: str
    source: str
    target: str
    way: Way
    label: str = ""


@dataclass(frozen=True)
class Graph:
    """`routed` has for each route the nodes and edges that its message passes before it is in a queue."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    routed: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def node(self, node_id: str) -> Node:
        return self._by_id[node_id]

    def edges_of(self, node_id: str) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.edges if node_id in (edge.source, edge.target))

    def path(self, node_id: str) -> frozenset[str]:
        """The nodes and edges on the way of messages that come by this node: all that lead to it, all that follow.

        A route's way is its own message's alone: other bindings of the exchanges on it are left out.
        """
        if node_id in self.routed:
            passed = self.routed[node_id]
            queues = [one for one in passed if one in self._by_id and self._by_id[one].kind == "queue"]
            return passed.union(*(self._after(queue) for queue in queues))
        before = {node_id}
        ways = [passed for passed in self.routed.values() if node_id in passed]
        for passed in ways:
            before |= self._followed(node_id, passed.__contains__, backward=True)
        if not ways:
            forth = {edge.id for edge in self.edges if edge.way != "retry"}
            before |= self._followed(node_id, forth.__contains__, backward=True)
        return frozenset(before | self._after(node_id))

    def _after(self, node_id: str) -> set[str]:
        return self._followed(node_id, lambda _: True)

    def _followed(self, node_id: str, allowed: Callable[[str], bool], *, backward: bool = False) -> set[str]:
        adjacent = self._incoming if backward else self._outgoing
        seen, ahead = {node_id}, deque([node_id])
        while ahead:
            for edge in adjacent.get(ahead.popleft(), ()):
                if not allowed(edge.id):
                    continue
                seen.add(edge.id)
                onward = edge.source if backward else edge.target
                if onward not in seen:
                    seen.add(onward)
                    ahead.append(onward)
        return seen

    @cached_property
    def _by_id(self) -> dict[str, Node]:
        return {node.id: node for node in self.nodes}

    @cached_property
    def _outgoing(self) -> dict[str, list[Edge]]:
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.source, []).append(edge)
        return found

    @cached_property
    def _incoming(self) -> dict[str, list[Edge]]:
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.target, []).append(edge)
        return found
