"""Durations and percentages as people write them: `250ms`, `5s`, `1h 30m`, `14d`; `10%`."""

from __future__ import annotations

import re

#: Seconds of each unit.
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

#: The longest that RabbitMQ takes for a time to live or an expiry: ten years of 365 days.
TEN_YEARS = 315_360_000.0

_NUMBER = r"\d+(?:\.\d+)?"
_PART = re.compile(rf"({_NUMBER})\s*(ms|s|m|h|d|w)")

#: What a duration and a percentage look like, for those who check before we do.
PATTERN = rf"(?:{_NUMBER}\s*(?:ms|s|m|h|d|w)\s*)+"
PERCENTAGE = rf"{_NUMBER}\s*%"

_WHOLE = re.compile(PATTERN)
_PERCENTAGE = re.compile(rf"({_NUMBER})\s*%")


def seconds(text: str) -> float | None:
    """The duration in seconds, to the millisecond; None for text that is no duration."""
    if not _WHOLE.fullmatch(text.strip()):
        return None
    return round(sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text)), 3)


def written(duration: float) -> str:
    """As people write it, with the two largest units that it has: `5s`, `1h 30m`, `397d 12h`; `0s` for nothing."""
    return " ".join(_parts(duration)[:2]) or "0s"


def exact(duration: float) -> str:
    """As people write it, to the millisecond, so that `seconds` gives the same again."""
    return " ".join(_parts(duration)) or "0s"


def named(duration: float) -> str:
    """To the millisecond and without spaces, for names: `5s`, `1h30m`, `1d2h3m`."""
    return "".join(_parts(duration)) or "0s"


def _parts(duration: float) -> list[str]:
    left = round(duration * 1000)
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms"):
        length = round(UNITS[unit] * 1000)
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return parts


#: The units of a stream's `max-age` in RabbitMQ's own spelling (rabbit_amqqueue.erl, `check_max_age`).
_AGES = {"Y": 31_536_000, "M": 2_592_000, "D": 86_400, "h": 3600, "m": 60, "s": 1}

#: `7D`, `12h`, `3600s`.
AGE = r"[1-9]\d*[YMDhms]"


def age(text: str) -> int | None:
    """Seconds of a `max-age` in RabbitMQ's spelling, where `7D` are days and `7M` months; None for other text."""
    return int(text[:-1]) * _AGES[text[-1]] if re.fullmatch(AGE, text, re.ASCII) else None


def fraction(text: str) -> float | None:
    """0.1 for `10%`; None for text that is no percentage."""
    found = _PERCENTAGE.fullmatch(text.strip())
    return float(found[1]) / 100 if found else None
