"""From topology files to a `Topology`. Every wrong input is one `TopologyError`: file, line, path, problem, hint. All
mistakes of the files come together, in the order of the lines.

read -> merged -> resolved -> validated -> checked
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from amqptasks.errors import TopologyError
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.routing import Route
from amqptasks.topology.delays import LONGEST
from amqptasks.topology.model.file import VERSION, FilePart
from amqptasks.topology.model.queue import QueuePart
from amqptasks.topology.read.check import Given, check
from amqptasks.topology.read.document import Document, Where, read
from amqptasks.topology.read.merging import merged
from amqptasks.topology.read.templates import resolved
from amqptasks.topology.read.validation import in_order, kind_of, together, validated
from amqptasks.topology.read.variables import HALF, HALF_HINT, filled, is_text
from amqptasks.topology.topology import DEFAULT_QUEUE, QueueSettings, Topology, default

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
    documents: list[Document] = []
    unread: list[TopologyError] = []
    for path in paths:
        try:
            documents.append(read(Path(path), variables))
        except TopologyError as error:
            unread.append(error)
    if unread:
        raise together([*unread, *(error for document in documents for error in document.errors)])
    return _topology(documents)


def from_mapping(mapping: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Topology:
    """The same from a mapping of the shape that a file has. Raises `TopologyError`, without file and line."""
    variables = os.environ if environment is None else environment
    return _topology([Document(_filled(mapping, variables))])


def _topology(documents: list[Document]) -> Topology:
    document = resolved(merged([_with_version(document) for document in documents]))
    part = validated(document)
    topology = _stated(part, document)
    known = [error.path or "" for error in document.errors]
    for error in check(topology, dict(_keys(part)), document.error):
        path = error.path or ""
        if not any(path.startswith(one) or one.startswith(path) for one in known):  # a mistake may lead to others
            document.errors.append(error)
    if document.errors:
        raise together(in_order(document))
    if not (topology.queues or topology.exchanges or topology.policies or topology.users):
        raise documents[0].error("declares nothing", hint="Add `queues:` with at least one name")
    return topology


def _stated(part: FilePart, document: Document) -> Topology:
    queues = _queues(part.queues)
    given, vhost, users = part.default_queue, part.vhost, part.users
    return Topology(
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
        old_words=document.old_words,
    )


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
    """Whether a queue of that name is meant as the default queue: one that is exact belongs to somebody else, and
    nothing can be sent to a stream by its name."""
    if queue is None or queue.type == "stream":
        return False
    return not queue.exact or any(one.exchange == QUEUES_EXCHANGE for one in queue.bindings)


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


def _with_version(document: Document) -> Document:
    """Adds a version where one is missing, and an error, so that what follows is looked at, too. Raises `TopologyError`
    where nothing can be looked at."""
    value = document.value
    if not isinstance(value, dict):
        raise document.error(f"must be a mapping, not {kind_of(value)}", hint=_BEGIN)
    if "version" not in value:
        document.errors.append(document.error("`version` is missing", hint=_BEGIN))
        value["version"] = VERSION
    if value["version"] != VERSION or isinstance(value["version"], bool):
        hint = "Write `version: 1`; a file of a newer format needs a newer release of amqptasks"
        raise document.error("is no version that this release reads", ("version",), hint)
    return document


def _filled(value: object, environment: Mapping[str, str]) -> object:
    if isinstance(value, str):
        try:
            text = filled(value, environment)
        except LookupError as error:
            raise TopologyError(str(error.args[0])) from None
        if not is_text(text):
            raise TopologyError(f"{value.encode(errors='backslashreplace').decode()} {HALF}", hint=HALF_HINT)
        return text
    if isinstance(value, Mapping):
        return {
            _filled(name, environment) if isinstance(name, str) else name: _filled(part, environment)
            for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_filled(item, environment) for item in value]
    return value
