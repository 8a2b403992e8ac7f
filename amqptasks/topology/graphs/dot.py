"""A graph in DOT, the language of Graphviz. https://graphviz.org/doc/info/lang.html"""

from __future__ import annotations

from amqptasks.topology.graphs.graph import Graph, Kind, Node, Way
from amqptasks.untrusted.numbers import counted

_SHAPES: dict[Kind, str] = {
    "route": 'shape=box style="rounded"',
    "exchange": "shape=hexagon",
    "queue": "shape=cylinder",
    "dead": 'shape=cylinder style="dashed"',
    "waiting": 'shape=cylinder style="dotted"',
    "delays": "shape=box3d",
}

_STYLES: dict[Way, str] = {
    "route": "",
    "binding": "",
    "alternate": " style=dotted",
    "dead-letter": " style=dashed color=red",
    "retry": " style=dashed dir=both",
}


def dot(graph: Graph) -> str:
    lines = ["digraph topology {", "    rankdir=LR;", '    node [fontname="sans-serif"]; edge [fontname="sans-serif"];']
    lines += [f"    {quoted(node.id)} [label={quoted(_label(node))} {_SHAPES[node.kind]}];" for node in graph.nodes]
    for edge in graph.edges:
        ends = f"{quoted(edge.source)} -> {quoted(edge.target)}"
        lines.append(f"    {ends} [label={quoted(edge.label)}{_STYLES[edge.way]}];")
    return "\n".join([*lines, "}"]) + "\n"


def quoted(text: str) -> str:
    """A double-quoted string; in labels, a line break is written as such and a backslash stays one."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _label(node: Node) -> str:
    lines = [node.name, ", ".join([node.type, *node.badges])]
    if node.figures is not None:
        lines.append(f"{node.figures.ready} ready, {counted(node.figures.consumers, 'consumer')}")
    return "\n".join(lines)
