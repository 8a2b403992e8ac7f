"""What only RabbitMQ's management API tells: alarms, and bindings that are gone."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.amqp.management import Management
from amqptasks.doctor.finding import Finding
from amqptasks.topology.expand import Objects


def alarms(management: Management) -> Iterator[Finding]:
    """Memory and disk alarms: publishers are blocked while one is on."""
    answer = management.request("GET", "health", "checks", "alarms")
    if not isinstance(answer, dict) or answer.get("status") == "ok":
        return
    for alarm in answer.get("alarms") or [{}]:
        resource, node = str(alarm.get("resource", "resource")), alarm.get("node", "a node")
        disk = resource.startswith("disk")
        mend = "free some disk there" if disk else "let workers catch up, or give the node more memory"
        yield Finding("wrong", f"node {node}", f"its {resource} alarm is on: publishers are blocked", mend)


def missing_bindings(management: Management, objects: Objects) -> Iterator[Finding]:
    """Bindings of the topology that are not on the broker."""
    there = {
        (found["source"], found["destination"], found["destination_type"], found["routing_key"])
        for found in management.request("GET", "bindings", management.vhost)
    }
    absent = [
        binding
        for binding in objects.bindings
        if (binding.source, binding.destination, binding.destination_type, binding.routing_key) not in there
    ]
    for binding in absent[:1]:
        more = f", and {len(absent) - 1} more" if len(absent) > 1 else ""
        yield Finding(
            "wrong",
            f"binding {binding.source} -> {binding.destination}",
            f"it is not on the broker (routing key {binding.routing_key!r}){more}",
            "amqptasks -A MODULE declare",
        )
