"""A mapping as YAML for people: short things in one line, comments where they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from amqptasks.topology.read.merging import SECTIONS
from amqptasks.untrusted.printable import printable

#: Columns of a line; what is longer is written below its key.
WIDTH = 120

#: Texts whose spelling is kept: the keys, and names of which there are several of each.
REMEMBERED = 1000

Comments = Mapping[tuple[str, ...], Iterable[str]]


def escaped(value: Any) -> Any:
    """So that no `${` in it is taken for a variable."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {escaped(key): escaped(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(one) for one in value]
    return value


def text(mapping: Mapping[str, Any], head: Iterable[str], comments: Comments) -> str:
    """The whole file; `head` are comments at its top, `comments` those before the value at a place."""
    lines = [f"# {printable(line)}".rstrip() for line in head]
    after_section = False
    for key, value in mapping.items():
        if lines and (after_section or key in SECTIONS):
            lines.append("")
        after_section = key in SECTIONS
        lines += _entry(key, value, 0, (key,), comments)
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, depth: int, where: tuple[str, ...], comments: Comments) -> Iterator[str]:
    indent = "  " * depth
    for comment in comments.get(where, ()):
        yield f"{indent}# {printable(comment)}"
    name = f"{indent}{_flow(escaped(key))}:"
    if value == {} and depth == 1:  # a name with nothing behind it takes all defaults
        yield name
        return
    parts = isinstance(value, Mapping | list) and bool(value)
    if not (parts and depth == 0 and key in SECTIONS):
        line = f"{name} {_flow(escaped(value))}"
        if len(line) <= WIDTH or not parts:
            yield line
            return
    yield name
    if isinstance(value, list):
        for one in value:
            yield f"{indent}  - {_flow(escaped(one))}"
        return
    for inner, one in value.items():
        yield from _entry(inner, one, depth + 1, (*where, inner), comments)


class _Dumper(yaml.SafeDumper):
    """Quotes a text with characters that nobody sees, and escapes them: YAML takes some for the end of a line, and an
    editor may lose others."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    odd = printable(text) != text or _SPACES.search(text) is not None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if odd else None)


_Dumper.add_representer(str, _text)


def _flow(value: Any) -> str:
    """In one line, quoted where it must be."""
    return _flow_text(value) if isinstance(value, str) else _dumped(value)


@lru_cache(REMEMBERED)
def _flow_text(value: str) -> str:
    return _dumped(value)


def _dumped(value: Any) -> str:
    for unicode in (True, False):
        dumped = yaml.dump(
            value, Dumper=_Dumper, default_flow_style=True, allow_unicode=unicode, width=float("inf"), sort_keys=False
        )
        line: str = dumped.removesuffix("\n").removesuffix("\n...").strip(" \n")
        if printable(line) == line and not _SPACES.search(line):
            break
    return line


#: Spaces that look like others, or like none.
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
