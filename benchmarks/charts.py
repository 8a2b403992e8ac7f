"""A bar for each contestant, and a line from its least to its greatest round: as SVG, for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.figures import Spread

#: Pixels: of a row, of the labels at its left, of the longest bar, and of the figure at its right.
ROW, LABELS, BARS, VALUES = 22, 330, 330, 90

#: Pixels above the first row, for the unit.
TOP = 26

_STYLE = """
text{font:12px system-ui,sans-serif;fill:#24292f}.unit{fill:#57606a}.ours{fill:#d9480f}.peer{fill:#8c959f}
.range{stroke:#24292f;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.unit{fill:#9da7b1}.range{stroke:#e6edf3}}"""


def chart(title: str, unit: str, digits: int, bars: Sequence[tuple[str, Spread, bool]]) -> str:
    """Of label, spread, and whether it is ours."""
    greatest = max((spread.high for _, spread, _ in bars), default=0.0) or 1.0
    width, height = LABELS + BARS + VALUES, TOP + ROW * len(bars) + 6
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' role="img">',
        f"<title>{escape(title)}, {escape(unit)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="unit" x="{LABELS}" y="16">{escape(unit)}</text>',
    ]
    for number, (label, spread, ours) in enumerate(bars):
        lines.extend(_bar(TOP + number * ROW, label, spread, ours, BARS / greatest, digits))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(top: int, label: str, spread: Spread, ours: bool, scale: float, digits: int) -> list[str]:
    middle, low, high = (LABELS + value * scale for value in (spread.middle, spread.low, spread.high))
    line = top + ROW / 2
    drawn = [
        f'<text x="{LABELS - 8}" y="{line + 4:.0f}" text-anchor="end">{escape(label)}</text>',
        f'<rect class="{"ours" if ours else "peer"}" x="{LABELS}" y="{top + 4}" width="{max(1.0, middle - LABELS):.1f}"'
        f' height="{ROW - 8}"/>',
    ]
    if high > low:
        drawn.append(f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{line:.0f}" y2="{line:.0f}"/>')
    drawn.append(f'<text x="{high + 6:.1f}" y="{line + 4:.0f}">{spread.middle:,.{digits}f}</text>')
    return drawn
