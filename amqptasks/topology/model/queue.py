"""Queues, and their dead-letter queues."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from amqptasks.options.workers import PREFETCH
from amqptasks.topology.arguments import KEYS, WRITTEN_AS
from amqptasks.topology.model.exchange import BindingPart
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.retry import RetryPart
from amqptasks.topology.model.values import Arguments, Count, Lasting, Text, Ttl
from amqptasks.topology.topology import (
    DELIVERY_LIMIT,
    DeadLetterBounds,
    LeaderLocator,
    Overflow,
    QueueSettings,
    QueueType,
)

#: Quorum queues order by 0 to 31 and treat what is above as 31.
QUORUM_PRIORITIES = 31

#: RabbitMQ's bound for segments of a stream, in bytes.
LARGEST_SEGMENT = 3_000_000_000


class DeadLetterPart(Part):
    ttl: Lasting | None = None
    """How long a message is kept there; for ever by default."""
    max_length: Count | None = None
    """How many messages it takes; when it is full, the work queue keeps what it cannot hand over."""
    max_length_bytes: Count | None = None
    """How many bytes it takes."""
    queue: Text | None = None
    """Another queue of the file, which several may share, instead of one of its own."""

    @model_validator(mode="after")
    def _bounds_are_its_own(self) -> DeadLetterPart:
        for key in ("ttl", "max_length", "max_length_bytes"):
            if self.queue is not None and getattr(self, key) is not None:
                hint = f"Write `{'message_ttl' if key == 'ttl' else key}` there, or remove `queue`"
                raise Wrong(f"belongs to the queue `{self.queue}`, which has keys of its own", hint, (key,))
        return self

    def bounds(self) -> DeadLetterBounds:
        return DeadLetterBounds(self.ttl, self.max_length, self.max_length_bytes, self.queue)


def _dead_letter(value: object) -> object:
    """`false` turns it off; it stands for None, which pydantic keeps apart from a mapping."""
    if value is False:
        return None
    if not isinstance(value, dict):
        raise Wrong("is neither `false` nor a mapping", "Write `dead_letter: false` or `dead_letter: {ttl: 14d}`")
    return value


def _delivery_limit(value: object) -> object:
    """`false` is no limit; it stands for 0."""
    if value is False:
        return 0
    if value == 0:
        raise Wrong("must be a whole number from 1 up, or `false` for no limit", "Write `delivery_limit: 20`")
    return value


class QueuePart(Part):
    type: QueueType = "quorum"
    """quorum (replicated, safe), classic (one node), or stream (a log; no tasks)."""
    template: Text | list[Text] | None = None
    """Names of `templates:` whose keys it takes; of several, the later ones win."""
    for_each: list[Text] | None = None
    """One queue for each of these, in place of `{each}`."""
    bindings: list[BindingPart] = []
    """The exchanges that it gets messages from."""
    max_priority: Annotated[int, Field(ge=1, le=255)] | None = None
    """Priorities from 0 up to this; at most 31 for a quorum queue."""
    retry: RetryPart | None = None
    """How failed tasks of this queue wait; the task's own policy by default."""
    dead_letter: Annotated[DeadLetterPart | None, BeforeValidator(_dead_letter)] = DeadLetterPart()
    """Where what cannot run goes: NAME.dead by default; `false`: it is dropped."""
    delivery_limit: Annotated[int, Field(ge=0, le=1_000_000_000), BeforeValidator(_delivery_limit)] = DELIVERY_LIMIT
    """Deliveries of one message before it is given up as poison; `false`: never."""
    max_length: Count | None = None
    """How many messages it takes; more are refused."""
    max_length_bytes: Count | None = None
    """How many bytes it takes; more are refused (a stream: the oldest go)."""
    overflow: Overflow | None = None
    """What a full queue does: reject-publish (by default), or drop-head, which drops the oldest."""
    message_ttl: Ttl | None = None
    """How long a task may wait before it is dead-lettered."""
    expires: Lasting | None = None
    """How long the queue lives without a consumer; it goes with all that is in it."""
    single_active_consumer: bool = False
    """Only one consumer at a time."""
    consumer_timeout: Lasting | None = None
    """How long a consumer may hold a task."""
    prefetch: Annotated[int, Field(ge=PREFETCH.least, le=PREFETCH.most)] | None = None
    """How many of its messages a worker holds at most; by default that follows its tasks."""
    consumer_disconnected_timeout: Lasting | None = None
    """RabbitMQ 4.3: how long the tasks of a consumer whose node is cut off stay with it."""
    leader_locator: LeaderLocator | None = None
    """Where its leader is put: client-local, or balanced over the nodes."""
    initial_group_size: Count | None = None
    """Quorum queues: how many nodes hold it; 3 by default, in a cluster that has them."""
    target_group_size: Count | None = None
    """Quorum queues, RabbitMQ 3.13: how many nodes the broker grows it to."""
    queue_mode: Literal["default", "lazy"] | None = None
    """Classic queues, before RabbitMQ 3.12: lazy keeps messages on disk."""
    queue_version: Annotated[int, Field(ge=1, le=2)] | None = None
    """Classic queues: the version of their storage."""
    durable: bool = True
    """Classic queues: whether it outlives a restart of the broker."""
    auto_delete: bool = False
    """Classic queues: whether it goes with its last consumer, and with all that is in it."""
    max_age: Lasting | None = None
    """Streams: how long messages are kept."""
    max_segment_size: Annotated[int, Field(ge=1, le=LARGEST_SEGMENT)] | None = None
    """Streams: bytes of one file on disk; whole files are dropped when the stream is too long or old."""
    filter_size: Annotated[int, Field(ge=16, le=255)] | None = None
    """Streams, RabbitMQ 3.13: bytes of the filter of a chunk."""
    initial_cluster_size: Count | None = None
    """Streams: how many nodes hold it."""
    exact: bool = False
    """Declare it with `type` and `arguments` alone, and add nothing: for queues that somebody else declares as well."""
    arguments: Arguments = {}
    """Further AMQP arguments, in RabbitMQ's spelling."""

    @classmethod
    def _meant(cls, key: str) -> str:
        if key.lower().replace("-", "_") in _DELAYS:
            return (
                "A delay belongs to a call: `task.apply_async(..., countdown=10)`; delays of retries: `retry: {delays}`"
            )
        return super()._meant(key)

    @model_validator(mode="after")
    def _type_can_do_it(self) -> QueuePart:
        if self.exact:
            self._nothing_is_added()
            return self
        for key, types in KEYS.items():
            off = key == "dead_letter" and self.dead_letter is None
            if key in self.model_fields_set and self.type not in types and not off:
                raise Wrong(f"{_A[self.type]} cannot have `{key}`", _instead(key, self.type), (key,))
        if self.type == "quorum" and (self.max_priority or 0) > QUORUM_PRIORITIES:
            hint = "Write 31 or less, or `type: classic`"
            raise Wrong("a quorum queue knows the priorities 0 to 31", hint, ("max_priority",))
        if self.retry is not None and self.retry.native and self.type != "quorum":
            raise Wrong("only a quorum queue can delay by itself", "Write `delays: [5s, 30s]`", ("retry", "native"))
        if self.overflow is not None and self.max_length is None and self.max_length_bytes is None:
            raise Wrong("without a `max_length` it is never full", "Add `max_length:`, or remove it", ("overflow",))
        if self.overflow == "reject-publish-dlx" and self.type != "classic":
            hint = "Write `reject-publish`, or `type: classic`"
            raise Wrong("only classic queues can dead-letter what they refuse", hint, ("overflow",))
        self._arguments_fit()
        return self

    def _arguments_fit(self) -> None:
        for name in self.arguments:
            _check_argument(name)

    def _nothing_is_added(self) -> None:
        for key in self.model_fields_set - _OF_EXACT:
            hint = f"Write it under `arguments`, as RabbitMQ spells it, or remove `exact`; known: {_listed()}"
            raise Wrong("an exact queue has its arguments only", hint, (key,))
        if "x-queue-type" in self.arguments:
            raise Wrong("has a key of its own", "Write `type`", ("arguments", "x-queue-type"))
        if self.type != "classic" and (not self.durable or self.auto_delete):
            key = "auto_delete" if self.auto_delete else "durable"
            raise Wrong(f"{_A[self.type]} cannot have `{key}`", "Only classic queues can", (key,))

    def settings(self, name: str) -> QueueSettings:
        stream = self.type == "stream"
        typed = not self.exact or "type" in self.model_fields_set
        no_dead_letters = stream or (self.exact and "dead_letter" not in self.model_fields_set)
        return QueueSettings(
            name=name,
            type=self.type if typed else "classic",
            bindings=tuple(binding.source(name) for binding in self.bindings),
            max_priority=self.max_priority,
            retry=self.retry.retry() if self.retry else None,
            dead_letters=self.dead_letter.bounds() if self.dead_letter and not no_dead_letters else None,
            delivery_limit=self.delivery_limit,
            max_length=self.max_length,
            max_length_bytes=self.max_length_bytes,
            message_ttl=self.message_ttl,
            single_active_consumer=self.single_active_consumer,
            consumer_timeout=self.consumer_timeout,
            prefetch=self.prefetch,
            arguments=self.arguments,
            durable=self.durable,
            auto_delete=self.auto_delete,
            exact=self.exact,
            typed=typed,
            overflow=self.overflow,
            expires=self.expires,
            leader_locator=self.leader_locator,
            initial_group_size=self.initial_group_size,
            target_group_size=self.target_group_size,
            consumer_disconnected_timeout=self.consumer_disconnected_timeout,
            queue_mode=self.queue_mode,
            queue_version=self.queue_version,
            max_age=self.max_age,
            max_segment_size=self.max_segment_size,
            filter_size=self.filter_size,
            initial_cluster_size=self.initial_cluster_size,
        )


class TemplatePart(QueuePart):
    """Keys for queues, of any type: what does not go together is found where a queue takes them."""

    @model_validator(mode="after")
    def _type_can_do_it(self) -> TemplatePart:
        for key in ("template", "for_each"):
            if getattr(self, key) is not None:
                raise Wrong(f"`{key}` belongs to a queue", "Write it at the queue that uses this", (key,))
        if not self.exact:
            self._arguments_fit()
        return self


#: Words for what is an option of a call, and no property of a queue.
_DELAYS = frozenset({"delay", "delays", "countdown", "eta", "delay_ms", "delivery_delay"})

#: What an exact queue may have beside its arguments: nothing of it becomes one.
_OF_EXACT = frozenset(
    {"exact", "type", "bindings", "durable", "auto_delete", "arguments", "retry", "dead_letter", "delivery_limit"}
)


_A = {"quorum": "a quorum queue", "classic": "a classic queue", "stream": "a stream"}


def _listed() -> str:
    return ", ".join(sorted(_OF_EXACT - {"exact"}))


def _instead(key: str, queue_type: QueueType) -> str:
    if queue_type == "stream" and key == "max_length":
        return "Write `max_length_bytes` or `max_age`"
    if queue_type == "classic" and key == "consumer_timeout":
        return "Use a quorum queue: RabbitMQ 4.3 refuses it on classic ones"
    names = {"quorum": "quorum queues", "classic": "classic queues", "stream": "streams"}
    return f"Remove it: only {' and '.join(names[one] for one in sorted(KEYS[key]))} can"


def _check_argument(name: str) -> None:
    where = ("arguments", name)
    if name in WRITTEN_AS:
        raise Wrong("has a key of its own", f"Write {WRITTEN_AS[name]}", where)
    close = get_close_matches(name, WRITTEN_AS, 1, cutoff=0.8)
    if close:  # a misspelt argument would be stored and ignored
        raise Wrong(f"unknown argument `{name}`", f"did you mean {WRITTEN_AS[close[0]]}?", where)
