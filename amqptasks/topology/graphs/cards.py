"""What stands on each node of the picture, and how large that makes it. All lengths are in pixels.

Names are set in a monospaced font, whose width is known without measuring; the rest is estimated, on the safe side.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from amqptasks.topology.graphs.graph import Figures, Kind, Node
from amqptasks.untrusted.numbers import counted

#: Width of a character of a name (13 px monospaced) and of an edge's label (11.5 px); the common monospaced fonts are
#: 0.6 em wide.
NAME_CHARACTER, LABEL_CHARACTER = 7.85, 6.95

#: Mean width of a character of the smaller text (11.5 px, sans-serif); few texts are wider.
TEXT_CHARACTER = 6.1

#: Heights of the name's line and of each further one, and the space around the text.
NAME_LINE, TEXT_LINE, PADDING_X, PADDING_Y = 20.0, 16.0, 14.0, 9.0

#: Widths between which a card takes what its name needs.
_WIDTHS: dict[Kind, tuple[float, float]] = {
    "route": (150, 240),
    "exchange": (120, 200),
    "queue": (200, 250),
    "dead": (150, 200),
    "waiting": (150, 200),
    "delays": (260, 330),
}

#: Width of a character on the chip with the type (10.5 px, semibold), and of the chip's own space within and before.
CHIP_CHARACTER, CHIP_INSIDE, _CHIP_BEFORE = 6.6, 14.0, 10.0

#: Longest label of an edge, in characters; the whole one is in its title.
LONGEST_LABEL = 26


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    chip: str
    lines: tuple[str, ...]
    figures: tuple[str, ...]
    width: float
    height: float


def card(node: Node, width: float) -> Card:
    """`width` is that of all cards of its layer (`wanted_width`)."""
    chip = _chip(node)
    room = width - 2 * PADDING_X - _chip_room(chip)
    characters = max(8, int((width - 2 * PADDING_X) / TEXT_CHARACTER))
    words = " · ".join(badge.replace(" ", "\u00a0") for badge in node.badges)
    lines = [line.strip(" ·") for line in textwrap.wrap(words, characters, break_long_words=False)] if words else []
    figures = _figures(node.figures)
    height = 2 * PADDING_Y + NAME_LINE + TEXT_LINE * (len(lines) + len(figures))
    return Card(shortened(node.name, int(room / NAME_CHARACTER + 0.01)), chip, tuple(lines), figures, width, height)


def wanted_width(node: Node) -> float:
    least, most = _WIDTHS[node.kind]
    badges = max((len(badge) for badge in node.badges), default=0) * TEXT_CHARACTER
    needed = max(len(node.name) * NAME_CHARACTER + _chip_room(_chip(node)), badges) + 2 * PADDING_X
    return min(max(least, needed), most)


def _chip(node: Node) -> str:
    return "" if node.kind in ("route", "delays") else node.type


def _chip_room(chip: str) -> float:
    return len(chip) * CHIP_CHARACTER + CHIP_INSIDE + _CHIP_BEFORE if chip else 0.0


def label(text: str) -> str:
    """An edge's label, as short as it must be."""
    return shortened(text, LONGEST_LABEL)


def label_width(text: str) -> float:
    return len(label(text)) * LABEL_CHARACTER


def shortened(text: str, characters: int) -> str:
    """The end of a name tells it from its neighbours as often as its beginning: the middle goes."""
    if len(text) <= characters:
        return text
    kept = max(2, characters - 1)
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def _figures(figures: Figures | None) -> tuple[str, ...]:
    if figures is None:
        return ()
    held = f"{figures.ready:,} ready · {figures.unacked:,} unacked"
    consumers = counted(figures.consumers, "consumer")
    return (held, f"{consumers} · {figures.rate_in:.1f}/s in · {figures.rate_out:.1f}/s out")
