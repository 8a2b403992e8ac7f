"""What stands on each node of the picture, and how large that makes it. All lengths are in pixels.

Names are set in a monospaced font, whose width is known without measuring; the rest is estimated, on the safe side.
Letters of East Asia and pictures are twice as wide as others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import east_asian_width

from amqptasks.topology.graphs.graph import Figures, Kind, Node
from amqptasks.untrusted.numbers import counted

#: Width of a character of a name (13 px monospaced) and of an edge's label (11.5 px); the common monospaced fonts are
#: 0.6 em wide.
NAME_CHARACTER, LABEL_CHARACTER = 7.85, 6.95

#: Mean width of a character of the smaller text (11.5 px, sans-serif); few texts are wider. Figures are bold where
#: something waits, and digits are all as wide as an `n`.
TEXT_CHARACTER, FIGURE_CHARACTER = 6.1, 7.3

#: Heights of the name's line and of each further one, and the space around the text.
NAME_LINE, TEXT_LINE, PADDING_X, PADDING_Y = 20.0, 16.0, 14.0, 9.0

#: The least width of a card, and the most that it takes for its further lines, which can be folded.
_WIDTHS: dict[Kind, tuple[float, float]] = {
    "route": (150, 240),
    "exchange": (120, 200),
    "queue": (200, 280),
    "dead": (150, 200),
    "waiting": (150, 200),
    "delays": (260, 330),
}

#: Characters of a name that are shown, in the order in which they are tried: as many as the window has room for. Fewer
#: than the last tell no name from another.
CHARACTERS = (60, 44, 32, 26)

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
    room = width - 2 * PADDING_X
    lines = folded(node.badges, int(room / TEXT_CHARACTER))
    figures = [line for words in _figures(node.figures) for line in folded(words, int(room / FIGURE_CHARACTER + 0.01))]
    height = 2 * PADDING_Y + NAME_LINE + TEXT_LINE * (len(lines) + len(figures))
    name = shortened(node.name, int((room - _chip_room(chip)) / NAME_CHARACTER + 0.01))
    return Card(name, chip, tuple(lines), tuple(figures), width, height)


def wanted_width(node: Node, characters: int) -> float:
    """`characters` is one of `CHARACTERS`."""
    least, most = _WIDTHS[node.kind]
    badges = max(map(cells, node.badges), default=0) * TEXT_CHARACTER
    figures = max((len(" · ".join(words)) for words in _figures(node.figures)), default=0) * FIGURE_CHARACTER
    name = min(cells(node.name), characters) * NAME_CHARACTER + _chip_room(_chip(node))
    return max(least, min(max(badges, figures) + 2 * PADDING_X, most), name + 2 * PADDING_X)


def _chip(node: Node) -> str:
    return "" if node.kind in ("route", "delays") else node.type


def _chip_room(chip: str) -> float:
    return len(chip) * CHIP_CHARACTER + CHIP_INSIDE + _CHIP_BEFORE if chip else 0.0


def label(text: str) -> str:
    """An edge's label, as short as it must be."""
    return shortened(text, LONGEST_LABEL)


def label_width(text: str) -> float:
    return cells(label(text)) * LABEL_CHARACTER


def cells(text: str) -> int:
    """How many narrow letters it is as wide as."""
    return len(text) + sum(east_asian_width(letter) in ("W", "F") for letter in text if not letter.isascii())


def folded(parts: Iterable[str], most: int) -> list[str]:
    """The parts, with dots between them, on lines of so many cells. A part that is longer than a line is broken at its
    spaces, a word at any place."""
    lines: list[str] = []
    for part in parts:
        if lines and cells(f"{lines[-1]} · {part}") <= most:
            lines[-1] += f" · {part}"
        else:
            lines += _broken(part, max(most, 8))
    return lines


def _broken(text: str, most: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and cells(f"{lines[-1]} {word}") <= most:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if cells(lines[-1] + letter) > most:
                lines.append("")
            lines[-1] += letter
    return lines


def shortened(text: str, characters: int) -> str:
    """The end of a name tells it from its neighbours as often as its beginning: the middle goes."""
    if cells(text) <= characters:
        return text
    kept = max(2, characters - 1)
    begin = end = ""
    while begin + end != text:
        further = (begin + text[len(begin)], end) if cells(begin) <= cells(end) else (begin, text[-len(end) - 1] + end)
        if cells("".join(further)) > kept:
            break
        begin, end = further
    return f"{begin}…{end}"


def _figures(figures: Figures | None) -> tuple[tuple[str, ...], ...]:
    """Two lines, each in its parts."""
    if figures is None:
        return ()
    held = (f"{figures.ready:,} ready", f"{figures.unacked:,} unacked")
    consumers = counted(figures.consumers, "consumer")
    return (held, (consumers, f"{figures.rate_in:,.1f}/s in", f"{figures.rate_out:,.1f}/s out"))
