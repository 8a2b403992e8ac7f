"""One thing that happens to a simulated task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: `published`: by the caller. `queued`: an exchange passed it into `place`. `run`: a worker took it from there.
#: `waits`: on the ladder of delays. `dead-lettered`: into `place`. `returned`: nobody takes it.
#: `rests`: there it stays.
What = Literal["published", "queued", "run", "waits", "dead-lettered", "returned", "rests"]


@dataclass(frozen=True, slots=True)
class Hop:
    """`at` is in seconds after the call; `detail` is for people."""

    at: float
    what: What
    place: str
    detail: str = ""
