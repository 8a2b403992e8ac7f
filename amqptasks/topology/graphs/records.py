"""A graph as plain values, for JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from amqptasks.topology.graphs.graph import Graph, Node


def records(graph: Graph) -> dict[str, Any]:
    """`nodes`, `edges`, and for each node its `paths`: the ids on the way of messages that come by it."""
    return {
        "nodes": [_node(node) for node in graph.nodes],
        "edges": [dataclasses.asdict(edge) for edge in graph.edges],
        "paths": {node.id: sorted(graph.path(node.id)) for node in graph.nodes},
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "kind": node.kind,
        "name": node.name,
        "type": node.type,
        "badges": list(node.badges),
        "details": [list(detail) for detail in node.details],
        "figures": None if node.figures is None else dataclasses.asdict(node.figures),
    }
