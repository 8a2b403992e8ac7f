"""Exchanges, and the bindings of exchanges and queues."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.topology import ExchangeSettings, ExchangeType, Source


class BindingPart(Part):
    exchange: str
    routing_key: str | None = None
    arguments: dict[str, Any] = {}

    def source(self) -> Source:
        return Source(self.exchange, self.routing_key or "", self.arguments)


class ExchangePart(Part):
    type: ExchangeType = "direct"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    alternate_exchange: str | None = None
    bindings: list[BindingPart] = []
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _arguments_fit(self) -> ExchangePart:
        if "alternate-exchange" in self.arguments:
            raise Wrong("has a key of its own", "Write `alternate_exchange`", ("arguments", "alternate-exchange"))
        return self

    def settings(self, name: str) -> ExchangeSettings:
        return ExchangeSettings(
            name,
            self.type,
            self.durable,
            self.auto_delete,
            self.internal,
            self.alternate_exchange,
            self.arguments,
            tuple(binding.source() for binding in self.bindings),
        )
