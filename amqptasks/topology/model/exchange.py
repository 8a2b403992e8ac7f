"""Exchanges, and the bindings of exchanges and queues."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Arguments, Count, Text
from amqptasks.topology.topology import ExchangeSettings, Source
from amqptasks.transport.exchange_types import EXTENSIONS, STANDARD

#: Keys of ours for the arguments of one exchange type.
ARGUMENTS = {
    "hash_header": ("hash-header", "x-consistent-hash"),
    "hash_property": ("hash-property", "x-consistent-hash"),
    "delayed_type": ("x-delayed-type", "x-delayed-message"),
    "recent_history_length": ("x-recent-history-length", "x-recent-history"),
}


def _type(value: object) -> object:
    if not isinstance(value, str) or value in STANDARD or value in EXTENSIONS:
        return value
    close = get_close_matches(value, (*STANDARD, *EXTENSIONS), 1)
    hint = f"did you mean `{close[0]}`?" if close else None
    if close and value.startswith("x-"):  # the broker would find out, much later
        raise Wrong("is no type of RabbitMQ's or its plugins'", hint)
    if not value.startswith("x-"):
        raise Wrong(f"must be one of {', '.join(STANDARD)}, or a plugin's type, which begins with `x-`", hint)
    return value


#: For editors: AMQP's types, or anything of a plugin's, or a variable.
_TYPES = {"type": "string", "pattern": rf"^({'|'.join(STANDARD)}|x-.*)$|\$\{{", "examples": [*STANDARD, *EXTENSIONS]}


class BindingPart(Part):
    exchange: str
    """The exchange that messages come from."""
    routing_key: str | None = None
    """What its messages are chosen by: the key (direct), a pattern with `*` and `#` (topic)."""
    weight: Count | None = None
    """For exchanges of type x-consistent-hash: the share of this queue."""
    arguments: Arguments = {}
    """For headers exchanges: the headers to compare, and `x-match`."""

    @model_validator(mode="after")
    def _one_key(self) -> BindingPart:
        if self.weight is not None and self.routing_key is not None:
            raise Wrong("has a `weight`, which is sent as the routing key", "Keep one of them", ("weight",))
        return self

    def source(self, destination: str = "") -> Source:
        key = self.routing_key if self.weight is None else str(self.weight)
        if key is None and self.exchange == QUEUES_EXCHANGE:
            key = destination
        return Source(self.exchange, key or "", self.arguments)


class ExchangePart(Part):
    type: Annotated[str, BeforeValidator(_type), WithJsonSchema(_TYPES)] = "direct"
    """direct, topic, fanout, headers, or the name of another type: x-local-random, x-consistent-hash, ..."""
    durable: bool = True
    """Whether it outlives a restart of the broker."""
    auto_delete: bool = False
    """Whether it goes with the last thing that is bound to it."""
    internal: bool = False
    """Whether only other exchanges can send to it."""
    alternate_exchange: Text | None = None
    """The exchange that gets what finds no queue here."""
    bindings: list[BindingPart] = []
    """The exchanges that it gets messages from."""
    hash_header: Text | None = None
    """x-consistent-hash: the header to distribute by, instead of the routing key."""
    hash_property: Literal["message_id", "correlation_id", "timestamp"] | None = None
    """x-consistent-hash: the property to distribute by, instead of the routing key."""
    delayed_type: Literal["direct", "topic", "fanout", "headers"] | None = None
    """x-delayed-message: the type that it routes as, once the time is up."""
    recent_history_length: Count | None = None
    """x-recent-history: how many messages a new queue is given; 20 by default."""
    arguments: Arguments = {}
    """Further AMQP arguments, in RabbitMQ's spelling."""
    for_each: list[Text] | None = None
    """One exchange for each of these, in place of `{each}`."""

    @model_validator(mode="after")
    def _arguments_fit(self) -> ExchangePart:
        if "alternate-exchange" in self.arguments:
            raise Wrong("has a key of its own", "Write `alternate_exchange`", ("arguments", "alternate-exchange"))
        for key, (argument, kind) in ARGUMENTS.items():
            if getattr(self, key) is not None and self.type != kind:
                raise Wrong(f"only an exchange of type {kind} has it", f"Write `type: {kind}`, or remove it", (key,))
            if argument in self.arguments:
                raise Wrong("has a key of its own", f"Write `{key}`", ("arguments", argument))
        if self.hash_header is not None and self.hash_property is not None:
            raise Wrong("has `hash_header` and `hash_property`", "Keep one of them", ("hash_property",))
        if self.type == "x-delayed-message" and self.delayed_type is None:
            raise Wrong("an exchange of type x-delayed-message needs `delayed_type`", "Add `delayed_type: topic`")
        return self

    def settings(self, name: str) -> ExchangeSettings:
        typed = {argument: getattr(self, key) for key, (argument, _) in ARGUMENTS.items()}
        return ExchangeSettings(
            name,
            self.type,
            self.durable,
            self.auto_delete,
            self.internal,
            self.alternate_exchange,
            {key: value for key, value in typed.items() if value is not None} | self.arguments,
            tuple(binding.source() for binding in self.bindings),
        )


class ExchangeDefaultsPart(ExchangePart):
    """Keys for exchanges, of any type."""

    @model_validator(mode="after")
    def _arguments_fit(self) -> ExchangeDefaultsPart:
        if self.for_each is not None:
            raise Wrong("`for_each` belongs to an exchange", "Write it at the exchange", ("for_each",))
        return self
