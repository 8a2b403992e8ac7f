"""Text from outside, made fit for a terminal, a log or a page.

Names, ids, arguments and tracebacks come from whoever can publish. A terminal obeys escape sequences in them, a line
break in them forges a whole line of a log, and marks for the direction of writing show other text than there is. Such
characters are written as Python writes them: `\\n`, `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re

#: Everything that no line may hold: control characters (C0, C1), the line and paragraph separators, marks of direction,
#: invisible characters, tags, surrogates. Letters, marks and symbols of any language stay.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)

#: What stands before each further line of a text of several lines, so that none of them looks like a line of a log.
INDENT = "  "

#: Characters of a value that a sentence shows.
_SHORT = 80


def printable(value: object, most: int | None = None) -> str:
    """`value` as text on one line that no terminal obeys; with `most`, at most so many characters, cut at the end."""
    text = value if isinstance(value, str) else _text(value)
    if most is not None and len(text) > most:
        text = f"{text[: max(0, most - 3)]}..."
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(_escaped, text)


def printable_lines(value: object, indent: str = INDENT) -> str:
    """`value` as text of several lines, a traceback for example: its line breaks and tabs stay, each further line
    begins with `indent`, and no terminal obeys the rest."""
    text = value if isinstance(value, str) else _text(value)
    return f"\n{indent}".join(
        "\t".join(map(printable, line.split("\t"))) for line in text.replace("\r\n", "\n").split("\n")
    )


def short(value: object) -> str:
    """At most 80 characters of a value from outside, in ASCII, for a sentence; text stands in quotes."""
    try:
        text = ascii(value[:_SHORT] if isinstance(value, str | bytes) else value)
    except Exception:  # a number of thousands of digits, a list in a list in a list, an object of the user's
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # as above
        return f"a {type(value).__name__}"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
