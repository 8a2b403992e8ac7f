"""What the doctor says: one thing, and the line that mends it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: `wrong` makes the exit status 1; a `note` is good to know.
Level = Literal["wrong", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is what it is about (`queue emails`), `fix` a command or a setting. `check` is the
    name of the check that found it."""

    level: Level
    subject: str
    problem: str
    fix: str
    check: str = ""

    def of(self, check: str) -> Finding:
        return replace(self, check=check)
