"""A graph as a Mermaid flowchart, for Markdown pages. https://mermaid.js.org/syntax/flowchart.html"""

from __future__ import annotations

from amqptasks.topology.graphs.graph import Edge, Graph, Kind, Node
from amqptasks.untrusted.numbers import counted

#: The shape of each kind, around its label.
_SHAPES: dict[Kind, tuple[str, str]] = {
    "route": ("([", "])"),
    "exchange": ("{{", "}}"),
    "queue": ("[(", ")]"),
    "dead": ("[/", "/]"),
    "waiting": ("[(", ")]"),
    "delays": ("[[", "]]"),
}

#: What means something in a quoted label, as Mermaid's entity codes: HTML's, with # for &.
_ESCAPES = {character: f"#{ord(character)};" for character in '#"&<>`\\'}


def mermaid(graph: Graph) -> str:
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = _SHAPES[node.kind]
        lines.append(f'    {names[node.id]}{opening}"{_label(node)}"{closing}')
    lines += [f"    {names[edge.source]} {_arrow(edge)} {names[edge.target]}" for edge in graph.edges]
    return "\n".join(lines) + "\n"


def _label(node: Node) -> str:
    figures = node.figures
    words = [node.name, " · ".join([node.type, *node.badges])]
    if figures is not None:
        words.append(f"{figures.ready} ready, {figures.unacked} unacked, {counted(figures.consumers, 'consumer')}")
    return "<br>".join(map(escaped, words))


def _arrow(edge: Edge) -> str:
    label = f'|"{escaped(edge.label)}"|' if edge.label else ""
    return {"dead-letter": f"-.->{label}", "alternate": f"-.->{label}", "retry": f"<-.->{label}"}.get(
        edge.way, f"-->{label}"
    )


def escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character if character.isprintable() else " ") for character in text)
