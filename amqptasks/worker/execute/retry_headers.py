"""Middleware around the publish of a retry: the headers that it adds to the next attempt's message."""

from __future__ import annotations

from dataclasses import replace

from amqptasks.messages.middleware import Middlewares
from amqptasks.tasks.outcomes import Retry
from amqptasks.worker.job.job import Job


def with_headers(job: Job, outcome: Retry, middleware: Middlewares) -> Retry:
    """The retry with what middleware adds to its message. Raises as `Middlewares.added`."""
    request = job.request
    assert request is not None
    again = replace(
        request,
        retries=request.retries + 1,
        args=request.args if outcome.call_args is None else outcome.call_args,
        kwargs=request.kwargs if outcome.call_kwargs is None else outcome.call_kwargs,
    )
    return replace(outcome, headers=middleware.added(again))
