"""A graph as SVG: for itself, and as the heart of the page."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from amqptasks.topology.graphs.cards import (
    CHIP_CHARACTER,
    CHIP_INSIDE,
    NAME_LINE,
    PADDING_X,
    PADDING_Y,
    TEXT_LINE,
    label,
)
from amqptasks.topology.graphs.graph import Graph, Node
from amqptasks.topology.graphs.layout import Box, Layout, Line, layout

#: How to end an edge: one arrowhead for each of its colours, because a marker does not take that of its line in SVG 1.
_WAYS = ("route", "binding", "alternate", "dead-letter", "retry")

#: Heights of the rungs that are drawn on the delays, each twice as long a wait as the last.
_RUNGS = (2, 3, 5, 8, 13, 20)


def svg(graph: Graph, title: str) -> str:
    """A file of its own, with its colours."""
    style = resource("colours.css") + resource("picture.css")
    return picture(layout(graph), graph, title, f"<style>{style}</style>") + "\n"


def picture(placed: Layout, graph: Graph, title: str, style: str = "") -> str:
    """The `<svg>` element. Every text in it is escaped; ids of nodes and edges are in `data-id`."""
    width, height = f"{placed.width:.0f}", f"{placed.height:.0f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" style="--width:{width}px" role="group" aria-label="{escape(title)}">',
        style,
        f"<defs>{''.join(map(_arrowhead, _WAYS))}</defs>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
        '<g class="edges">',
        *(_line(line, graph) for line in placed.lines),
        '</g><g class="nodes">',
        *(_node(node, placed.boxes[node.id]) for node in graph.nodes if node.id in placed.boxes),
        "</g></svg>",
    ]
    return "\n".join(part for part in parts if part)


def resource(name: str) -> str:
    return (files("amqptasks.topology.graphs") / name).read_text("utf-8")


def _arrowhead(way: str) -> str:
    return (
        f'<marker id="end-{way}" class="head {way}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        ' markerHeight="8" markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
        '<path d="M0,0.6L7.4,4L0,7.4z"/></marker>'
    )


def _line(line: Line, graph: Graph) -> str:
    edge = line.edge
    source, target = graph.node(edge.source).name, graph.node(edge.target).name
    words = f"{edge.way.replace('-', ' ')}: {source} → {target}" + (f" ({edge.label})" if edge.label else "")
    both = f' marker-start="url(#end-{edge.way})"' if edge.way == "retry" else ""
    text = ""
    if edge.label and graph.node(edge.target).kind != "delays":  # what a queue's retries are, stands on its card
        text = (
            f'<text x="{line.label_x:.1f}" y="{line.label_y:.1f}" text-anchor="{line.anchor}">'
            f"{escape(label(edge.label))}</text>"
        )
    return (
        f'<g class="edge {edge.way}" data-id="{escape(edge.id)}"><title>{escape(words)}</title>'
        f'<path class="reach" d="{line.path}"/>'
        f'<path class="line" d="{line.path}" marker-end="url(#end-{edge.way})"{both}/>{text}</g>'
    )


def _node(node: Node, box: Box) -> str:
    card = box.card
    kinds = f"{node.kind} {''.join(character for character in node.type if character.isalnum())}"
    busy = " busy" if node.figures is not None and node.figures.ready else ""
    idle = " idle" if node.figures is not None and node.kind == "queue" and not node.figures.consumers else ""
    parts = [
        f'<g class="node {kinds}{busy}{idle}" data-id="{escape(node.id)}"'
        f' transform="translate({box.x:.1f},{box.y:.1f})" tabindex="0" role="button"'
        f' aria-label="{escape(f"{node.kind} {node.name}")}">'
        f"<title>{escape(' · '.join([node.name, node.type, *node.badges]))}</title>",
        _shape(node, box),
    ]
    content = NAME_LINE + TEXT_LINE * (len(card.lines) + len(card.figures))
    y = max(PADDING_Y, (card.height - content) / 2) + 14
    parts.append(f'<text class="name" x="{PADDING_X}" y="{y:.1f}">{escape(card.name)}</text>')
    if card.chip:
        parts.append(_chip(card.chip, card.width, y))
    for line in card.lines:
        y += TEXT_LINE
        parts.append(f'<text class="badges" x="{PADDING_X}" y="{y + 2:.1f}">{escape(line)}</text>')
    for line in card.figures:
        y += TEXT_LINE
        parts.append(f'<text class="figures" x="{PADDING_X}" y="{y + 2:.1f}">{escape(line)}</text>')
    return "".join([*parts, "</g>"])


def _shape(node: Node, box: Box) -> str:
    width, height = box.card.width, box.card.height
    if node.kind == "route":
        return f'<rect class="card" width="{width:.1f}" height="{height:.1f}" rx="{min(height / 2, 19):.1f}"/>'
    if node.kind == "exchange":
        cut, middle = 9, height / 2
        points = (
            f"{cut},0 {width - cut:.1f},0 {width:.1f},{middle:.1f} {width - cut:.1f},{height:.1f} {cut},{height:.1f}"
        )
        return f'<polygon class="card" points="{points} 0,{middle:.1f}"/>'
    card = f'<rect class="card" width="{width:.1f}" height="{height:.1f}" rx="9"/>'
    if node.kind == "delays":
        bars = (
            f'<rect x="{width - 92 + 13 * number}" y="{27 - rung}" width="8" height="{rung}" rx="2"/>'
            for number, rung in enumerate(_RUNGS)
        )
        return f'{card}<g class="rungs">{"".join(bars)}</g>'
    return f'{card}<rect class="stripe" width="4" height="{height - 14:.1f}" y="7" rx="2"/>'


def _chip(text: str, width: float, y: float) -> str:
    room = len(text) * CHIP_CHARACTER + CHIP_INSIDE
    x = width - room - 9
    return (
        f'<g class="chip"><rect x="{x:.1f}" y="{y - 12:.1f}" width="{room:.1f}" height="16" rx="8"/>'
        f'<text x="{x + room / 2:.1f}" y="{y - 0.5:.1f}" text-anchor="middle">{escape(text)}</text></g>'
    )
