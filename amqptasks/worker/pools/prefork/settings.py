"""What a prefork pool can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from amqptasks.logs import Setup

StartMethod = Literal["fork", "forkserver", "spawn"]


@dataclass(frozen=True, slots=True)
class PreforkSettings:
    """`max_tasks` and `max_memory` (KiB, resident) renew a child after so much; `start_method` as of `ForkServers`.
    `most` and `least` bound the number of children where it follows the demand; None: it does not. `logs` is how
    processes log that are no copies of this one; None: as the app's own modules say."""

    max_tasks: int | None = None
    max_memory: int | None = None
    start_method: StartMethod = "fork"
    most: int | None = None
    least: int = 1
    logs: Setup | None = None
