"""Where everything stands, in pixels: cards in columns, lines between their edges."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from amqptasks.topology.graphs.cards import CHARACTERS, Card, card, label_width, wanted_width
from amqptasks.topology.graphs.graph import Edge, Graph
from amqptasks.topology.graphs.layers import Layers, layers

#: Space around the picture, between two cards of a column, and beside a label.
MARGIN, GAP, LABEL_SPACE = 24.0, 18.0, 14.0

#: Width of the curve between two columns, without labels.
CURVE = 64.0

#: Height of an edge's way past a column, and of the place of each labelled edge at its target.
PASSAGE, PORT = 14.0, 22.0

#: How far the delays stand below, how far beside a column their common line runs, and how round its corners are.
BELOW, LANE, CORNER = 40.0, 22.0, 10.0

#: A usual window's width: names are whole where the picture fits it.
WINDOW = 1280.0

#: Rounds of moving each card to the mean height of its neighbours.
ROUNDS = 16


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    card: Card

    @property
    def right(self) -> float:
        return self.x + self.card.width

    @property
    def bottom(self) -> float:
        return self.y + self.card.height

    @property
    def middle(self) -> float:
        return self.y + self.card.height / 2


@dataclass(frozen=True, slots=True)
class Line:
    """`path` in SVG's words; its label ends (`end`) or starts at `label_x`."""

    edge: Edge
    path: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Layout:
    width: float
    height: float
    boxes: Mapping[str, Box]
    lines: tuple[Line, ...]


def layout(graph: Graph) -> Layout:
    """With whole names where the window has room for them."""
    placed = layers(graph)
    for characters in CHARACTERS:
        placing = _Placing(graph, placed, characters)
        if placing.width <= WINDOW:
            break
    return placing.layout()


class _Placing:
    def __init__(self, graph: Graph, placed: Layers, characters: int) -> None:
        self._graph = graph
        self._characters = characters
        self._layers = placed
        self._edges = {edge.id: edge for edge in graph.edges}
        self._cards = self._sized()
        self._into: dict[str, list[Edge]] = {}
        for edge in graph.edges:
            if edge.id in placed.chains:
                self._into.setdefault(edge.target, []).append(edge)
        self._left, self._right, self._lead, self._trail = self._widths()

    @property
    def width(self) -> float:
        """Of the picture, as far as the columns make it."""
        return max(self._right, default=MARGIN) + MARGIN

    def layout(self) -> Layout:
        self._top = self._heights()
        boxes = {
            node.id: Box(self._left[self._layers.rank[node.id]], self._top[node.id], self._cards[node.id])
            for node in self._graph.nodes
            if node.id in self._layers.rank
        }
        bottom = max((box.bottom for box in boxes.values()), default=MARGIN)
        right = max((box.right for box in boxes.values()), default=MARGIN)
        delays = next((node for node in self._graph.nodes if node.kind == "delays"), None)
        lines = self._forward(boxes)
        if delays is not None:
            column = max((self._layers.rank[n.id] for n in self._graph.nodes if n.kind == "queue"), default=0)
            box = Box(
                self._left[column], bottom + BELOW, card(delays, max(wanted_width(delays, self._characters), 300))
            )
            boxes[delays.id] = box
            lines += [_to_delays(edge, boxes[edge.source], box, self._right[column] + LANE) for edge in self._retries()]
            bottom, right = box.bottom, max(right, box.right)
        back, bottom = self._backward(boxes, bottom)
        return Layout(right + MARGIN, bottom + MARGIN, boxes, tuple(lines + back))

    def _retries(self) -> list[Edge]:
        return [edge for edge in self._graph.edges if self._is_to_delays(edge)]

    def _is_to_delays(self, edge: Edge) -> bool:
        return self._graph.node(edge.target).kind == "delays"

    def _is_back(self, edge: Edge) -> bool:
        return edge.id not in self._layers.chains and not self._is_to_delays(edge)

    def _is_to_neighbour(self, edge: Edge) -> bool:
        return self._layers.rank[edge.source] - self._layers.rank[edge.target] == 1

    def _sized(self) -> dict[str, Card]:
        """All cards of a column are as wide as its widest."""
        widths: dict[int, float] = {}
        for node in self._graph.nodes:
            if node.id in self._layers.rank:
                column = self._layers.rank[node.id]
                widths[column] = max(widths.get(column, 0.0), wanted_width(node, self._characters))
        cards = {}
        for node in self._graph.nodes:
            if node.id in self._layers.rank:
                cards[node.id] = card(node, widths[self._layers.rank[node.id]])
        return cards

    def _widths(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """For each column its left and right end, and how far lines run straight behind and before it, for labels."""
        columns = len(self._layers.columns)
        lead, trail = [0.0] * columns, [0.0] * columns
        for edge_id, chain in self._layers.chains.items():
            edge = self._edges[edge_id]
            if edge.label and edge.way == "route":
                column = self._layers.rank[chain[0]]
                lead[column] = max(lead[column], label_width(edge.label) + LABEL_SPACE)
            elif edge.label:
                column = self._layers.rank[chain[-1]]
                trail[column] = max(trail[column], label_width(edge.label) + LABEL_SPACE)
        for edge in self._graph.edges:
            if edge.label and self._is_back(edge) and self._is_to_neighbour(edge):
                column = self._layers.rank[edge.source]
                trail[column] = max(trail[column], label_width(edge.label) + LABEL_SPACE)
        left, right, x = [], [], MARGIN
        for column, items in enumerate(self._layers.columns):
            x += trail[column]
            width = max((self._cards[item].width for item in items if item in self._cards), default=0.0)
            left.append(x)
            right.append(x + width)
            x += width + lead[column] + CURVE
        return left, right, lead, trail

    def _height(self, item: str) -> float:
        return self._cards[item].height if item in self._cards else PASSAGE

    def _space(self, item: str) -> float:
        """Its height, with what must be free below it."""
        return self._height(item) + (GAP if item in self._cards else 0.0)

    def _heights(self) -> dict[str, float]:
        """The top of each item: near its neighbours, in the order of its column, and nothing overlaps."""
        for item, into in self._into.items():
            ports = sum(bool(edge.label) and edge.way != "route" for edge in into)
            needed = ports * PORT + 6
            if needed > self._cards[item].height:
                old = self._cards[item]
                self._cards[item] = Card(old.name, old.chip, old.lines, old.figures, old.width, needed)
        beside: dict[str, list[str]] = {}
        for chain in self._layers.chains.values():
            for one, other in itertools.pairwise(chain):
                beside.setdefault(one, []).append(other)
                beside.setdefault(other, []).append(one)
        middle: dict[str, float] = {}
        for items in self._layers.columns:
            y = 0.0
            for item in items:
                middle[item] = y + self._height(item) / 2
                y += self._space(item)
        for turn in range(ROUNDS):
            for items in self._layers.columns if turn % 2 else reversed(self._layers.columns):
                wanted = [
                    sum(middle[one] for one in beside[item]) / len(beside[item]) if item in beside else middle[item]
                    for item in items
                ]
                middle.update(self._apart(items, wanted))
        top = min((middle[item] - self._height(item) / 2 for item in middle), default=0.0)
        return {item: middle[item] - self._height(item) / 2 - top + MARGIN for item in middle}

    def _apart(self, items: tuple[str, ...], wanted: list[float]) -> dict[str, float]:
        """As near to `wanted` as their order and heights allow: neighbours that would overlap form a block, which
        stands at the mean of what its members want."""
        blocks: list[tuple[list[str], float, float]] = []  # members, where the block's top wants to be, its height
        for item, middle in zip(items, wanted, strict=True):
            height = self._space(item)
            members, top, size = [item], middle - self._height(item) / 2, height
            while blocks and blocks[-1][1] + blocks[-1][2] > top:
                others, above, taken = blocks.pop()
                # A member further down wants the block's top that much higher.
                top = (above * len(others) + (top - taken) * len(members)) / (len(others) + len(members))
                members, size = others + members, taken + size
            blocks.append((members, top, size))
        found = {}
        for members, top, _ in blocks:
            y = top
            for item in members:
                height = self._space(item)
                found[item] = y + self._height(item) / 2
                y += height
        return found

    def _forward(self, boxes: Mapping[str, Box]) -> list[Line]:
        ports = self._ports(boxes)
        lines = []
        for edge_id, chain in self._layers.chains.items():
            edge = self._edges[edge_id]
            first, last = self._layers.rank[chain[0]], self._layers.rank[chain[-1]]
            source, target = boxes[chain[0]], boxes[chain[-1]]
            path = f"M{source.right:.1f},{source.middle:.1f}"
            x, y = source.right, source.middle
            for column, item in zip(range(first + 1, last + 1), chain[1:], strict=True):
                to_y = ports[edge_id] if column == last else self._top[item] + PASSAGE / 2
                start, end = self._right[column - 1] + self._lead[column - 1], self._left[column] - self._trail[column]
                path += f"H{start:.1f}" if start > x else ""
                bend = (end - start) / 2
                path += f"C{start + bend:.1f},{y:.1f} {end - bend:.1f},{to_y:.1f} {end:.1f},{to_y:.1f}"
                x, y = (target.x, to_y) if column == last else (self._right[column], to_y)
                path += f"H{x:.1f}"
            if edge.way == "route":
                lines.append(Line(edge, path, source.right + 8, source.middle - 5, "start"))
            else:
                lines.append(Line(edge, path, target.x - 12, y - 5, "end"))
        return lines

    def _ports(self, boxes: Mapping[str, Box]) -> dict[str, float]:
        """The height at which each edge ends: labelled ones apart from each other, in the order of their sources."""
        found: dict[str, float] = {}
        for item, into in self._into.items():
            labelled = [edge for edge in into if edge.label and edge.way != "route"]
            if len(into) == 1 or (not labelled and len({edge.way for edge in into}) == 1):
                found.update({edge.id: boxes[item].middle for edge in into})
                continue

            def height(edge: Edge) -> float:
                before = self._layers.chains[edge.id][-2]
                return self._top[before] + self._height(before) / 2

            box = boxes[item]
            step = box.card.height / len(into)
            for number, edge in enumerate(sorted(into, key=height)):
                found[edge.id] = box.y + step * (number + 0.5)
        return found

    def _backward(self, boxes: Mapping[str, Box], bottom: float) -> tuple[list[Line], float]:
        """Edges that lead back: to the column before directly, further round below everything."""
        lines = []
        for edge in self._graph.edges:
            if not self._is_back(edge):
                continue
            source, target = boxes[edge.source], boxes[edge.target]
            if self._is_to_neighbour(edge):
                start, end = source.y + source.card.height * 0.75, target.y + target.card.height * 0.75
                bend = (source.x - target.right) / 2
                path = (
                    f"M{source.x:.1f},{start:.1f}C{source.x - bend:.1f},{start:.1f}"
                    f" {target.right + bend:.1f},{end:.1f} {target.right:.1f},{end:.1f}"
                )
                lines.append(Line(edge, path, source.x - 8, start + 13, "end"))
                continue
            bottom += LANE
            lines.append(_around(edge, source, target, bottom))
        return lines, bottom


def _to_delays(edge: Edge, queue: Box, delays: Box, lane: float) -> Line:
    """All queues share the vertical part: one line comes down to the delays, however many retry."""
    y = min(queue.bottom - 12, queue.middle + 14)
    top = delays.y if lane < delays.right else delays.middle
    path = f"M{queue.right:.1f},{y:.1f}H{lane - CORNER:.1f}q{CORNER},0 {CORNER},{CORNER}V{top - CORNER:.1f}"
    if lane < delays.right:
        path += f"V{top:.1f}"
    else:
        path += f"q0,{CORNER} -{CORNER},{CORNER}H{delays.right:.1f}"
    return Line(edge, path, queue.right + 6, y + 13, "start")


def _around(edge: Edge, source: Box, target: Box, bottom: float) -> Line:
    out, into = source.right + LANE, target.x - LANE
    r = CORNER
    path = (
        f"M{source.right:.1f},{source.middle:.1f}H{out - r:.1f}q{r},0 {r},{r}V{bottom - r:.1f}q0,{r} -{r},{r}"
        f"H{into + r:.1f}q-{r},0 -{r},-{r}V{target.middle + r:.1f}q0,-{r} {r},-{r}H{target.x:.1f}"
    )
    return Line(edge, path, (out + into) / 2, bottom - 5, "middle")
