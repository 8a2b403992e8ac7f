"""How failed tasks of a queue wait."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from amqptasks.topology.delays import LONGEST
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Duration, Percentage
from amqptasks.topology.topology import QueueRetry
from amqptasks.untrusted.bounds import LARGEST_NUMBER

#: Retry queues of one queue: more would be cheaper in the ladder, which all queues share.
MOST_QUEUES = 16

#: Steps of a linear back-off, from `first` to `max`.
MOST_STEPS = 1000

#: Celery's number of retries, for those that the broker itself delays: it wants a limit.
NATIVE_RETRIES = 3


class RetryPart(Part):
    delays: Annotated[list[Duration], Field(min_length=1)] | None = None
    """The delay before each retry; as many retries as there are delays."""
    queues: bool = False
    """Wait in queues of this queue's own, one a delay, instead of in the ladder that all share: one hop."""
    backoff: Literal["exponential"] | None = None
    """Twice the delay each time, from `first` to `max`."""
    native: bool = False
    """RabbitMQ 4.3 delays the message in its queue: `first`, twice that, three times that, up to `max`. On older
    releases the same delays, in the ladder."""
    first: Duration | None = None
    """The first delay of a back-off; 1 second by default."""
    max: Duration | None = None
    """The longest delay of a back-off; 10 minutes by default."""
    jitter: Percentage = 0.0
    """How much a delay varies, to either side."""
    max_retries: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)] | None = None
    """Retries at most."""

    @model_validator(mode="after")
    def _one_way_to_wait(self) -> RetryPart:
        self._one_kind()
        for key in ("first", "max"):
            if self.delays is not None and key in self.model_fields_set:
                raise Wrong(
                    "belongs to `backoff`, not to `delays`",
                    "Remove it, or write `backoff` in place of `delays`",
                    (key,),
                )
        first, longest = self._bounds()
        if self.delays is None and first > longest:
            raise Wrong("the first delay is longer than `max`", "Lower it, or raise `max`", ("first",))
        for index, delay in enumerate(self.delays or ()):
            if delay > LONGEST:
                raise Wrong("is longer than the longest delay, 397 days", "Write `397d` or less", ("delays", index))
        if self.queues:
            self._queues_fit()
        if self.native:
            self._native_fits(first, longest)
        return self

    def _one_kind(self) -> None:
        for key in ("backoff", "native"):
            if self.delays is not None and getattr(self, key):
                raise Wrong(f"has `delays` and `{key}`", "Keep one of them", (key,))
        if self.native and self.backoff is not None:
            raise Wrong("has `backoff` and `native`", "Keep one of them", ("native",))
        if self.queues and self.delays is None:
            hint = "Write `delays: [5s, 30s, 5m]`, or remove `queues`"
            raise Wrong("retry queues need a list of `delays`", hint, ("queues",))
        if self.delays is None and self.backoff is None and not self.native:
            hint = "Write `delays: [5s, 30s, 5m]`, `backoff: exponential` or `native: true`"
            raise Wrong("says not how to wait", hint)

    def _queues_fit(self) -> None:
        if self.jitter:
            raise Wrong("a retry queue has one fixed delay", "Remove `jitter`, or `queues`", ("jitter",))
        for index, delay in enumerate(self.delays or ()):
            if delay <= 0:
                raise Wrong("must be longer than nothing", "Write `100ms` or more", ("delays", index))
        if len(set(self.delays or ())) > MOST_QUEUES:
            hint = "Remove `queues: true`: the ladder has any delay"
            raise Wrong(f"would make more than {MOST_QUEUES} queues", hint, ("delays",))

    def _native_fits(self, first: float, longest: float) -> None:
        if self.jitter:
            raise Wrong("the broker knows no jitter", "Remove `jitter`, or write `backoff: exponential`", ("jitter",))
        if first <= 0:
            raise Wrong("must be longer than nothing", "Write `first: 1s`", ("first",))
        if longest > MOST_STEPS * first:
            hint = "Raise `first`, or write `backoff: exponential`"
            raise Wrong(f"is more than {MOST_STEPS} times `first`: too far for equal steps", hint, ("max",))
        if (self.max_retries or 0) > MOST_STEPS:
            hint = f"Write {MOST_STEPS} or less, or `backoff: exponential`"
            raise Wrong(f"must be at most {MOST_STEPS} where the broker itself delays", hint, ("max_retries",))

    def _bounds(self) -> tuple[float, float]:
        """A back-off's defaults are Celery's: 1 second at first, 10 minutes at most."""
        return 1.0 if self.first is None else self.first, 600.0 if self.max is None else self.max

    def retry(self) -> QueueRetry:
        """Fixed delays are a number of retries as well; an exponential back-off leaves it to the task."""
        first, longest = self._bounds()
        if self.delays is not None:
            retries = len(self.delays) if self.max_retries is None else self.max_retries
            kind: Literal["queues", "ladder"] = "queues" if self.queues else "ladder"
            return QueueRetry(tuple(self.delays), jitter=self.jitter, max_retries=retries, kind=kind)
        if self.native:
            retries = NATIVE_RETRIES if self.max_retries is None else self.max_retries
            steps = tuple(round(min(first * step, longest), 3) for step in range(1, max(1, retries) + 1))
            return QueueRetry(steps, first, longest, max_retries=retries, kind="native")
        return QueueRetry((), first, longest, self.jitter, self.max_retries)
