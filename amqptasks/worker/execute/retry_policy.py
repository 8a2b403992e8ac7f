"""How a task is retried that came from a queue: as it says itself, else as the queue does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amqptasks.options.retry import RetryPolicy
from amqptasks.tasks.task import Task
from amqptasks.topology.topology import QueueSettings

#: Seconds before the first retry of a queue whose `retry:` has a back-off and no `first`.
FIRST_DELAY = 1.0


class RetryPolicies:
    """The policy for a task on a queue: the task's own where it has one, else the queue's `retry:`."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], RetryPolicy] = {}

    def of(self, task: Task[..., Any], queue: QueueSettings) -> RetryPolicy:
        key = (task.name, queue.name)
        policy = self._known.get(key)
        if policy is None:
            policy = self._known[key] = policy_of(task, queue)
        return policy


def policy_of(task: Task[..., Any], queue: QueueSettings) -> RetryPolicy:
    """A queue's `retry:` retries after any exception, as often as it has delays; `throws` are failures at once."""
    retry = queue.retry
    if retry is None or task.has_retry_policy:
        return task.retry_policy
    policy = RetryPolicy(
        autoretry_for=(Exception,), dont_autoretry_for=task.throws, jitter=retry.jitter, retry_jitter=False
    )
    if retry.max_retries is not None or retry.delays:
        policy = replace(policy, max_retries=len(retry.delays) if retry.max_retries is None else retry.max_retries)
    if retry.delays:
        return replace(policy, delays=retry.delays)
    return replace(
        policy, retry_backoff=retry.first or FIRST_DELAY, retry_backoff_max=retry.max or policy.retry_backoff_max
    )
