"""Policies: what can be changed on objects that exist, by a pattern over their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from amqptasks.entities import AppliesTo, Policy
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import LARGEST_NUMBER, Count, Expression, Lasting, Text

#: Keys whose value is sent in milliseconds.
_TIMES = frozenset(
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
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: Literal["at-most-once", "at-least-once"] | None = None
    delivery_limit: Annotated[int, Field(ge=-1, le=LARGEST_NUMBER)] | None = None
    expires: Lasting | None = None
    message_ttl: Lasting | None = None
    max_length: Count | None = None
    max_length_bytes: Count | None = None
    overflow: Literal["drop-head", "reject-publish", "reject-publish-dlx"] | None = None
    consumer_timeout: Lasting | None = None
    consumer_disconnected_timeout: Lasting | None = None
    delayed_retry_type: Literal["all", "failed", "returned", "disabled"] | None = None
    delayed_retry_min: Lasting | None = None
    delayed_retry_max: Lasting | None = None
    target_group_size: Count | None = None
    leader_locator: Literal["client-local", "balanced"] | None = None
    queue_mode: Literal["default", "lazy"] | None = None
    queue_version: Annotated[int, Field(ge=1, le=2)] | None = None
    max_age: Lasting | None = None
    max_segment_size: Count | None = None
    filter_size: Annotated[int, Field(ge=16, le=255)] | None = None
    arguments: dict[str, Any] = {}

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
    if key in _TIMES:
        return round(value * 1000)
    return f"{max(1, round(value))}s" if key == "max_age" else value


class PolicyPart(Part):
    pattern: Expression
    definition: DefinitionPart
    apply_to: AppliesTo = "all"
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    for_each: list[Text] | None = None

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
