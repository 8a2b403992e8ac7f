"""Streams that nothing ever shortens."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import set_policy
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot


def streams(seen: Snapshot) -> Iterator[Finding]:
    """https://www.rabbitmq.com/docs/streams#retention"""
    for queue in seen.queues:
        bounded = any(seen.setting(queue, key) is not None for key in ("max-age", "max-length-bytes"))
        if queue.type == "stream" and not bounded:
            fix = set_policy(seen.vhost, queue.name, "kept", {"max-age": "7D"}, seen.policy(queue))
            problem = "nothing is ever removed from it: it fills the disk"
            yield Finding(seen.level(queue.name), f"stream {queue.name}", problem, fix)
