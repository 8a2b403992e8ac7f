"""Which column a node stands in, and in which order: few lines that cross, and none that runs behind a node.

The known method of Sugiyama: ranks, then stand-ins where an edge passes a column, then sweeps that put each item at
the mean place of its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from amqptasks.topology.graphs.graph import Edge, Graph

#: Sweeps, there and back. Small graphs settle after a few.
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Layers:
    """`columns` hold the ids of nodes and of stand-ins, from top to bottom; `chains` has, for each edge that goes to
    the right, the ids it leads through, its ends included."""

    columns: tuple[tuple[str, ...], ...]
    rank: dict[str, int]
    chains: dict[str, tuple[str, ...]]


def layers(graph: Graph) -> Layers:
    """Without the delays, which stand below, and without the edges that lead there."""
    edges = [edge for edge in graph.edges if graph.node(edge.target).kind != "delays"]
    rank = _ranks(graph, edges)
    columns: list[list[str]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for node in graph.nodes:
        if node.id in rank:
            columns[rank[node.id]].append(node.id)
    chains: dict[str, tuple[str, ...]] = {}
    for edge in edges:
        first, last = rank[edge.source], rank[edge.target]
        if first < last:
            between = [f"{edge.id}@{column}" for column in range(first + 1, last)]
            for column, item in enumerate(between, first + 1):
                columns[column].append(item)
            chains[edge.id] = (edge.source, *between, edge.target)
    return Layers(tuple(map(tuple, _ordered(columns, chains.values()))), rank, chains)


def _ranks(graph: Graph, edges: list[Edge]) -> dict[str, int]:
    """Routes, then exchanges as far from them as bindings lead, then all queues, then what these give up."""
    exchanges = {node.id for node in graph.nodes if node.kind == "exchange"}
    between = [edge for edge in edges if {edge.source, edge.target} <= exchanges and edge.source != edge.target]
    routes = any(node.kind == "route" for node in graph.nodes)
    rank = {node.id: 0 for node in graph.nodes if node.kind == "route"}
    rank |= _longest_ways(exchanges, between, 1 if routes else 0)
    queues = max(rank.values(), default=-1) + 1
    rank |= {node.id: queues for node in graph.nodes if node.kind == "queue"}
    later = {node.id for node in graph.nodes if node.kind in ("dead", "waiting")}
    rank |= dict.fromkeys(later, queues + 1)
    return rank


def _longest_ways(nodes: Iterable[str], edges: list[Edge], first: int) -> dict[str, int]:
    """Each as many steps from the first as the longest way there has. Edges that would close a circle count not."""
    onward: dict[str, list[str]] = {node: [] for node in nodes}
    for edge in edges:
        if not _reaches(onward, edge.target, edge.source):
            onward[edge.source].append(edge.target)
    rank = dict.fromkeys(onward, first)
    for _ in onward:
        changed = False
        for node, targets in onward.items():
            for target in targets:
                if rank[target] <= rank[node]:
                    rank[target], changed = rank[node] + 1, True
        if not changed:
            break
    return rank


def _reaches(onward: dict[str, list[str]], start: str, goal: str) -> bool:
    seen, ahead = {start}, [start]
    while ahead:
        node = ahead.pop()
        if node == goal:
            return True
        fresh = [one for one in onward[node] if one not in seen]
        seen.update(fresh)
        ahead += fresh
    return False


def _ordered(columns: list[list[str]], chains: Iterable[tuple[str, ...]]) -> list[list[str]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for chain in chains:
        for left, right in itertools.pairwise(chain):
            before.setdefault(right, []).append(left)
            after.setdefault(left, []).append(right)
    best, fewest = columns, _crossings(columns, after)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        order = range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1)
        columns = [list(column) for column in columns]
        for column in order:
            neighbours = before if forward else after
            beside = {item: place for place, item in enumerate(columns[column - 1 if forward else column + 1])}
            columns[column] = _sorted(columns[column], neighbours, beside)
        crossings = _crossings(columns, after)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _sorted(items: list[str], neighbours: dict[str, list[str]], beside: dict[str, int]) -> list[str]:
    """By the mean place of the neighbours; who has none keeps its own place."""
    scale = max(len(beside), 1) / max(len(items), 1)

    def place(numbered: tuple[int, str]) -> float:
        number, item = numbered
        places = [beside[one] for one in neighbours.get(item, ()) if one in beside]
        return sum(places) / len(places) if places else number * scale

    return [item for _, item in sorted(enumerate(items), key=place)]


def _crossings(columns: list[list[str]], after: dict[str, list[str]]) -> int:
    total = 0
    for left, right in itertools.pairwise(columns):
        place = {item: number for number, item in enumerate(right)}
        ends = [end for item in left for end in sorted(place[one] for one in after.get(item, ()) if one in place)]
        total += _inversions(ends)
    return total


def _inversions(numbers: list[int]) -> int:
    """Pairs in the wrong order, by merging: a graph of thousands of edges is counted in milliseconds."""
    if len(numbers) < 2:
        return 0
    middle = len(numbers) // 2
    left, right = numbers[:middle], numbers[middle:]
    count = _inversions(left) + _inversions(right)
    left.sort()
    right.sort()
    place = 0
    for number in left:
        while place < len(right) and right[place] < number:
            place += 1
        count += place
    return count
