"""A rate: so many in a second, a minute or an hour."""

from __future__ import annotations

import math
from dataclasses import dataclass

from amqptasks.errors import ConfigurationError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """`written` is as somebody wrote it, `interval` the seconds from one to the next."""

    written: str
    interval: float

    @property
    def per_second(self) -> float:
        return 1 / self.interval


def parse(given: object, option: str = "rate_limit") -> Rate | None:
    """Celery's syntax: "10/s", "100/m", "2/h", or a number, which is in a second. None, 0 and "0/m" mean no limit.

    Raises `ConfigurationError` for anything else; `option` begins its message.
    """
    if given is None:
        return None
    number, _, unit = str(given).partition("/")
    try:
        count = math.nan if isinstance(given, bool) else float(number)
    except ValueError:
        count = math.nan
    seconds = _SECONDS.get(unit.strip() or "s")
    if seconds is None or not math.isfinite(count) or count < 0:
        raise ConfigurationError(f'{option} is {given!r}: write "10/s", "100/m", "2/h", or a number a second')
    return Rate(str(given), seconds / count) if count else None
