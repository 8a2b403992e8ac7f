"""Nodes that are down, cut off, or near one of their limits."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import rabbitmqctl
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Node

#: Parts of a limit from which on it is near.
NEAR = 0.8

#: So many times its limit of free disk a node needs to have: what is between is gone in minutes where a queue fills up.
DISK_NEAR = 2.0

_MIB = 1024 * 1024


def nodes(seen: Snapshot) -> Iterator[Finding]:
    for node in seen.nodes:
        subject = f"node {node.name}"
        if not node.running:
            yield Finding("wrong", subject, "it does not run", f"start RabbitMQ on {node.name.partition('@')[2]}")
            continue
        if node.partitions:
            others = ", ".join(node.partitions)
            fix = rabbitmqctl("cluster_status") + " shows who is alone: restart those nodes"
            yield Finding("wrong", subject, f"the network is cut between it and {others}", fix)
        alarmed = {alarm.resource.partition("_")[0] for alarm in seen.alarms if alarm.node == node.name}
        yield from _near(node, subject, alarmed)


def _near(node: Node, subject: str, alarmed: set[str]) -> Iterator[Finding]:
    """An alarm that is on already is told as such."""
    if "memory" not in alarmed and node.memory_used >= NEAR * node.memory_limit > 0:
        problem = f"it uses {node.memory_used // _MIB} of the {node.memory_limit // _MIB} MiB at which publishers stop"
        fix = f"let workers catch up, give it more memory, or {rabbitmqctl('set_vm_memory_high_watermark', '0.6')}"
        yield Finding("note", subject, problem, fix)
    if "disk" not in alarmed and 0 < node.disk_free < DISK_NEAR * node.disk_limit:
        problem = f"{node.disk_free // _MIB} MiB of disk are free; publishers stop at {node.disk_limit // _MIB}"
        yield Finding("note", subject, problem, "free some disk there")
    if node.files_used >= NEAR * node.files > 0:
        problem = f"it has {node.files_used} of {node.files} files and sockets open: the next clients are refused"
        yield Finding(
            "wrong", subject, problem, "raise its limit (LimitNOFILE=65536 in its systemd unit) and restart it"
        )
