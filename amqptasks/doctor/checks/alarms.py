"""Memory and disk alarms: publishers are blocked while one is on."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot


def alarms(seen: Snapshot) -> Iterator[Finding]:
    for alarm in seen.alarms:
        disk = alarm.resource.startswith("disk")
        fix = "free some disk there" if disk else "let workers catch up, or give the node more memory"
        problem = f"its {alarm.resource} alarm is on: publishers are blocked"
        yield Finding("wrong", f"node {alarm.node}", problem, fix)
