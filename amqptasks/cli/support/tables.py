"""Tables that fit the terminal: side by side where there is room, else one block a row.

A table that is wider than the terminal is unreadable, whether its cells are cut or folded. So its rows become blocks,
each with the names of its columns, and only a value that is wider than the terminal is folded.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence

import click

from amqptasks.untrusted.printable import printable

#: Columns where the output is no terminal and nobody says how many: enough that nothing is folded for `grep`.
WIDE = 250

#: The fewest columns that a value gets, however narrow the terminal is.
NARROWEST = 8

#: Between two columns.
GAP = 2

#: The room that a column of sentences gets at least, where the columns before it can give some: about five words.
SENTENCE = 30


def width() -> int:
    """Columns to print on: what the variable COLUMNS says, else the terminal's, else `WIDE`."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    styles: Sequence[str | None] = (),
    err: bool = False,
) -> None:
    """Print the rows below their headers. `right` names the columns of numbers; `styles` has a colour, or `dim`, for
    each row that has one."""
    for number, line in lines(headers, rows, width(), right):
        style = None if number is None else styles[number] if number < len(styles) else None
        click.echo(_styled(line, "dim" if number is None else style), err=err)


def lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int, right: Collection[str] = ()
) -> Iterator[tuple[int | None, str]]:
    """The lines of a table on so many columns, each with the number of its row; None for the headers."""
    from rich.cells import cell_len

    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]
    if sum(widths) + GAP * (len(widths) - 1) > columns:
        yield from _blocks(headers, cells, columns)
        return
    if any(headers):
        yield None, _row(headers, headers, widths, right)
    for number, row in enumerate(cells):
        yield number, _row(row, headers, widths, right)


def sentences(rows: Sequence[Sequence[str]], columns: int) -> Iterator[tuple[int, str]]:
    """The lines of a table without headers, whose last column holds sentences, each with the number of its row. Where
    there is no room, a sentence goes on below its beginning; where a name is too long for that, what follows the name
    begins on a line of its own."""
    from rich.cells import cell_len

    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)][:-1]
    while sum(widths) + GAP * len(widths) > max(columns - SENTENCE, 0) and max(widths, default=0) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    indent = sum(widths) + GAP * len(widths)
    longest = max((cell_len(word) for row in cells for word in row[-1].split(" ")), default=0)
    if indent + longest > columns:  # a name in a sentence would be cut: further to the left it may stay whole
        indent = min(indent, max(GAP, columns - longest))
    room = max(NARROWEST, columns - indent)
    for number, row in enumerate(cells):
        line = ""
        for cell, wide in zip(row[:-1], widths, strict=True):
            if line.strip() and cell_len(line) + cell_len(cell) > columns:
                yield number, line.rstrip()
                line = " " * GAP
            line += cell + " " * (max(0, wide - cell_len(cell)) + GAP)
        pieces = _folded(row[-1], room)
        if cell_len(line) + cell_len(pieces[0]) > columns:
            if line.strip():
                yield number, line.rstrip()
            line = " " * indent
        for piece in pieces:
            yield number, (line + piece).rstrip()
            line = " " * indent


def print_sentences(rows: Sequence[Sequence[str]], *, styles: Sequence[str | None] = ()) -> None:
    """Print them on the width of the terminal; `styles` as `print_table`."""
    for number, line in sentences(rows, width()):
        click.echo(_styled(line, styles[number] if number < len(styles) else None))


def print_sentence(text: str) -> None:
    print_sentences([(text,)])


def _row(row: Sequence[str], headers: Sequence[str], widths: Sequence[int], right: Collection[str]) -> str:
    from rich.cells import cell_len

    padded = [
        " " * (width - cell_len(cell)) + cell if name in right else cell + " " * (width - cell_len(cell))
        for cell, name, width in zip(row, headers, widths, strict=True)
    ]
    return (" " * GAP).join(padded).rstrip()


def _blocks(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> Iterator[tuple[int, str]]:
    """The first cell of a row is the head of its block."""
    label = max((len(name) for name in headers[1:]), default=0)
    room = max(NARROWEST, columns - GAP - label - GAP)
    for number, row in enumerate(rows):
        for part in _folded(row[0], max(NARROWEST, columns)):
            yield number, part
        for name, cell in zip(headers[1:], row[1:], strict=True):
            if cell in ("", "-"):
                continue
            for index, part in enumerate(_folded(cell, room)):
                yield number, f"{' ' * GAP}{'' if index else name:<{label}}{' ' * GAP}{part}".rstrip()


def _folded(text: str, columns: int) -> list[str]:
    """At its spaces where it has some, else anywhere."""
    from rich.cells import cell_len, chop_cells

    if cell_len(text) <= columns:
        return [text]
    found = [""]
    for word in text.split(" "):
        longer = f"{found[-1]} {word}" if found[-1] else word
        if cell_len(longer) <= columns:
            found[-1] = longer
            continue
        pieces = chop_cells(word, columns)
        found = [*found, *pieces] if found[-1] else [*found[:-1], *pieces]
    return found


def _styled(line: str, style: str | None) -> str:
    if style is None:
        return line
    return click.style(line, dim=True) if style == "dim" else click.style(line, fg=style)
