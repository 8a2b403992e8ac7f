"""The name of a worker, from what `-n` says of it: several hosts and processes may be told the same, and each has its
own. The letters are those of Celery's `-n`."""

from __future__ import annotations

import re

from amqptasks.errors import ConfigurationError

_LETTER = re.compile(r"%(.?)", re.DOTALL)


def expanded(text: str, host: str, number: int | None = None) -> str:
    """`%h` is `host`, `%n` what is before its first dot and `%d` what is behind it; `%i` is `number`, that of this
    process among several on one host (None: it is alone, and has number 0), `%I` the same behind a dash, or nothing for
    one that is alone; `%%` a percent sign. Where several would have one name, `%I` is put at its end, or before `@`.

    Raises `ConfigurationError` for another letter."""
    if number is not None and not {"i", "I"} & set(_LETTER.findall(text)):
        name, at, rest = text.partition("@")
        text = f"{name}%I{at}{rest}"
    before, _, behind = host.partition(".")
    letters = {
        "h": host,
        "n": before,
        "d": behind,
        "i": str(number or 0),
        "I": "" if number is None else f"-{number}",
        "%": "%",
    }

    def letter(found: re.Match[str]) -> str:
        if found[1] not in letters:
            raise ConfigurationError(
                f"{found[0]!r} in the name {text!r}: write %h (host), %n and %d (its two parts), %i or %I (number of"
                " the process), or %% for a percent sign"
            )
        return letters[found[1]]

    return _LETTER.sub(letter, text)
