"""Where tasks go, and how long a delay may be."""

from __future__ import annotations

from pydantic import model_validator

from amqptasks.topology.delays import LONGEST
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Lasting, Priority, Text


class RoutePart(Part):
    exchange: str | None = None
    """The exchange that the task is published to."""
    routing_key: str | None = None
    """Its routing key; the name of the task by default."""
    queue: str | None = None
    """The queue that the task goes to, instead of an exchange."""
    priority: Priority | None = None
    """The priority of its messages."""
    for_each: list[Text] | None = None
    """One route for each of these, in place of `{each}`."""

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
    """`false` in its place: no ladder, so that nothing can be delayed."""

    max: Lasting = LONGEST
    """The longest delay of a task, and so the height of the ladder."""

    @classmethod
    def none(cls) -> DelaysPart:
        """No ladder at all."""
        return cls.model_construct(max=0.0)

    @model_validator(mode="after")
    def _ladder_is_long_enough(self) -> DelaysPart:
        if self.max > LONGEST + 86400:  # `398d` is meant to work: LONGEST is a few hours less
            raise Wrong("is longer than the longest delay, 398 days", "Write `398d`, or remove it", ("max",))
        return self


def ladder_or_none(value: object) -> object:
    """`false` stands for no ladder, which no duration can say."""
    return DelaysPart.none() if value is False else value
