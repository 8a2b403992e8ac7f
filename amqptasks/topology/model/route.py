"""Where tasks go, and how long a delay may be."""

from __future__ import annotations

from pydantic import model_validator

from amqptasks.topology.delays import LONGEST
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Lasting, Priority


class RoutePart(Part):
    exchange: str | None = None
    routing_key: str | None = None
    queue: str | None = None
    priority: Priority | None = None

    @model_validator(mode="after")
    def _one_destination(self) -> RoutePart:
        if self.queue is not None and self.exchange is not None:
            raise Wrong("has a queue and an exchange", "Keep one of them", ("exchange",))
        if self.routing_key is not None and self.exchange is None:
            raise Wrong("a routing key without an exchange", "Add `exchange:`", ("routing_key",))
        if self.queue is None and self.exchange is None and self.priority is None:
            raise Wrong("leads nowhere", "Add `queue:`, or `exchange:` and `routing_key:`")
        return self


class DelaysPart(Part):
    max: Lasting = LONGEST

    @model_validator(mode="after")
    def _ladder_is_long_enough(self) -> DelaysPart:
        if self.max > LONGEST + 86400:  # `398d` is meant to work: LONGEST is a few hours less
            raise Wrong("is longer than the longest delay, 398 days", inside=("max",))
        return self
