"""Dead letters for people and for programs: a table, a page, a line of JSON, a progress bar."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import click

from amqptasks.cli.support.tables import print_table
from amqptasks.dead_letters.dead_letter import PUBLISHED, DeadLetter
from amqptasks.errors import BrokerError
from amqptasks.messages.own_headers import TRACEBACK
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request
from amqptasks.untrusted.masks import PLAIN, Mask
from amqptasks.untrusted.numbers import counted
from amqptasks.untrusted.printable import printable, printable_lines

#: Levels of nesting that are shown where JSON's own encoder gives up: more than anybody reads. The body has all.
DEEPEST = 100

#: Bytes of a body that is no task, on a page for people. `--json` has all.
EXCERPT = 2000

#: What stands for the worker on a page: of a letter that the broker brought, and of one that somebody published.
NOBODY = ("none: the broker itself dead-lettered it", "none: it was published to this queue")


def table(letters: Iterable[DeadLetter], mask: Mask | None = PLAIN) -> int:
    """Print one row a letter, without secrets, but where `mask` is None; how many."""
    rows = [
        (
            letter.id,
            letter.task or "-",
            letter.reason,
            _masked(_exception(letter), mask),
            "-" if letter.attempts is None else str(letter.attempts),
            moment(letter.last_time) or "-",
            letter.worker or ("-" if letter.reason == PUBLISHED else "(the broker)"),
        )
        for letter in letters
    ]
    if rows:
        print_table(("id", "task", "reason", "exception", "attempts", "died", "worker"), rows, right=("attempts",))
    return len(rows)


def in_full(letter: DeadLetter, mask: Mask | None = PLAIN) -> str:
    """A page about one letter, without secrets; with them where `mask` is None."""
    attempts = None if letter.attempts is None else str(letter.attempts)
    facts = {
        "id": letter.id,
        "task": letter.task,
        "reason": letter.reason,
        "detail": letter.detail,
        "exception": letter.exception,
        "message": letter.message,
        "attempts": attempts,
        "came from": letter.queue,
        "first seen": moment(letter.first_time),
        "died": moment(letter.last_time),
        "worker": letter.worker or NOBODY[letter.reason == PUBLISHED],
    }
    lines = [
        f"{name:<11} {printable_lines(_masked(value, mask), ' ' * 12)}"
        for name, value in facts.items()
        if value is not None
    ]
    if isinstance(letter.content, Request):
        lines += [
            f"args        {printable(_dumped(_masked(letter.content.args, mask)))}",
            f"kwargs      {printable(_dumped(_masked(letter.content.kwargs, mask)))}",
        ]
    else:
        lines += [f"no task     {printable(_masked(letter.content.detail, mask))}"]
        lines += [f"body        {printable(_excerpt(letter.delivery.body, mask))}"]
    lines += ["", "headers"]
    lines += [
        f"  {printable(name)}: {printable(_dumped(value))}"
        for name, value in _masked(letter.delivery.properties.headers or {}, mask).items()
        if name != TRACEBACK
    ]
    if letter.traceback:
        lines += ["", printable_lines(_masked(letter.traceback, mask).rstrip(), "")]
    return "\n".join(lines)


def as_json(letter: DeadLetter, mask: Mask | None = PLAIN) -> str:
    """Everything, on one line. A body that is no UTF-8 is in `body_base64`. Without secrets, but where `mask` is None:
    a body that has some, or cannot be looked through, is left out, and `masked` is true."""
    delivery, properties = letter.delivery, letter.delivery.properties
    found: dict[str, Any] = {
        name: getattr(letter, name)
        for name in (
            "id", "task", "reason", "detail", "exception", "message", "traceback", "attempts", "queue", "worker",
        )
    }  # fmt: skip
    found |= {"first_time": moment(letter.first_time), "last_time": moment(letter.last_time)}
    if isinstance(letter.content, Request):
        found |= {"args": letter.content.args, "kwargs": letter.content.kwargs}
    else:
        found["malformed"] = f"{letter.content.reason}: {letter.content.detail}"
    found["headers"] = properties.headers or {}
    found["properties"] = {
        name: getattr(properties, name)
        for name in properties.__dataclass_fields__
        if name != "headers" and getattr(properties, name) is not None
    }
    shown = _masked(found, mask)
    hidden = mask is not None and _has_secrets(letter, mask)
    shown["masked"] = hidden or shown != found
    if hidden:
        return _dumped(shown)
    try:
        shown["body"] = delivery.body.decode()
    except UnicodeDecodeError:
        shown["body_base64"] = base64.b64encode(delivery.body).decode()
    return _dumped(shown)


def outcome(queue: str, count: int, stayed: Mapping[str, tuple[int, str]], missing: Collection[str]) -> str:
    """What became of the letters of a queue, on one line; `stayed` has by queue how many it did not take, and why."""
    refused = {name: {"count": many, "error": error} for name, (many, error) in stayed.items()}
    return json.dumps({"queue": queue, "count": count, "refused": refused, "missing": sorted(missing)})


def number(count: int) -> str:
    return counted(count, "letter")


def moment(seconds: float | None) -> str | None:
    """In UTC, to the second."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"  # no time at all: somebody else's header


class Progress:
    """A bar on a terminal, silent elsewhere; counts in any case.

    `total` is None where nobody knows it yet; `missing` are those of the `wanted` ids that have not come.
    """

    def __init__(self, verb: str, total: int | None, wanted: frozenset[str] = frozenset()) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn

        self.count = 0
        self.missing = set(wanted)
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(verb, total=total)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, letter: DeadLetter) -> None:
        self.count += 1
        self.missing.discard(letter.id)
        self._bar.advance(self._task)


@contextmanager
def told_at_the_end(progress: Progress, verb: str) -> Iterator[None]:
    """However it ends, say how far it came."""
    try:
        with progress:
            yield
    except (BrokerError, KeyboardInterrupt):
        click.echo(f"Interrupted: {number(progress.count)} {verb}, the others are where they were", err=True)
        raise


def _masked(value: Any, mask: Mask | None) -> Any:
    return value if mask is None else mask.masked(value)


def _excerpt(body: bytes, mask: Mask | None) -> str:
    cut = f" (the first {EXCERPT} of {len(body)} bytes)" if len(body) > EXCERPT else ""
    if mask is None:
        return f"{body[:EXCERPT]!r}{cut}"
    try:
        shown = mask.masked_text(body.decode())[:EXCERPT]
    except UnicodeDecodeError:
        return f"{len(body)} bytes that are no text, and may hold secrets: --unmasked shows them"
    return f"{shown.encode()!r}{cut}"


def _has_secrets(letter: DeadLetter, mask: Mask) -> bool:
    """Whether the body shows a value that `mask` hides. A body that is no text, or is compressed, may hold any."""
    content = letter.content
    if isinstance(content, Request):
        parts: list[Any] = [content.args, content.kwargs, content.callbacks, content.errbacks, content.chain]
        if any(mask.masked(part) != part for part in parts):
            return True
    try:
        text = letter.delivery.body.decode()
    except UnicodeDecodeError:
        return not isinstance(content, Request)  # a task's arguments are looked through; other bytes cannot be
    return not isinstance(content, Request) and mask.masked_text(text) != text


def _exception(letter: DeadLetter) -> str:
    if letter.exception is not None:
        text = f"{letter.exception.rpartition('.')[2]}: {letter.message or ''}"
    else:
        text = letter.detail or (letter.content.detail if isinstance(letter.content, Malformed) else "")
    return text.partition("\n")[0][:200] or "-"


def _dumped(value: object) -> str:
    """JSON on one line; what JSON has no word for as text."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=_text)
    except (RecursionError, ValueError):  # nested as deeply as a sender likes, or a value that holds itself
        text = json.dumps(_shallow(value), ensure_ascii=False, default=_text)
    return text.encode("utf-8", "replace").decode()  # lone surrogates are in nobody's encoding


def _shallow(value: object, levels: int = DEEPEST) -> object:
    """The same, with three dots for what is nested more deeply."""
    if isinstance(value, Mapping):
        return {str(key): _shallow(one, levels - 1) for key, one in value.items()} if levels else "..."
    if isinstance(value, list | tuple):
        return [_shallow(one, levels - 1) for one in value] if levels else "..."
    return value


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
