"""Secrets, replaced by `***` wherever arguments or addresses are shown.

`App(mask=...)` adds names and patterns to `MASKED`. A value is masked by its name: the key of an object, a keyword
argument, or text that looks like `name=value`. A value without a name, such as a first argument, cannot be told from
any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

#: What stands for a secret.
HIDDEN = "***"

#: Names whose values are secrets wherever they stand, as patterns; upper and lower case are the same.
MASKED = ("*password*", "*passwd*", "*token*", "*secret*", "*authorization*", "*api_key*", "*apikey*", "*private_key*")

#: Levels of lists and objects that are looked into. Deeper values are hidden as a whole.
DEEPEST = 50

#: A URL with credentials, wherever it stands in a text. The last `@` before the path ends the credentials.
_CREDENTIALS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s/?#\"'<>]*)@")

#: A name before a value in a text: in quotes or not, then `:` or `=`. The quotes of JSON inside of JSON have
#: backslashes before them. Every part is possessive or bounded, and a name begins only where none is before it, so
#: that the time grows with the text alone, whoever wrote it.
_NAMED = re.compile(r"""((?:\\{0,7}['"])?+)(?<![A-Za-z0-9_-])([A-Za-z_][A-Za-z0-9_-]*+)\1(\s{0,3}[:=]\s{0,3})""")

#: The value after it: in quotes, or up to the next space, comma, bracket or quote. The scheme of an `Authorization`
#: header is part of it.
_VALUE = re.compile(
    r"""(?:(?:Basic|Bearer|Digest)\s{1,3})?+(?:"""
    r"""\\{1,7}(?:'(?:(?!\\{1,7}').)*+|"(?:(?!\\{1,7}").)*+)(?:\\{1,7}['"])?+"""
    r"""|b?'(?:[^'\\]|\\.)*+'?|b?"(?:[^"\\]|\\.)*+"?|[^\s,)}\]'"]++)""",
    re.DOTALL | re.IGNORECASE,
)

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")

#: An address that can be shown: scheme, user, password, host, port and path, each without anything that could be a
#: misplaced part of the password.
_ADDRESS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)(?:([^\s:/?#@]*)(:[^\s/?#]*)?@)?"
    r"((?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~%-]*)(?::[0-9]{1,5})?(?:/[^\s?#@]*)?)"
)

#: What is said of an address that cannot be read: it may be anything, even a password alone.
UNREADABLE = "an address that cannot be read (***)"


class Mask:
    """Hides the values of `names`: names or patterns (`card*`), besides those of `MASKED`."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._patterns = tuple(pattern.casefold() for pattern in (*MASKED, *names))
        self._known: dict[str, bool] = {}

    def hides(self, name: object) -> bool:
        """Whether values of this name are secrets."""
        if not isinstance(name, str):
            return False
        found = self._known.get(name)
        if found is None:
            folded = name.casefold().replace("-", "_")
            found = any(fnmatchcase(folded, pattern) for pattern in self._patterns)
            if len(self._known) < 1000 and len(name) < 100:  # a sender that makes names up must not fill the memory
                self._known[name] = found
        return found

    def masked(self, value: Any, depth: int = 0) -> Any:
        """`value` with every secret in it replaced; what holds none is the same object or an equal one."""
        if isinstance(value, str):
            return self.masked_text(value)
        if isinstance(value, Mapping):
            if depth == DEEPEST:
                return HIDDEN
            return {
                name: HIDDEN if self.hides(name) and one is not None else self.masked(one, depth + 1)
                for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            if depth == DEEPEST:
                return HIDDEN
            found = [self.masked(one, depth + 1) for one in value]
            return tuple(found) if isinstance(value, tuple) else found
        return value

    def masked_text(self, text: str) -> str:
        """`text` without the credentials of addresses in it, and without the values of secrets that it names: arguments
        are shown as text by whoever called, `{'password': 'x'}` or `password='x'`."""
        text = without_credentials(text)
        if "=" not in text and ":" not in text:
            return text
        shown: list[str] = []
        told = at = 0
        while named := _NAMED.search(text, at):
            at = named.end()
            if self.hides(named[2]) and (end := _end_of_value(text, at)) > at:
                shown += text[told:at], HIDDEN
                told = at = end
        return "".join([*shown, text[told:]]) if shown else text


def _end_of_value(text: str, at: int) -> int:
    """Where the value ends that begins there. A list or an object ends with its last bracket; brackets that stand in
    texts are counted, too, so that rather more is hidden than less."""
    if text[at : at + 1] not in _OPENING:
        found = _VALUE.match(text, at)
        return at if found is None else found.end()
    depth = 0
    for index in range(at, len(text)):
        if text[index] in _OPENING:
            depth += 1
        elif text[index] in _CLOSING:
            depth -= 1
            if depth == 0:
                return index + 1
    return len(text)


def without_credentials(text: str) -> str:
    """`text` with the password of every URL in it replaced."""
    return _CREDENTIALS.sub(_hidden, text) if "@" in text and "://" in text else text


def masked_address(address: object) -> str:
    """A broker's address for people's eyes: the password is `***`, the query is left out. An address that cannot be
    read is not quoted at all. Never raises."""
    text, _, query = (address if isinstance(address, str) else "").partition("?")
    found = None if "@" in query else _ADDRESS.fullmatch(text)
    if found is None:
        return UNREADABLE
    scheme, user, password, place = found.groups()
    if user is None:
        return f"{scheme}{place}"
    return f"{scheme}{user}{'' if password is None else f':{HIDDEN}'}@{place}"


def _hidden(found: re.Match[str]) -> str:
    user, colon, _ = found[2].partition(":")
    return f"{found[1]}{user if colon else HIDDEN}{f':{HIDDEN}' if colon else ''}@"


#: Of an app that names none of its own.
PLAIN = Mask()
