"""How failed tasks of a queue wait."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from amqptasks.topology.delays import LONGEST
from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import LARGEST_NUMBER, Duration, Percentage
from amqptasks.topology.topology import QueueRetry


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
