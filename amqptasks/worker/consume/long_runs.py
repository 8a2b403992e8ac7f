"""Says which tasks run longer than the broker waits for their ack, and which setting helps."""

from __future__ import annotations

from collections.abc import Sequence

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools.choice import Pools

logger = get_logger(__name__)

#: Lines for one lost consumer: a worker with thousands of async tasks must not fill the log.
MOST_LINES = 10

#: Parts of the broker's words when it takes back what was not acknowledged in time: from 4.3 on it cancels the
#: consumer, as it does when the queue is deleted; before, it closes the channel.
#: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
_EXPIRED = ("cancelled the consumer", "acknowledgement on channel")


def lease_expired(reason: str) -> bool:
    """Whether a lease that was lost for this reason may have lasted longer than the broker waits for an ack."""
    return any(words in reason for words in _EXPIRED)


def log_long_runs(jobs: Sequence[Job], pools: Pools, queue: QueueSettings) -> None:
    """Name the tasks that run on although the broker took their messages back, the longest run first."""
    now = monotonic()
    runs = [(now - began, job) for job in jobs if (began := pools.of(job).started(job))]
    runs.sort(key=lambda run: run[0], reverse=True)
    for seconds, job in runs[:MOST_LINES]:
        logger.warning(
            "%s[%s] has run for %.0f s, and RabbitMQ has taken its message back: that is longer than its consumer "
            "timeout, or queue %s was deleted. The run goes on, and counts if the message comes back to this worker. "
            "For longer tasks set `consumer_timeout` of the queue in the topology, or `time_limit` of the task",
            job.task_name,
            job.task_id,
            seconds,
            queue.name,
            extra={"action": "consumer_timeout", "task_id": job.task_id, "queue": queue.name, "runtime": seconds},
        )
