"""The figures as tables: for a terminal, and as docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import peers, subjects
from benchmarks.figures import Figures, Spread
from benchmarks.floors import Verdict
from benchmarks.subjects import Column, Subject

FILE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"

#: Characters of the longest bar.
BAR = 20

_INTRODUCTION = """# Performance

Written by `make bench ARGS=--write`; do not edit. Every figure comes from one run on one broker: each contestant ran
once a round, one after the other, in processes of its own. A cell is **median** (least to greatest) of the rounds.
Rates depend on the machine, and move by a fifth from round to round; CPU time a message is steadier, and ratios carry
over to other machines."""


def tables(figures: Figures) -> str:
    """For a terminal."""
    return "\n\n".join(_plain(name, subjects.find(name), figures) for name in figures.samples)


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        f"{'kept' if one.kept else 'MISSED'}: {one.floor.promise} (it is {one.reached:.2f}"
        f"{' times' if one.floor.theirs else ' ms'})"
        for one in verdicts
    ]


def markdown(figures: Figures, verdicts: Sequence[Verdict], surroundings: Mapping[str, str], rounds: int) -> str:
    parts = [_INTRODUCTION, "\n".join(f"- {name}: {words}" for name, words in surroundings.items())]
    parts.append("## What is promised\n\n" + "\n".join(f"- {line}" for line in verdict_lines(verdicts)))
    for name in figures.samples:
        subject = subjects.find(name)
        counted = subject.rounds or rounds
        parts.append(f"## {subject.title}\n\n{subject.note} {counted} round{'s' if counted > 1 else ''}.")
        parts.append("\n".join(_markdown_table(name, subject, figures)))
    parts.append("## How the others are set up\n\n" + "\n".join(_configurations(figures)))
    return "\n\n".join(parts) + "\n"


def _configurations(figures: Figures) -> Iterator[str]:
    present = {contestant.peer for name in figures.samples for contestant in subjects.find(name).contestants}
    for name in ("ours", "celery", "dramatiq", "pika"):
        if name in present:
            yield f"- **{'amqptasks' if name == 'ours' else name}**: {peers.find(name).CONFIGURATION}"


def _markdown_table(name: str, subject: Subject, figures: Figures) -> Iterator[str]:
    titles = [column.title for column in subject.columns.values()]
    yield f"| | {' | '.join(titles)} | |"
    yield f"|---|{'---:|' * len(titles)}---|"
    leading = next(iter(subject.columns))
    spreads = [figures.spread(name, label, leading) for label in figures.samples[name]]
    most = max((spread.middle for spread in spreads if spread), default=0.0)
    for label, first in zip(figures.samples[name], spreads, strict=True):
        cells = [_cell(figures.spread(name, label, key), column) for key, column in subject.columns.items()]
        bar = "█" * max(1, round(BAR * first.middle / most)) if first and most > 0 and len(spreads) > 1 else ""
        yield f"| {label} | {' | '.join(cells)} | {bar} |"


def _cell(spread: Spread | None, column: Column) -> str:
    if spread is None:
        return "-"
    middle = f"**{spread.middle:,.{column.digits}f}**"
    if spread.low == spread.high:
        return middle
    return f"{middle} ({spread.low:,.{column.digits}f} to {spread.high:,.{column.digits}f})"


def _plain(name: str, subject: Subject, figures: Figures) -> str:
    rows = [["", *(column.title for column in subject.columns.values())]]
    for label in figures.samples[name]:
        cells = [_cell(figures.spread(name, label, key), column) for key, column in subject.columns.items()]
        rows.append([label, *(cell.replace("**", "") for cell in cells)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([subject.title, *lines])
