"""From the values of a topology file to the model, with a mistake for each value that cannot be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from amqptasks.errors import TopologyError
from amqptasks.topology.model.file import FilePart
from amqptasks.topology.model.part import Wrong
from amqptasks.topology.read.document import Broken, Document, Where
from amqptasks.topology.read.variables import Filled
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Times that wrong values are taken out to see what else is wrong. Each finds mistakes that others have hidden.
ROUNDS = 5

#: Mistakes that one message holds: a file of another format has thousands, and the first ones are enough.
MOST = 100


def validated(document: Document) -> FilePart:
    """The model of all that is right. Mistakes are added to the document's `errors`, and what is wrong is left out, so
    that the rest can be looked at. Raises `TopologyError`, with all mistakes, where too little is left for that."""
    value = document.value
    earlier: list[TopologyError] = []
    for _ in range(ROUNDS):
        try:
            return FilePart.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_url=False)
        value = deepcopy(value)
        before = len(document.errors)
        left_out = [_mended(value, detail, document, earlier) for detail in details]
        earlier += document.errors[before:]
        if not all(left_out):
            break
    raise together(in_order(document))


def in_order(document: Document) -> list[TopologyError]:
    """The mistakes file by file, line by line."""
    return sorted(document.errors, key=lambda one: (document.files.get(one.file, 0), one.line or 0))


def together(errors: Sequence[TopologyError]) -> TopologyError:
    """One error of many, the first of which it begins with."""
    first, *others = errors
    if len(others) >= MOST:
        others = [*others[: MOST - 1], TopologyError(counted(len(errors) - MOST, "more mistake"))]
    return TopologyError(
        first.problem, file=first.file, line=first.line, path=first.path, hint=first.hint, others=others
    )


def _mended(value: Any, detail: ErrorDetails, document: Document, earlier: list[TopologyError]) -> bool:
    """Read a variable as what is wanted; else note the mistake, and take the wrong value out. False where the value
    cannot be left out without taking others along."""
    where, given = _where(detail), detail["input"]
    if isinstance(given, Filled) and detail["type"] in _READ_FROM_TEXT and type(given.value) is not str:
        _container(value, where)[where[-1]] = given.value
        return True
    if not isinstance(given, Broken):
        _note(_explained(detail, document), document, earlier)
    if detail["type"] == "missing" or not where or any(isinstance(part, int) for part in where):
        return False
    if len(where) < _DEEPEST_NAMES and where[0] in _NAMED:
        return False  # a whole queue or exchange, which others may name
    container = _container(value, where)
    if not isinstance(container, dict) or where[-1] not in container:
        return False
    del container[where[-1]]
    return True


def _note(error: TopologyError, document: Document, earlier: list[TopologyError]) -> None:
    """Unless it follows from another mistake: what is around a wrong value, and is wrong without it; what is beside one
    that was left out of an `earlier` round; or what stands in one place of the file and was written out to several, as
    a template is."""
    path = error.path or ""
    for other in document.errors:
        if (other.path or "").rpartition(".")[0].startswith(path) and other.path != path:
            return
        if (other.file, other.line, other.problem) == (error.file, error.line, error.problem) and error.line:
            return
    for other in earlier:
        around = (other.path or "").rpartition(".")[0]
        if around and path.startswith(f"{around}.") and not other.problem.startswith("unknown key"):
            return
    document.errors.append(error)


#: pydantic's types of error for a text where something else is wanted, which a variable may hold.
_READ_FROM_TEXT = frozenset({"int_type", "bool_type", "float_type", "literal_error", "none_required"})

#: Sections whose entries others refer to, and how deep a key of an entry stands: `queues.emails.max_length`.
_NAMED = frozenset({"queues", "exchanges", "templates", "users"})
_DEEPEST_NAMES = 3


def _container(value: Any, where: Where) -> Any:
    """What holds the value at `where`; None where nothing does."""
    for part in where[:-1]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _where(detail: ErrorDetails) -> Where:
    where: Where = tuple(part for part in detail["loc"] if part != "[key]")
    wrong = detail.get("ctx", {}).get("error")
    return (*where, *wrong.inside) if isinstance(wrong, Wrong) else where


def _explained(detail: ErrorDetails, document: Document) -> TopologyError:
    where = _where(detail)
    kind, context = detail["type"], detail.get("ctx", {})
    wrong = context.get("error")
    if isinstance(wrong, Wrong):
        written = document.written.get(where)
        shown = f"`{written}` {wrong.problem}" if written is not None and wrong.problem.startswith("is ") else None
        return document.error(shown or wrong.problem, where, wrong.hint)
    if kind == "missing":
        return document.error(f"`{where[-1]}` is missing", where[:-1], f"Add `{where[-1]}:`")
    value, written = detail["input"], document.written.get(where)
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'|\b(\d+)\b", str(context.get("expected")))
        names = [text or number for text, number in allowed]
        close = get_close_matches(written or "", names, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"Write `{names[0]}`{' or another' if names[1:] else ''}"
        return document.error(f"must be {'one of ' if len(names) > 1 else ''}{', '.join(names)}", where, hint)
    if kind in ("greater_than_equal", "less_than_equal"):
        least = "ge" in context
        bound = f"at least {context['ge']}" if least else f"at most {context['le']}"
        number = context["ge" if least else "le"]
        return document.error(f"must be {bound}", where, f"Write {number} or {'more' if least else 'less'}")
    if kind in ("too_short", "string_too_short"):
        return document.error("must not be empty", where, "Write something there, or remove the key")
    wanted = _WANTED.get(kind)
    if wanted is None:
        return document.error(str(detail["msg"]), where)
    return document.error(f"must be {wanted}, not {kind_of(value)}", where, _hint(wanted, value, written))


def _hint(wanted: str, value: object, written: str | None) -> str | None:
    """How to write it so that it is what is wanted. Shows what stands in the file, never what a variable held."""
    if value is None:
        return "Write something there, or remove the key"
    if wanted == "text":
        return f'Quote it: "{written}"' if written and not isinstance(value, list | dict) else None
    if wanted == "a list":
        return f"Write it in brackets: [{written}]" if written else "Begin each line with a hyphen"
    if wanted == "true or false":
        return "Write it without quotes" if isinstance(value, str) else "Write `true` or `false`"
    if wanted == "a whole number":
        bare = isinstance(value, str) and value.isdecimal()
        return "Remove the quotes" if bare else "Write digits only, for example 1000"
    return "Write `key: value` below it, indented, or {key: value} behind it"


#: pydantic's error types in our words.
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
}


def kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "nothing"
    names = {str: "text", int: "a whole number", float: "a fraction", list: "a list", dict: "a mapping"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)
