"""A topology file, read: plain values, and for each the line it stands on.

Reads YAML by its node tree, because the values alone no longer know their lines, and a plain reader lets the second
of two equal keys win.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from amqptasks.errors import TopologyError
from amqptasks.topology.old_words import OldWord, old_word
from amqptasks.topology.read.nodes import nodes
from amqptasks.topology.read.variables import HALF, HALF_HINT, TAG, filled, is_text, plain_value, substitute
from amqptasks.untrusted.bounds import MOST_TOPOLOGY_VALUES

#: Where a value stands: keys and list indices from the top.
Where = tuple[str | int, ...]

#: A file and a line in it, counted from 1.
Place = tuple[str, int]

#: Single values that have an inside: what is laid over them replaces them.
WHOLE = frozenset({"retry"})

#: More values than any topology has; aliases of aliases can make a small file explode.
LARGEST = MOST_TOPOLOGY_VALUES

#: The key below which values have no type of their own: RabbitMQ, or whoever publishes, decides what they mean.
UNTYPED = "arguments"


class Broken:
    """Stands for a value that could not be read, about which there is an error already."""


@dataclass(frozen=True)
class Document:
    """What one file says, or several together; `places` is empty for a mapping that came from no file.

    `written` holds the text of each scalar as it stands in the file, before variables were filled in: messages show
    this, never what a variable holds. `files` has each file with its number in the order they were given. `errors` are
    the mistakes found so far, `old_words` the values of `arguments` that a reader of YAML 1.2 would read otherwise.
    """

    value: object
    places: dict[Where, Place] = field(default_factory=dict)
    written: dict[Where, str] = field(default_factory=dict)
    file: str | None = None
    files: dict[str | None, int] = field(default_factory=dict)
    errors: list[TopologyError] = field(default_factory=list)
    old_words: dict[Where, OldWord] = field(default_factory=dict)

    @property
    def mapping(self) -> dict[str, object]:
        """The value, which must be known to be a mapping."""
        assert isinstance(self.value, dict)
        return self.value

    def error(self, problem: str, where: Where = (), hint: str | None = None) -> TopologyError:
        """An error about the value at `where`, or about the nearest thing around it that has a place."""
        found = (self.places.get(where[:length]) for length in range(len(where), -1, -1))
        file, line = next((place for place in found if place is not None), (self.file, None))
        return TopologyError(problem, file=file, line=line, path=path(where) or None, hint=hint)


def copied(
    value: object,
    source: Document,
    at: Where,
    into: Document,
    where: Where,
) -> None:
    """The places and texts of `value`, which stands at `at` in `source`, for `where` in `into`."""
    place = source.places.get(at)
    if place is not None:
        into.places[where] = place
    text = source.written.get(at)
    if text is None:
        into.written.pop(where, None)
    else:
        into.written[where] = text
    if isinstance(value, dict):
        for key, one in value.items():
            copied(one, source, (*at, key), into, (*where, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            copied(one, source, (*at, index), into, (*where, index))


def overlaid(
    target: dict[str, object], key: str, value: object, source: Document, at: Where, into: Document, where: Where
) -> None:
    """`value`, which stands at `at` in `source`, laid over what `target` has under `key`, which stands at `where` in
    `into`: mappings key by key, all else replaced; nothing (null) takes away what is there."""
    there = target.get(key)
    if value is None and key in target:
        del target[key]
    elif isinstance(there, dict) and isinstance(value, dict) and key not in WHOLE:
        changed = dict(there)
        for name, one in value.items():
            overlaid(changed, name, one, source, (*at, name), into, (*where, name))
        target[key] = changed
    else:
        copied(value, source, at, into, where)
        target[key] = value


def path(where: Where) -> str:
    """`queues.emails.retry.delays[0]`; a key with other characters than those of a word is quoted."""
    text = ""
    for part in where:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]+", part) else f'"{part}"')
    return text


def read(file: str | os.PathLike[str], environment: Mapping[str, str]) -> Document:
    """Raises `TopologyError` for a file that cannot be read or is no YAML, and for a variable that is not set."""
    name = os.fspath(file)
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise TopologyError(f"cannot be read: {error.strerror or error}", file=name) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TopologyError("is not UTF-8 text", file=name, line=line, hint="Save it as UTF-8") from None
    try:
        found = nodes(text)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, name, text) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise TopologyError(
            "holds a character that YAML does not allow", file=name, line=line, hint=_CHARACTER
        ) from None
    except RecursionError:
        raise TopologyError("is nested too deeply", file=name, hint="Is a bracket not closed?") from None
    if not found or found[0] is None:
        raise TopologyError("is empty", file=name, hint="Begin with `version: 1`, then `queues:`")
    if len(found) > 1:
        line = found[1].start_mark.line + 1
        raise TopologyError("holds a second document", file=name, line=line, hint="Remove `---`, or make it two files")
    return _Reader(name, environment).document(found[0])


class _Reader:
    """From nodes to values, of one file."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment
        self._places: dict[Where, Place] = {}
        self._written: dict[Where, str] = {}
        self._open: set[int] = set()
        self._loader = yaml.SafeLoader("")
        self._errors: list[TopologyError] = []
        self._old_words: dict[Where, OldWord] = {}
        self._visits = 0

    def document(self, root: yaml.Node) -> Document:
        value = self._value(root, ())
        return Document(value, self._places, self._written, self._file, errors=self._errors, old_words=self._old_words)

    def _value(self, node: yaml.Node, where: Where) -> object:
        self._places.setdefault(where, (self._file, node.start_mark.line + 1))
        self._count(node, where)
        if not node.tag.startswith(TAG):
            raise self._error(node, where, f"the tag `{node.tag}` means nothing here", "Remove it")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, where)
        if id(node) in self._open:
            raise self._error(node, where, "an alias refers to what it stands in", _ALIAS_HINT)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*where, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, where)
        finally:
            self._open.discard(id(node))

    def _count(self, node: yaml.Node, where: Where) -> None:
        """Each visit counts: what is merged over what is there (`<<`) makes no more values, but takes as long."""
        self._visits += 1
        if self._visits > LARGEST:
            raise self._error(node, where, "the file holds too many values", "Aliases of aliases multiply")

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: list[yaml.Node] = []
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{TAG}merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            key = self._key(key_node, where)
            if key in seen:
                noun = {"queues": "queues", "exchanges": "exchanges"}.get(str(where[0])) if len(where) == 1 else None
                problem = f"two {noun} are named `{key}`" if noun else f"the key `{key}` is there twice"
                self._errors.append(self._error(key_node, (*where, key), problem, f"The first is on line {seen[key]}"))
            seen[key] = line
            self._places[(*where, key)] = (self._file, line)
            found[key] = self._value(value_node, (*where, key))
        for source in merged:  # explicit keys win, then the first that has the key (https://yaml.org/type/merge.html)
            if not isinstance(source, yaml.MappingNode):
                raise self._error(
                    source,
                    where,
                    "`<<` must be given a mapping",
                    "Write `<<: *name`, where `&name` stands before a mapping",
                )
            if id(source) in self._open:
                raise self._error(source, where, "an alias refers to what it stands in", _ALIAS_HINT)
            self._open.add(id(source))
            self._count(source, where)
            found = {**self._mapping(source, where), **found}
            self._open.discard(id(source))
        return found

    def _key(self, node: yaml.Node, where: Where) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, where, "a key must be text", "Write a name before the colon")
        if node.tag != f"{TAG}str":
            self._errors.append(
                self._error(
                    node, where, f"the key `{node.value}` is read as {_kind(node.tag)}", f'Quote it: "{node.value}"'
                )
            )
            return str(node.value)
        try:
            key = substitute(node.value, self._environment)
        except LookupError as error:
            self._errors.append(self._error(node, where, str(error.args[0]), _VARIABLE_HINT))
            return str(node.value)
        if not is_text(key):
            self._errors.append(self._error(node, where, f"a key {HALF}", HALF_HINT))
            return key.encode(errors="backslashreplace").decode()
        return key

    def _scalar(self, node: yaml.ScalarNode, where: Where) -> object:
        value = self._read(node, where)
        if isinstance(value, str) and not is_text(value):
            self._errors.append(self._error(node, where, HALF, HALF_HINT))
            return Broken()
        return value

    def _read(self, node: yaml.ScalarNode, where: Where) -> object:
        self._written[where] = node.value
        if node.tag == f"{TAG}timestamp":  # a date is text to us
            return node.value
        if node.tag != f"{TAG}str" or "${" not in node.value:
            value = self._constructed(node, where)
            if node.style is None and UNTYPED in where:
                self._note_old_word(node, value, where)
            return value
        quoted = node.style is not None  # or a block
        try:
            if quoted:
                return filled(node.value, self._environment)
            return plain_value(substitute(node.value, self._environment, may_be_empty=False))
        except LookupError as error:
            hint = _EMPTY_HINT if "empty" in str(error.args[0]) else _VARIABLE_HINT
            self._errors.append(self._error(node, where, str(error.args[0]), hint))
            return Broken()

    def _constructed(self, node: yaml.ScalarNode, where: Where) -> object:
        try:
            value: Hashable = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._errors.append(self._error(node, where, f"cannot be read as {_kind(node.tag)}"))
            return Broken()
        return value

    def _note_old_word(self, node: yaml.ScalarNode, value: object, where: Where) -> None:
        word = old_word(node.value, value)
        if word is not None:
            self._old_words[where] = replace(word, file=self._file, line=node.start_mark.line + 1)

    def _error(self, node: yaml.Node, where: Where, problem: str, hint: str | None = None) -> TopologyError:
        line = node.start_mark.line + 1
        return TopologyError(problem, file=self._file, line=line, path=path(where) or None, hint=hint)


_CHARACTER = "Remove it: an editor that shows control characters finds it"
_ALIAS_HINT = "Put the anchor (`&name`) on something outside of it"
_EMPTY_HINT = "Set it; where empty is meant, write `${NAME:-}`"
_VARIABLE_HINT = "Set it, or give a default: `${NAME:-default}`; a literal `${` is written `$${`"


def _kind(tag: str) -> str:
    names = {
        "bool": "true or false",
        "int": "a number",
        "float": "a number",
        "null": "nothing",
        "binary": "binary data",
    }
    return names.get(tag.removeprefix(TAG), tag.removeprefix(TAG))


def _syntax(error: yaml.MarkedYAMLError, file: str, text: str) -> TopologyError:
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    near = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    problem = str(error.problem or error.context)
    hint = None
    if "\\t" in problem:
        problem, hint = "a tab cannot indent", "YAML wants spaces"
    elif "'{'" in problem or "'}'" in problem:
        hint = 'Inside { } and [ ] a variable must be quoted: "${NAME}"'
    elif "mapping values are not allowed" in problem:
        hint = "Is a line above indented differently, or a text with a colon not quoted?"
    elif "alias" in problem or ("alphabetic or numeric character" in problem and "*" in near):
        hint = 'A text that begins with `*` must be quoted: "*.error"'
    elif "cannot start any token" in problem:
        hint = "A text that begins with `@`, `%` or a back quote must be quoted"
    elif "block end" in problem:
        hint = "Is the line indented as its neighbours are?"
    return TopologyError(f"is no YAML: {problem}", file=file, line=mark.line + 1 if mark else None, hint=hint)
