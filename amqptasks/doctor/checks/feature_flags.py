"""Feature flags that should be on, and deprecated features that are used.

https://www.rabbitmq.com/docs/feature-flags and https://www.rabbitmq.com/docs/deprecated-features
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amqptasks.doctor.commands import rabbitmqctl
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot

#: What does not work without them.
NEEDED: Mapping[str, str] = {
    "quorum_queue": "there are no quorum queues",
    "stream_queue": "there are no streams, and dead-lettering falls back to at most once without a word",
}

#: What to do about a deprecated feature; others are looked up.
_INSTEAD: Mapping[str, str] = {
    "classic_queue_mirroring": "quorum queues instead: take ha-mode out of the policies, then amqptasks migrate QUEUE",
    "global_qos": "basic.qos with global=false in the clients that set it",
    "transient_nonexcl_queues": "declare those queues durable or exclusive",
    "ram_node_type": rabbitmqctl("change_cluster_node_type", "disc"),
    "management_metrics_collection": "figures by the plugin rabbitmq_prometheus instead",
    "queue_master_locator": "leader_locator in place of x-queue-master-locator",
}


def feature_flags(seen: Snapshot) -> Iterator[Finding]:
    """Experimental ones are a choice."""
    off = [flag.name for flag in seen.flags_off if flag.stable]
    for name in off:
        if name in NEEDED:
            fix = rabbitmqctl("enable_feature_flag", name)
            yield Finding("wrong", f"feature flag {name}", f"it is off: {NEEDED[name]}", fix)
    others = [name for name in off if name not in NEEDED]
    if others:
        problem = f"off, and on in every new broker: {', '.join(others)}; the next release may not start without them"
        yield Finding("note", "feature flags", problem, rabbitmqctl("enable_feature_flag", "all"))


def deprecated_features(seen: Snapshot) -> Iterator[Finding]:
    for name in seen.deprecated:
        fix = _INSTEAD.get(name, "https://www.rabbitmq.com/docs/deprecated-features says what to use instead")
        problem = "it is used here, and a release to come is without it"
        yield Finding("note", f"deprecated feature {name}", problem, fix)
