"""Queues, and their dead-letter queues."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from amqptasks.topology.arguments import KNOWN, WRITTEN_AS
from amqptasks.topology.model.exchange import BindingPart
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.retry import RetryPart
from amqptasks.topology.model.values import Count, Lasting
from amqptasks.topology.topology import DELIVERY_LIMIT, DeadLetter, QueueSettings, QueueType

#: Quorum queues order by 0 to 31 and treat what is above as 31.
QUORUM_PRIORITIES = 31


class DeadLetterPart(Part):
    ttl: Lasting | None = None
    max_length: Count | None = None
    max_length_bytes: Count | None = None

    def bounds(self) -> DeadLetter:
        return DeadLetter(self.ttl, self.max_length, self.max_length_bytes)


def _dead_letter(value: object) -> object:
    """`false` turns it off; it stands for None, which pydantic keeps apart from a mapping."""
    if value is False:
        return None
    if not isinstance(value, dict):
        raise Wrong("is neither `false` nor a mapping", "Write `dead_letter: false` or `dead_letter: {ttl: 14d}`")
    return value


#: What a stream does not have: it is a log, read by position, not a queue of tasks.
_NOT_OF_STREAMS = (
    "max_priority",
    "retry",
    "dead_letter",
    "delivery_limit",
    "max_length",
    "message_ttl",
    "single_active_consumer",
    "consumer_timeout",
)


class QueuePart(Part):
    type: QueueType = "quorum"
    bindings: list[BindingPart] = []
    max_priority: Annotated[int, Field(ge=1, le=255)] | None = None
    retry: RetryPart | None = None
    dead_letter: Annotated[DeadLetterPart | None, BeforeValidator(_dead_letter)] = DeadLetterPart()
    delivery_limit: Annotated[int, Field(ge=1, le=1_000_000_000)] = DELIVERY_LIMIT
    max_length: Count | None = None
    max_length_bytes: Count | None = None
    message_ttl: Lasting | None = None
    single_active_consumer: bool = False
    consumer_timeout: Lasting | None = None
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _type_can_do_it(self) -> QueuePart:
        if self.type == "stream":
            for key in _NOT_OF_STREAMS:
                off = key == "dead_letter" and self.dead_letter is None
                if key in self.model_fields_set and not off:
                    hint = "Write `max_length_bytes`, or x-max-age in `arguments`" if key == "max_length" else None
                    raise Wrong(f"a stream cannot have `{key}`", hint or "Remove it, or use a quorum queue", (key,))
        if self.type == "classic" and self.consumer_timeout is not None:
            hint = "Use a quorum queue: RabbitMQ 4.3 refuses it on classic ones"
            raise Wrong("a classic queue cannot have `consumer_timeout`", hint, ("consumer_timeout",))
        if self.type == "quorum" and (self.max_priority or 0) > QUORUM_PRIORITIES:
            hint = "Write 31 or less, or `type: classic`"
            raise Wrong("a quorum queue knows the priorities 0 to 31", hint, ("max_priority",))
        for name, value in self.arguments.items():
            _check_argument(name, value, self.type)
        return self

    def settings(self, name: str) -> QueueSettings:
        stream = self.type == "stream"
        return QueueSettings(
            name=name,
            type=self.type,
            bindings=tuple(binding.source() for binding in self.bindings),
            max_priority=self.max_priority,
            retry=self.retry.retry() if self.retry else None,
            dead_letters=self.dead_letter.bounds() if self.dead_letter and not stream else None,
            delivery_limit=self.delivery_limit,
            max_length=self.max_length,
            max_length_bytes=self.max_length_bytes,
            message_ttl=self.message_ttl,
            single_active_consumer=self.single_active_consumer,
            consumer_timeout=self.consumer_timeout,
            arguments=self.arguments,
        )


def _check_argument(name: str, value: object, queue_type: QueueType) -> None:
    where = ("arguments", name)
    if name in WRITTEN_AS:
        raise Wrong("has a key of its own", f"Write {WRITTEN_AS[name]}", where)
    if name not in KNOWN:
        close = get_close_matches(name, [*KNOWN, *WRITTEN_AS], 1, cutoff=0.8)
        if close:  # a misspelt argument would be stored and ignored
            raise Wrong(f"unknown argument `{name}`", f"did you mean `{close[0]}`?", where)
        return
    types, kind = KNOWN[name]
    if queue_type not in types:
        raise Wrong(f"a {queue_type} queue cannot have the argument `{name}`", f"Only {_listed(types)} can", where)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Wrong("must be a whole number" if kind is int else "must be text", None, where)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"{name} queues" for name in sorted(names))
