"""Exchange types: AMQP's own, and those of RabbitMQ and its plugins, with what brings each to a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: AMQP's own exchange types.
STANDARD = ("direct", "topic", "fanout", "headers")

#: Leads to one of its queues whose leader is on the publisher's node; takes classic queues, no others and no exchanges.
LOCAL_RANDOM = "x-local-random"


@dataclass(frozen=True, slots=True)
class Extension:
    """A type beyond AMQP's four: RabbitMQ has it by itself from the release `since` on, and before that (or always)
    with `plugin`; a plugin that is not `bundled` must be downloaded first."""

    plugin: str | None = None
    since: str | None = None
    bundled: bool = True


#: https://www.rabbitmq.com/docs/exchanges, and the README of each plugin.
EXTENSIONS: Mapping[str, Extension] = {
    LOCAL_RANDOM: Extension(since="4.0"),
    "x-modulus-hash": Extension("rabbitmq_sharding", since="4.3"),
    "x-consistent-hash": Extension("rabbitmq_consistent_hash_exchange"),
    "x-random": Extension("rabbitmq_random_exchange"),
    "x-recent-history": Extension("rabbitmq_recent_history_exchange"),
    "x-jms-topic": Extension("rabbitmq_jms_topic_exchange"),
    "x-delayed-message": Extension("rabbitmq_delayed_message_exchange", bundled=False),
}


def remedy(kind: str) -> str:
    """What to do where a broker does not have this type."""
    extension = EXTENSIONS.get(kind)
    if extension is None:
        return f"enable the plugin that has {kind} (`rabbitmq-plugins list` names those that are there)"
    if extension.plugin is None:
        return f"{kind} comes with RabbitMQ {extension.since}: upgrade the broker, or use another type"
    enable = f"run `rabbitmq-plugins enable {extension.plugin}` on each of its nodes"
    if not extension.bundled:
        return f"{enable}, after putting the plugin there: RabbitMQ does not bring it along"
    return enable if extension.since is None else f"{enable} (RabbitMQ {extension.since} needs no plugin for it)"
