"""What the words of a file became on the broker at hand, and why; for eyes and for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from amqptasks.topology.expand.decisions import Decision

#: As many names of queues that have a decision in common are written out.
NAMED = 6


def show(decisions: Iterable[Decision], console: Console) -> None:
    """One paragraph for all queues of which the same can be said, with NAME for the name of each."""
    from rich.text import Text

    for told, names in _alike(decisions):
        console.print(Text(printable(f"  {_listed(names)}{told.what} -> {told.became}")))
        console.print(Text(f"      {told.why}", style="dim"))


def as_rows(decisions: Iterable[Decision]) -> list[dict[str, str | None]]:
    return [{"queue": one.queue, "what": one.what, "became": one.became, "why": one.why} for one in decisions]


def _alike(decisions: Iterable[Decision]) -> list[tuple[Decision, list[str]]]:
    """What is said, and the queues of which it is. Said of a single one it has that queue's name in it."""
    groups: dict[tuple[str, str, str], list[Decision]] = {}
    for one in decisions:
        groups.setdefault((one.what, _unnamed(one.became, one.queue), _unnamed(one.why, one.queue)), []).append(one)
    found = []
    for (_, became, why), group in groups.items():
        told = group[0] if len(group) == 1 else replace(group[0], became=became, why=why)
        found.append((told, [one.queue for one in group if one.queue is not None]))
    return found


def _unnamed(text: str, queue: str | None) -> str:
    """Without the queue's name, and the names that are made of it, like `emails.dead`. A queue may be called `a`."""
    if queue is None:
        return text
    return re.sub(
        rf"(?:(?<=\bin )|(?<=\binto )|(?<=\bWhile )|(?=\S+\.\w))(?<![\w.-]){re.escape(queue)}(?![\w-])", "NAME", text
    )


def _listed(names: list[str]) -> str:
    if not names:
        return ""
    more = len(names) - NAMED
    return f"{', '.join(names[:NAMED])}{f' and {more} more' if more > 0 else ''}: "
