"""Several documents to one. The rule: files are read as one, and nothing may be declared twice; a file that says
`override: true` changes what the files before it declared, key by key, and declares nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable

from amqptasks.errors import TopologyError
from amqptasks.topology.read.document import Document, Place, Where, copied, overlaid
from amqptasks.topology.topology import did_you_mean

#: What has names, with the word for one of it.
SECTIONS = {
    "exchanges": "exchange",
    "queues": "queue",
    "routes": "route",
    "policies": "policy",
    "operator_policies": "operator policy",
    "users": "user",
    "templates": "template",
    "defaults": "default",
}

#: Sections whose entries are replaced as one: half a route is none.
_WHOLE = frozenset({"routes"})


def merged(documents: Iterable[Document]) -> Document:
    """One document of all. Each must be a mapping; its `version` is the caller's to check. What is declared twice, and
    a change to what is not declared, are among its `errors`."""
    into = Document({})
    for document in documents:
        override = document.mapping.get("override", False)
        if not isinstance(override, bool):
            into.errors.append(document.error("must be true or false", ("override",), "Write `override: true`"))
            override = document.mapping["override"] = False
        if override and not into.mapping:
            hint = "Name the file that it changes before it"
            into.errors.append(document.error("there is no earlier file to override", ("override",), hint))
            override = False
        into.errors.extend(document.errors)
        into.old_words.update(document.old_words)
        _add(into, document, override)
    return into


def _add(into: Document, document: Document, override: bool) -> None:
    into.files.setdefault(document.file, len(into.files))
    for key, value in document.mapping.items():
        where: Where = (key,)
        there = into.mapping.get(key)
        if key in ("version", "override"):
            copied(value, document, where, into, where)
            into.mapping[key] = value
        elif key in SECTIONS and isinstance(there, dict) and isinstance(value, dict):
            for name, one in value.items():
                _add_one(there, into, document, (key, name), one, override)
        elif key in into.mapping and not override:
            into.errors.append(_twice(where, document, into))
        elif key in SECTIONS and override and isinstance(value, dict):
            into.errors.extend(_unknown((key, name), document, {}) for name in value)
        else:
            _put(into.mapping, into, document, where, _named(key, value), override)


def _add_one(
    section: dict[str, object], into: Document, document: Document, where: Where, value: object, override: bool
) -> None:
    name = str(where[-1])
    if not override:
        if name in section:
            into.errors.append(_twice(where, document, into))
            return
        copied(value, document, where, into, where)
        section[name] = value
    elif name not in section:
        into.errors.append(_unknown(where, document, section))
    elif value is not None:  # a name with nothing behind it changes nothing
        _put(section, into, document, where, value, where[0] not in _WHOLE)


def _put(
    target: dict[str, object], into: Document, document: Document, where: Where, value: object, deep: bool
) -> None:
    key = str(where[-1])
    if deep:
        overlaid(target, key, value, document, where, into, where)
    else:
        copied(value, document, where, into, where)
        target[key] = value


def _named(key: str, value: object) -> object:
    """So that a name can be laid over a mapping, and the other way round."""
    return {"name": value} if key == "vhost" and isinstance(value, str) and value else value


def _twice(where: Where, second: Document, first: Document) -> TopologyError:
    noun = f"the {SECTIONS[str(where[0])]}" if len(where) > 1 else "the key"
    place: Place | None = first.places.get(where)
    there = "" if place is None else f"It is there already: {place[0]}:{place[1]}. "
    hint = f"{there}Keep one of them, or write `override: true` at the top of the file that changes the other"
    return second.error(f"{noun} `{where[-1]}` is declared twice", where, hint)


def _unknown(where: Where, document: Document, known: dict[str, object]) -> TopologyError:
    noun = SECTIONS[str(where[0])]
    hint = did_you_mean(str(where[-1]), known, f"A new {noun} belongs into a file without `override`")
    return document.error(f"no earlier file declares the {noun} `{where[-1]}`", where, hint)
