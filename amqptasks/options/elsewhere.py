"""Names of options that Celery has and we do not."""

from __future__ import annotations

#: Names that Celery has and we do not, and what to do instead.
ELSEWHERE = {
    "acks_on_failure": "a task that failed for good is a dead letter; leave it out",
    "acks_on_failure_or_timeout": "a task that failed for good is a dead letter; leave it out",
    "acks_on_timeout": "a task over its time limit is a dead letter; leave it out",
    "add_to_parent": "a result store keeps the children of a task, always; leave it out",
    "chord": "chords are not run yet",
    "confirm_timeout": "write timeout=",
    "connection": "an app has one connection; leave it out",
    "delivery_mode": "every task is persistent; leave it out",
    "group_id": "groups are not run yet",
    "group_index": "groups are not run yet",
    "immediate": "RabbitMQ does not have it; leave it out",
    "mandatory": "every task is published so; leave it out",
    "once": "write unique=True",
    "producer": "an app has one connection; leave it out",
    "pydantic": "write validate=True",
    "pydantic_context": "write validate=True, and validators in the type hints",
    "pydantic_dump_kwargs": "write validate=True, and serializers in the models",
    "pydantic_strict": "write validate=True, and pydantic's Strict in the type hints",
    "resultrepr_maxsize": "results are not logged; leave it out",
    "retry_errors": "every break is mended; leave it out",
    "retry_on_worker_lost": "a task whose worker died is delivered again, up to delivery_limit; leave it out",
    "send_events": "events are the worker's choice; leave it out",
    "stamped_headers": "use headers=",
    "store_errors_even_if_ignored": "a failure is a dead letter, whatever its result; leave it out",
    "trail": "a result store keeps the children of a task, always; leave it out",
}
