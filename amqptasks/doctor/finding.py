"""What the doctor says: one thing, and the line that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is what it is about (`queue emails`), `mend` a command or a setting. A `note` is good to know; only
    what is `wrong` makes the exit status 1."""

    level: Literal["wrong", "note"]
    subject: str
    problem: str
    mend: str
