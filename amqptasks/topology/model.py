"""The topology file, typed: what may stand where. Needs pydantic; what comes out of it, `topology.py`, does not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from amqptasks.topology import durations
from amqptasks.topology.arguments import KNOWN, WRITTEN_AS
from amqptasks.topology.delays import LONGEST
from amqptasks.topology.topology import (
    DELIVERY_LIMIT,
    DeadLetter,
    ExchangeSettings,
    ExchangeType,
    QueueRetry,
    QueueSettings,
    QueueType,
    Source,
)

#: The one version of the format so far.
VERSION = 1

#: Quorum queues order by 0 to 31 and treat what is above as 31.
QUORUM_PRIORITIES = 31

#: RabbitMQ takes lengths and limits up to a signed 64-bit number.
LARGEST_NUMBER = 2**63 - 1


class Wrong(ValueError):
    """A value that cannot be. `problem` never repeats it, for it may come from a variable; `inside` leads from the
    value that was looked at to the one that is wrong."""

    def __init__(self, problem: str, hint: str | None = None, inside: tuple[str | int, ...] = ()) -> None:
        self.problem = problem
        self.hint = hint
        self.inside = inside
        super().__init__(problem)


def _duration(value: object) -> object:
    found = durations.seconds(value) if isinstance(value, str) else None
    if found is None:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        hint = "Write a unit: `5s`, `250ms`, `10m`, `2h`, `14d`" if numeric else "Write it as `5s`, `250ms` or `1h 30m`"
        raise Wrong("is no duration", hint)
    return found


def _lasting(value: object) -> object:
    found = _duration(value)
    if not isinstance(found, float) or not 0 < found <= durations.TEN_YEARS:
        raise Wrong("must be longer than nothing and at most ten years")
    return found


def _percentage(value: object) -> object:
    found = durations.fraction(value) if isinstance(value, str) else None
    if found is None or found > 1:
        raise Wrong("is no percentage from 0% to 100%", "Write it as `10%`")
    return found


Duration = Annotated[float, BeforeValidator(_duration)]
Lasting = Annotated[float, BeforeValidator(_lasting)]
Percentage = Annotated[float, BeforeValidator(_percentage)]
Count = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
#: AMQP's octet.
Priority = Annotated[int, Field(ge=0, le=255)]


class Part(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                raise Wrong(f"unknown key `{key}`", cls._meant(str(key)), (str(key),))
        return value

    @classmethod
    def _meant(cls, key: str) -> str:
        if key in WRITTEN_AS and "arguments" in cls.model_fields:
            return f"Write {WRITTEN_AS[key]} instead"
        close = get_close_matches(key.lower().replace("-", "_"), cls.model_fields, 1)
        return f"did you mean `{close[0]}`?" if close else f"Known here: {', '.join(cls.model_fields)}"


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


class RetryPart(Part):
    delays: Annotated[list[Duration], Field(min_length=1)] | None = None
    backoff: Literal["exponential"] | None = None
    first: Duration | None = None
    max: Duration | None = None
    jitter: Percentage = 0.0
    max_retries: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)] | None = None

    @model_validator(mode="after")
    def _one_way_to_wait(self) -> RetryPart:
        if self.delays is not None and self.backoff is not None:
            raise Wrong("has `delays` and `backoff`", "Keep one of them", ("backoff",))
        if self.delays is None and self.backoff is None:
            raise Wrong("says not how to wait", "Write `delays: [5s, 30s, 5m]` or `backoff: exponential`")
        for key in ("first", "max"):
            if self.delays is not None and key in self.model_fields_set:
                raise Wrong("belongs to `backoff`, not to `delays`", inside=(key,))
        retry = self.retry()
        if retry.first is not None and retry.max is not None and retry.first > retry.max:
            raise Wrong("the first delay is longer than `max`", inside=("first",))
        for index, delay in enumerate(retry.delays):
            if delay > LONGEST:
                raise Wrong("is longer than the longest delay, 397 days", inside=("delays", index))
        return self

    def retry(self) -> QueueRetry:
        """Fixed delays are a number of retries as well; a back-off leaves it to the task. A back-off's defaults are
        Celery's: 1 second at first, 10 minutes at most."""
        if self.delays is not None:
            retries = len(self.delays) if self.max_retries is None else self.max_retries
            return QueueRetry(tuple(self.delays), jitter=self.jitter, max_retries=retries)
        first = 1.0 if self.first is None else self.first
        longest = 600.0 if self.max is None else self.max
        return QueueRetry((), first, longest, self.jitter, self.max_retries)


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


def _nothing_means_defaults(value: object) -> object:
    """`emails:` with nothing behind it is a queue with all defaults."""
    return {name: {} if part is None else part for name, part in value.items()} if isinstance(value, dict) else value


class FilePart(Part):
    """A whole file."""

    version: Literal[1]
    vhost: Annotated[str, Field(min_length=1)] | None = None
    exchanges: Annotated[dict[str, ExchangePart], BeforeValidator(_nothing_means_defaults)] = {}
    queues: Annotated[dict[str, QueuePart], BeforeValidator(_nothing_means_defaults)] = {}
    routes: dict[str, RoutePart] = {}
    default_queue: str | None = None
    delays: DelaysPart | None = None


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"{name} queues" for name in sorted(names))
