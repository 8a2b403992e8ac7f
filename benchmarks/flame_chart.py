"""A flame graph as SVG: from the roots at the top down, each frame as wide as its part of the samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

#: Pixels: of the whole, of a level, and of the narrowest frame that is drawn. Narrower ones are noise.
WIDTH, LEVEL, NARROWEST = 1200, 17, 1.2

#: Pixels of a character, and of the narrowest frame that has its name in it.
CHARACTER, NAMED = 6.6, 30

_STYLE = """
text{font:11px ui-monospace,monospace;fill:#24292f;pointer-events:none}
.ours{fill:#ffa94d}.pika{fill:#a5d8ff}.other{fill:#dee2e6}rect{stroke:#fff;stroke-width:.5}
@media (prefers-color-scheme:dark){.title{fill:#e6edf3}}"""


@dataclass(slots=True)
class Frame:
    """A function as it was called from those above it; `samples` are its own and those of all that it called."""

    name: str
    samples: int = 0
    called: dict[str, Frame] = field(default_factory=dict)


def tree(stacks: Iterable[tuple[list[str], int]]) -> Frame:
    """Of stacks, outermost first, and how often each was seen."""
    root = Frame("all")
    for names, samples in stacks:
        root.samples += samples
        frame = root
        for name in names:
            frame = frame.called.setdefault(name, Frame(name))
            frame.samples += samples
    return root


def chart(title: str, root: Frame) -> str:
    """The whole file."""
    scale = WIDTH / max(1, root.samples)
    drawn: list[str] = []
    depth = _draw(root, 0.0, 0, scale, root.samples, drawn)
    height = LEVEL * (depth + 3)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="4" y="13">{escape(title)}</text>',
            *drawn,
            "</svg>\n",
        ]
    )


def _draw(frame: Frame, left: float, depth: int, scale: float, total: int, drawn: list[str]) -> int:
    """Appends the frame and what it called; the depth of the deepest."""
    width = frame.samples * scale
    top = LEVEL * (depth + 1) + 4
    part = 100 * frame.samples / max(1, total)
    kind = next((kind for prefix, kind in _KINDS.items() if f"({prefix}" in frame.name), "other")
    drawn.append(
        f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{LEVEL - 1}">'
        f"<title>{escape(frame.name)}: {part:.1f} %</title></rect>"
    )
    if width >= NAMED:
        text = frame.name.partition(" (")[0][: int(width / CHARACTER)]
        drawn.append(f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(text)}</text>')
    deepest = depth
    for called in sorted(frame.called.values(), key=lambda one: one.name):
        if called.samples * scale >= NARROWEST:
            deepest = max(deepest, _draw(called, left, depth + 1, scale, total, drawn))
        left += called.samples * scale
    return deepest


#: How a frame is coloured, by the folder of its file.
_KINDS = {"amqptasks/": "ours", "pika/": "pika"}
