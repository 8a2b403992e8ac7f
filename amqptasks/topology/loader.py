"""From topology files to a `Topology`. Every wrong input is one `TopologyError`: file, line, path, problem, hint.

read -> merged -> resolved -> validated -> checked
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from amqptasks.errors import TopologyError
from amqptasks.routing import QUEUES_EXCHANGE, Route
from amqptasks.topology.check import Given, check
from amqptasks.topology.delays import LONGEST
from amqptasks.topology.document import Document, Where, read, substitute
from amqptasks.topology.merging import merged
from amqptasks.topology.model.file import VERSION, FilePart
from amqptasks.topology.model.part import Wrong
from amqptasks.topology.model.queue import QueuePart
from amqptasks.topology.templates import resolved
from amqptasks.topology.topology import DEFAULT_QUEUE, QueueSettings, Topology, default

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["default", "from_mapping", "load"]

#: Characters that make a route's name a glob.
_GLOB = re.compile(r"[*?\[]")

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
    for document in documents:
        _check_version(document)
    document = resolved(merged(documents))
    part = _validated(document)
    queues = _queues(part.queues)
    given, vhost, users = part.default_queue, part.vhost, part.users
    topology = Topology(
        queues=queues,
        exchanges={name: exchange.settings(name) for name, exchange in part.exchanges.items()},
        routes=tuple(_routes(part)),
        default_queue=DEFAULT_QUEUE if given is None and _takes_the_rest(queues.get(DEFAULT_QUEUE)) else given,
        vhost=vhost.name if vhost else None,
        longest_delay=min(part.delays.max, LONGEST) if part.delays else LONGEST,
        virtual_host=vhost.virtual_host() if vhost else None,
        policies=tuple(
            policy.policy(name) for name, policy in (*part.policies.items(), *part.operator_policies.items())
        ),
        users=tuple(user.user(name) for name, user in users.items()),
        roles={name: user.role for name, user in users.items() if user.role is not None},
        permissions=tuple(rights for name, user in users.items() if (rights := user.permission(name)) is not None),
        topic_permissions=tuple(rights for name, user in users.items() for rights in user.topics(name)),
        limits=(vhost.bounds() if vhost else ())
        + tuple(limit for name, user in users.items() for limit in user.bounds(name)),
    )
    check(topology, dict(_keys(part)), document.error)
    if not (queues or topology.exchanges or topology.policies or users):
        raise documents[0].error("declares nothing", hint="Add `queues:` with at least one name")
    return topology


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


def _takes_the_rest(queue: QueueSettings | None) -> bool:
    """Whether a queue of that name is meant as the default queue: one that is exact belongs to somebody else."""
    return queue is not None and (not queue.exact or any(one.exchange == QUEUES_EXCHANGE for one in queue.bindings))


def _keys(part: FilePart) -> Iterable[tuple[Where, Given]]:
    """The bindings that give no routing key, or a share instead."""
    for section, owners in (("exchanges", part.exchanges), ("queues", part.queues)):
        for name, owner in owners.items():
            for index, binding in enumerate(owner.bindings):
                if binding.routing_key is None:
                    yield (section, name, "bindings", index), "nothing" if binding.weight is None else "weight"


def _routes(part: FilePart) -> Iterable[Route]:
    for text, route in part.routes.items():
        pattern, kind = text, "exact"
        if len(text) > 1 and text[0] == text[-1] == "/":
            pattern, kind = text[1:-1], "regex"
        elif _GLOB.search(text):
            kind = "glob"
        yield Route(pattern, kind, route.exchange, route.routing_key, route.queue, route.priority)  # type: ignore[arg-type]


def _check_version(document: Document) -> None:
    value = document.value
    if not isinstance(value, dict):
        raise document.error(f"must be a mapping, not {_kind(value)}", hint=_BEGIN)
    if "version" not in value:
        raise document.error("`version` is missing", hint=_BEGIN)
    if value["version"] != VERSION or isinstance(value["version"], bool):
        hint = "Write `version: 1`; a file of a newer format needs a newer release of amqptasks"
        raise document.error("is no version that this release reads", ("version",), hint)


def _validated(document: Document) -> FilePart:
    try:
        return FilePart.model_validate(document.value)
    except ValidationError as error:
        found = [_explained(detail, document) for detail in error.errors(include_url=False)]
        raise min(found, key=lambda one: (document.files.get(one.file, 0), one.line or 0)) from None


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
