"""Policies: what can be changed on objects that exist, by a pattern over their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Age, Arguments, Bound, Count, Expression, Lasting, Text, Ttl
from amqptasks.transport.entities import AppliesTo, Policy
from amqptasks.untrusted.bounds import LARGEST_NUMBER

#: Keys whose value is sent in milliseconds.
TIMES = frozenset(
    {
        "expires",
        "message_ttl",
        "consumer_timeout",
        "consumer_disconnected_timeout",
        "delayed_retry_min",
        "delayed_retry_max",
    }
)

#: What RabbitMQ lets an operator's policy say (`rabbit_policies.erl`): bounds, never a change of meaning.
OPERATORS = frozenset(
    {
        "expires",
        "message_ttl",
        "max_length",
        "max_length_bytes",
        "delivery_limit",
        "overflow",
        "target_group_size",
        "delayed_retry_type",
        "delayed_retry_min",
        "delayed_retry_max",
    }
)

#: What is said of exchanges; the rest is said of queues.
_EXCHANGES = frozenset({"alternate_exchange"})


class DefinitionPart(Part):
    """What a policy sets: the keys of queues and exchanges, and RabbitMQ's own for the rest under `arguments`."""

    alternate_exchange: Text | None = None
    """The exchange that gets what finds no queue."""
    dead_letter_exchange: str | None = None
    """The exchange that gets what cannot be delivered."""
    dead_letter_routing_key: str | None = None
    """Its routing key there."""
    dead_letter_strategy: Literal["at-most-once", "at-least-once"] | None = None
    """at-least-once also needs `overflow: reject-publish`, and quorum queues."""
    delivery_limit: Annotated[int, Field(ge=-1, le=LARGEST_NUMBER)] | None = None
    """Deliveries of one message; -1: no limit."""
    expires: Lasting | None = None
    """How long a queue lives without a consumer."""
    message_ttl: Ttl | None = None
    """How long a message may wait; 0s: not at all."""
    max_length: Bound | None = None
    """How many messages a queue takes."""
    max_length_bytes: Bound | None = None
    """How many bytes a queue takes."""
    overflow: Literal["drop-head", "reject-publish", "reject-publish-dlx"] | None = None
    """What a full queue does."""
    consumer_timeout: Lasting | None = None
    """How long a consumer may hold a message; RabbitMQ 3.12 and newer."""
    consumer_disconnected_timeout: Lasting | None = None
    """How long messages stay with a consumer that is cut off; RabbitMQ 4.3."""
    delayed_retry_type: Literal["all", "failed", "returned", "disabled"] | None = None
    """Which returned messages a quorum queue holds back; RabbitMQ 4.3."""
    delayed_retry_min: Lasting | None = None
    """The first delay, and its step."""
    delayed_retry_max: Lasting | None = None
    """The longest delay."""
    target_group_size: Count | None = None
    """How many nodes a quorum queue grows to; RabbitMQ 3.13."""
    leader_locator: Literal["client-local", "balanced"] | None = None
    """Where leaders are put."""
    queue_mode: Literal["default", "lazy"] | None = None
    """Classic queues, before RabbitMQ 3.12: lazy keeps messages on disk."""
    queue_version: Annotated[int, Field(ge=1, le=2)] | None = None
    """Classic queues: the version of their storage."""
    max_age: Age | None = None
    """Streams: how long messages are kept: `7d`, or as RabbitMQ spells it, `7D`."""
    max_segment_size: Count | None = None
    """Streams: bytes of one file on disk."""
    filter_size: Annotated[int, Field(ge=16, le=255)] | None = None
    """Streams: bytes of the filter of a chunk; RabbitMQ 3.13."""
    arguments: Arguments = {}
    """Other keys, in RabbitMQ's spelling."""

    @model_validator(mode="after")
    def _says_something(self) -> DefinitionPart:
        if not self.given() and not self.arguments:
            raise Wrong("sets nothing", "Write what it sets, for example `max_length: 10000`")
        for name in self.arguments:
            key = _KEYS.get(name)
            if key is not None:
                raise Wrong("has a key of its own", f"Write `{key}`", ("arguments", name))
            close = get_close_matches(name, _KEYS, 1, cutoff=0.8)
            if close:  # RabbitMQ would refuse it, much later
                raise Wrong(f"unknown key `{name}`", f"did you mean `{_KEYS[close[0]]}`?", ("arguments", name))
        return self

    def given(self) -> tuple[str, ...]:
        """The keys that are there, without `arguments`."""
        fields = (name for name in type(self).model_fields if name != "arguments")
        return tuple(name for name in fields if getattr(self, name) is not None)

    def definition(self) -> Mapping[str, object]:
        """As RabbitMQ names and counts it."""
        return {rabbitmq_name(name): _value(name, getattr(self, name)) for name in self.given()} | self.arguments


def rabbitmq_name(key: str) -> str:
    """RabbitMQ's name in a policy for a key of ours."""
    return _OWN_NAMES.get(key, key.replace("_", "-"))


_OWN_NAMES = {
    "leader_locator": "queue-leader-locator",
    "max_segment_size": "stream-max-segment-size-bytes",
    "filter_size": "stream-filter-size-bytes",
}

_KEYS = {rabbitmq_name(name): name for name in DefinitionPart.model_fields if name != "arguments"}


def _value(key: str, value: Any) -> object:
    if key in TIMES:
        return round(value * 1000)
    return f"{max(1, round(value))}s" if key == "max_age" and not isinstance(value, str) else value


class PolicyPart(Part):
    pattern: Expression
    """A regular expression over names; it fits anywhere in a name unless written with ^ and $."""
    definition: DefinitionPart
    """What it sets."""
    apply_to: AppliesTo = "all"
    """What it is for; by queue type from RabbitMQ 3.12 on."""
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    """Of several policies that fit, only the highest counts."""
    for_each: list[Text] | None = None
    """One policy for each of these, in place of `{each}`."""

    @model_validator(mode="after")
    def _fits(self) -> PolicyPart:
        for key in self.definition.given():
            if self.apply_to == "exchanges" and key not in _EXCHANGES:
                raise Wrong("exchanges have no such thing", "Write `apply_to: queues`", ("definition", key))
            if self.apply_to not in ("exchanges", "all") and key in _EXCHANGES:
                raise Wrong("queues have no such thing", "Write `apply_to: exchanges`", ("definition", key))
        return self

    def policy(self, name: str) -> Policy:
        return Policy(name, self.pattern, self.definition.definition(), self.apply_to, self.priority)


class OperatorPolicyPart(PolicyPart):
    apply_to: Literal["queues", "classic_queues", "quorum_queues", "streams"] = "queues"
    """Which queues it is for; by type from RabbitMQ 3.12 on."""

    @model_validator(mode="after")
    def _only_bounds(self) -> OperatorPolicyPart:
        for key in self.definition.given():
            if key not in OPERATORS:
                hint = f"It may set {_listed(OPERATORS)}; write it under `policies:`"
                raise Wrong("an operator policy cannot set it", hint, ("definition", key))
        return self

    def policy(self, name: str) -> Policy:
        return Policy(name, self.pattern, self.definition.definition(), self.apply_to, self.priority, operator=True)


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))
