"""What the queues of a living broker hold and do, from the management API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqptasks.topology.graphs.graph import Figures

if TYPE_CHECKING:
    from amqptasks.management.client import Management


def figures(management: Management) -> dict[str, Figures]:
    """By queue name. Raises `Unanswered`."""
    found = management.request("GET", "queues", management.vhost)
    return {queue["name"]: _figures(queue) for queue in found or []}


def _figures(queue: dict[str, Any]) -> Figures:
    statistics = queue.get("message_stats", {})
    return Figures(
        ready=int(queue.get("messages_ready", 0)),
        unacked=int(queue.get("messages_unacknowledged", 0)),
        consumers=int(queue.get("consumers", 0)),
        rate_in=_rate(statistics, "publish"),
        rate_out=_rate(statistics, "deliver_get"),
    )


def _rate(statistics: dict[str, Any], name: str) -> float:
    return float(statistics.get(f"{name}_details", {}).get("rate", 0.0))
