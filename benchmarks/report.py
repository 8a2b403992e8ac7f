"""The figures: as tables for a terminal, and as the measured part of docs/performance.md with its charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import charts, floors, peers, subjects
from benchmarks.figures import Figures, Spread
from benchmarks.floors import Verdict
from benchmarks.peers.configurations import CONFIGURATIONS
from benchmarks.subjects import Column, Subject

FILE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"

#: Beside the page: a picture for each subject.
CHARTS = FILE.parent / "charts"

#: Every sample that the page shows: a run of some subjects replaces theirs, and leaves the others.
MEASURED = Path(__file__).with_name("measured.json")

#: What stands between these lines of the page is written here; the rest is written by hand.
BEGIN, END = "<!-- measured: written by make bench -->", "<!-- measured: end -->"

_READING = """Each contestant ran once a round, one after the other, in processes of its own, on one broker. A cell is
**median** (least to greatest) of the rounds; the line in a chart is that range. Rates depend on the machine, and move
by a fifth from round to round; CPU time a message is steadier, and ratios carry over to other machines."""


def tables(figures: Figures) -> str:
    """For a terminal."""
    return "\n\n".join(_plain(name, subjects.find(name), figures) for name in figures.samples)


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    found = []
    for one in verdicts:
        unit = " times" if one.floor.theirs else " ms"
        bound = "below" if one.floor.at_most else "at least"
        word = "kept" if one.kept else "MISSED"
        found.append(f"{word}: {one.floor.promise} ({bound} {one.floor.limit:.3g}{unit}; it is {one.reached:.3g})")
    return found


def write(later: Figures) -> None:
    """Take what this run measured into the page, its charts, and the samples behind them."""
    figures = Figures.load(MEASURED)
    figures.take_over(later)
    figures.samples = {name: figures.samples[name] for name in subjects.NAMES if name in figures.samples}
    CHARTS.mkdir(exist_ok=True)
    for name in figures.samples:
        if (picture := _chart(name, figures)) is not None:
            (CHARTS / f"{name}.svg").write_text(picture)
    FILE.write_text(page(FILE.read_text(), markdown(figures)))
    figures.save(MEASURED)


def page(text: str, measured: str) -> str:
    """`text` with another part between the marks. Raises `ValueError` without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{FILE.name} lacks the lines {BEGIN!r} and {END!r}: put them back where the figures belong")
    return f"{before}{BEGIN}\n\n{measured}\n{END}{after}"


def markdown(figures: Figures) -> str:
    parts = ["## The figures", _READING, *_runs(figures)]
    verdicts = floors.verdicts(figures)
    if verdicts:
        parts.append("### What is promised\n\n" + "\n".join(f"- {line}" for line in verdict_lines(verdicts)))
    for name in figures.samples:
        subject = subjects.find(name)
        rounds = max((len(samples) for samples in figures.samples[name].values()), default=0)
        parts.append(f"### {subject.title}\n\n{subject.note} {rounds} round{'s' if rounds != 1 else ''}.")
        if _bars(name, figures):
            parts.append(f"![{subject.title}: {_leading(subject)[1].title}](charts/{name}.svg)")
        parts.append("\n".join(_markdown_table(name, subject, figures)))
        parts.extend(subject.remarks(figures))
    parts.append("### How the others are set up\n\n" + "\n".join(_configurations(figures)))
    return "\n\n".join(parts) + "\n"


def _runs(figures: Figures) -> Iterator[str]:
    """Where and when: once for all subjects that were measured together."""
    runs: dict[str, list[str]] = {}
    for name in figures.samples:
        words = "\n".join(f"- {key}: {value}" for key, value in figures.surroundings.get(name, {}).items())
        runs.setdefault(words, []).append(subjects.find(name).title)
    for words, titles in runs.items():
        measured = "Measured" if len(runs) == 1 else f"Measured together: {'; '.join(titles)}"
        yield f"{measured}:\n\n{words}"


def _configurations(figures: Figures) -> Iterator[str]:
    present = {contestant.peer for name in figures.samples for contestant in subjects.find(name).contestants}
    for name, shown in peers.NAMES.items():
        if name in present:
            yield f"- **{shown}**: {CONFIGURATIONS[name]}"


def _leading(subject: Subject) -> tuple[str, Column]:
    return next(iter(subject.columns.items()))


def _bars(name: str, figures: Figures) -> list[tuple[str, Spread, bool]]:
    """None where a comparison would have but one line."""
    subject = subjects.find(name)
    ours = {contestant.label for contestant in subject.contestants if contestant.peer == "ours"}
    spreads = {label: figures.spread(name, label, _leading(subject)[0]) for label in figures.samples[name]}
    bars = [(label, spread, label in ours) for label, spread in spreads.items() if spread is not None]
    return bars if len(bars) > 1 else []


def _chart(name: str, figures: Figures) -> str | None:
    subject, bars = subjects.find(name), _bars(name, figures)
    column = _leading(subject)[1]
    return charts.chart(subject.title, column.title, column.digits, bars) if bars else None


def _markdown_table(name: str, subject: Subject, figures: Figures) -> Iterator[str]:
    titles = [column.title for column in subject.columns.values()]
    yield f"| | {' | '.join(titles)} |"
    yield f"|---|{'---:|' * len(titles)}"
    for label in figures.samples[name]:
        cells = [_cell(figures.spread(name, label, key), column) for key, column in subject.columns.items()]
        if figures.failed(name, label):
            cells[0] = f"failed{'' if cells[0] == '-' else ' later'}: {cells[0]}"
        yield f"| {label} | {' | '.join(cells)} |"


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
    failed = [f"{label} failed: {reason}" for label, reason in figures.failures.get(name, {}).items()]
    return "\n".join([subject.title, *lines, *failed])
