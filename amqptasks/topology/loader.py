"""From topology files to a `Topology`. Every wrong input is one `TopologyError`: file, line, path, problem, hint."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from amqptasks.entities import Policy
from amqptasks.errors import TopologyError
from amqptasks.routing import Route
from amqptasks.topology.check import Given, check
from amqptasks.topology.delays import LONGEST
from amqptasks.topology.document import Document, Where, read, substitute
from amqptasks.topology.model.file import VERSION, FilePart
from amqptasks.topology.model.part import Wrong
from amqptasks.topology.model.queue import QueuePart
from amqptasks.topology.topology import DEFAULT_QUEUE, QueueSettings, Topology, default

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["default", "from_mapping", "load"]

#: Characters that make a route's name a glob.
_GLOB = re.compile(r"[*?\[]")

#: What has names, with the word for one of it.
SECTIONS = {
    "exchanges": "exchange",
    "queues": "queue",
    "routes": "route",
    "policies": "policy",
    "operator_policies": "operator policy",
    "users": "user",
}

#: The start of a good file, for those that have none.
_BEGIN = "Begin the file with `version: 1`"


def load(*paths: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Topology:
    """Read and merge topology files; a reference may lead from one file into another.

    `environment` fills `${NAME}` and `${NAME:-default}`; by default the process's own. Raises `TopologyError`.
    """
    if not paths:
        raise TopologyError("no topology file is given")
    variables = os.environ if environment is None else environment
    return _topology([read(Path(path), variables) for path in paths])


def from_mapping(mapping: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Topology:
    """The same from a mapping of the shape that a file has. Raises `TopologyError`, without file and line."""
    variables = os.environ if environment is None else environment
    return _topology([Document(_filled(mapping, variables))])


def _topology(documents: list[Document]) -> Topology:
    parts = [(_validated(document), document) for document in documents]
    origin: dict[Where, Document] = {}
    for part, document in parts:
        for where in _objects(part):
            if where in origin:
                raise _twice(where, document, origin[where])
            origin[where] = document
    queues = _queues({name: queue for part, _ in parts for name, queue in part.queues.items()})
    vhost = next((part.vhost for part, _ in parts if part.vhost is not None), None)
    users = {name: user for part, _ in parts for name, user in part.users.items()}
    given = next((part.default_queue for part, _ in parts if part.default_queue is not None), None)
    longest = next((part.delays.max for part, _ in parts if part.delays is not None), LONGEST)
    topology = Topology(
        queues=queues,
        exchanges={name: exchange.settings(name) for part, _ in parts for name, exchange in part.exchanges.items()},
        routes=tuple(_routes(part for part, _ in parts)),
        default_queue=DEFAULT_QUEUE if given is None and DEFAULT_QUEUE in queues else given,
        vhost=vhost.name if vhost else None,
        longest_delay=min(longest, LONGEST),
        virtual_host=vhost.virtual_host() if vhost else None,
        policies=tuple(_policies(part for part, _ in parts)),
        users=tuple(user.user(name) for name, user in users.items()),
        roles={name: user.role for name, user in users.items() if user.role is not None},
        permissions=tuple(rights for name, user in users.items() if (rights := user.permission(name)) is not None),
        topic_permissions=tuple(rights for name, user in users.items() for rights in user.topics(name)),
        limits=(vhost.bounds() if vhost else ())
        + tuple(limit for name, user in users.items() for limit in user.bounds(name)),
    )

    def fail(problem: str, where: Where, hint: str | None) -> TopologyError:
        return origin.get(where[:2], origin.get(where[:1], documents[0])).error(problem, where, hint)

    check(topology, {where: given for part, _ in parts for where, given in _without_key(part)}, fail)
    if not queues and not topology.exchanges and not topology.policies and not topology.users:
        raise documents[0].error("declares nothing", hint="Add `queues:` with at least one name")
    return topology


def _objects(part: FilePart) -> Iterable[Where]:
    """What a file says that no second file may say again."""
    for section in SECTIONS:
        for name in getattr(part, section):
            yield (section, name)
    for key in ("vhost", "default_queue", "delays"):
        if getattr(part, key) is not None:
            yield (key,)


def _twice(where: Where, second: Document, first: Document) -> TopologyError:
    noun = f"the {SECTIONS[str(where[0])]}" if where[0] in SECTIONS else "the key"
    hint = f"It is there already: {first.file}:{first.lines.get(where)}. Keep one of them"
    return second.error(f"{noun} `{where[-1]}` is declared twice", where, hint)


def _without_key(part: FilePart) -> Iterable[tuple[Where, Given]]:
    for section, owners in (("exchanges", part.exchanges), ("queues", part.queues)):
        for name, owner in owners.items():
            for index, binding in enumerate(owner.bindings):
                if binding.routing_key is None:
                    yield (section, name, "bindings", index), "nothing" if binding.weight is None else "weight"


def _queues(parts: Mapping[str, QueuePart]) -> dict[str, QueueSettings]:
    """A queue that others name as their dead-letter queue is one itself: unless it says otherwise, it has no
    dead-letter queue of its own, and no delivery limit, because looking at a message counts as a delivery."""
    found = {name: part.settings(name) for name, part in parts.items()}
    for shared in {settings.dead_letters.queue for settings in found.values() if settings.dead_letters}:
        part = parts.get(shared or "")
        if shared is None or part is None:
            continue
        if "dead_letter" not in part.model_fields_set:
            found[shared] = replace(found[shared], dead_letters=None)
        if "delivery_limit" not in part.model_fields_set:
            found[shared] = replace(found[shared], delivery_limit=0)
    return found


def _policies(parts: Iterable[FilePart]) -> Iterable[Policy]:
    for part in parts:
        for name, policy in (*part.policies.items(), *part.operator_policies.items()):
            yield policy.policy(name)


def _routes(parts: Iterable[FilePart]) -> Iterable[Route]:
    for part in parts:
        for text, route in part.routes.items():
            pattern, kind = text, "exact"
            if len(text) > 1 and text[0] == text[-1] == "/":
                pattern, kind = text[1:-1], "regex"
            elif _GLOB.search(text):
                kind = "glob"
            yield Route(pattern, kind, route.exchange, route.routing_key, route.queue, route.priority)  # type: ignore[arg-type]


def _validated(document: Document) -> FilePart:
    value = document.value
    if not isinstance(value, dict):
        raise document.error(f"must be a mapping, not {_kind(value)}", hint=_BEGIN)
    if "version" not in value:
        raise document.error("`version` is missing", hint=_BEGIN)
    if value["version"] != VERSION or isinstance(value["version"], bool):
        hint = "Write `version: 1`; a file of a newer format needs a newer release of amqptasks"
        raise document.error("is no version that this release reads", ("version",), hint)
    try:
        return FilePart.model_validate(value)
    except ValidationError as error:
        found = [_explained(detail, document) for detail in error.errors(include_url=False)]
        raise min(found, key=lambda one: one.line or 0) from None


def _explained(detail: ErrorDetails, document: Document) -> TopologyError:
    where: Where = tuple(part for part in detail["loc"] if part != "[key]")
    kind, context = detail["type"], detail.get("ctx", {})
    wrong = context.get("error")
    if isinstance(wrong, Wrong):
        where = (*where, *wrong.inside)
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
        hint = f"did you mean `{close[0]}`?" if close else f"Write `{names[0]}`" if len(names) == 1 else None
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
    return document.error(f"must be {wanted}, not {_kind(value)}", where, _mended(wanted, value, written))


def _mended(wanted: str, value: object, written: str | None) -> str | None:
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


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "nothing"
    names = {str: "text", int: "a whole number", float: "a fraction", list: "a list", dict: "a mapping"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)


def _filled(value: object, environment: Mapping[str, str]) -> object:
    if isinstance(value, str):
        try:
            return substitute(value, environment)
        except LookupError as error:
            raise TopologyError(str(error.args[0])) from None
    if isinstance(value, Mapping):
        return {
            _filled(name, environment) if isinstance(name, str) else name: _filled(part, environment)
            for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_filled(item, environment) for item in value]
    return value
