"""What cannot be migrated, said before anything is touched."""

from __future__ import annotations

import re
import time

from amqptasks.errors import BrokerError, ConfigurationError, ConnectionBlocked
from amqptasks.runtime.clock import monotonic
from amqptasks.topology.broker.observed import ObservedQueue, Section, observe
from amqptasks.topology.migrate import marks
from amqptasks.topology.migrate.migration import Migration
from amqptasks.transport.entities import Policy, Queue
from amqptasks.untrusted.bounds import LONGEST_NAME

#: Seconds for the broker to notice that an interrupted migration is gone, and to free its lock.
LOCK_WITHIN = 3.0

#: AMQP's reply code for an exclusive queue of somebody else's.
_LOCKED = "405"


def refuse_topology(wanted: Queue) -> None:
    """Raises `ConfigurationError` for a queue that cannot be migrated whatever the broker has."""
    name = wanted.name
    if wanted.arguments.get("x-queue-type") == "stream":
        raise ConfigurationError(
            f"queue {name!r} is a stream in the topology: a stream is read, not emptied, so nothing can be moved into"
            " it in place of a queue. Declare the stream under another name"
        )
    if name.startswith("amqptasks."):
        raise ConfigurationError(f"queue {name!r} belongs to the delays; `amqptasks declare` looks after it")
    if len(marks.aside(name).encode()) > LONGEST_NAME:
        raise ConfigurationError(f"the name {name!r} is too long: {marks.aside(name)!r} must fit into 255 bytes")


def refuse_observed(observed: ObservedQueue) -> None:
    """Raises `ConfigurationError` for a queue on the broker that cannot be emptied."""
    name = observed.name
    if observed.type == "stream":
        raise ConfigurationError(
            f"queue {name!r} is a stream on the broker: what was read stays in it, so it cannot be emptied. Declare the"
            " new queue under another name, and let its consumers follow"
        )
    if observed.queue.exclusive:
        raise ConfigurationError(f"queue {name!r} is exclusive: it belongs to one connection, and goes away with it")
    if observed.queue.auto_delete:
        raise ConfigurationError(
            f"queue {name!r} deletes itself with its last consumer: stop its consumers, then run `amqptasks declare`"
        )
    if observed.internal:
        raise ConfigurationError(f"queue {name!r} is the broker's own")


def refuse_alarms(migration: Migration) -> None:
    """Raises `ConnectionBlocked` while the broker takes no messages."""
    management = migration.management
    answer = management.request("GET", "health", "checks", "alarms")
    if isinstance(answer, dict) and answer.get("status") == "failed":
        raise ConnectionBlocked(
            f"the broker takes no messages now: {answer.get('reason', 'an alarm is on')}. Free memory or disk first"
        )


def refuse_strangers(migration: Migration) -> None:
    """Raises `ConfigurationError` where our name is somebody else's."""
    name = marks.shadow(migration.queue)
    session = migration.session
    if session.queue_state(name) is not None and not session.exchange_exists(marks.aside(migration.queue)):
        raise ConfigurationError(
            f"there is a queue {name!r} already, and it is not ours: a migration needs that name. Rename or delete it"
        )


def refuse_policies(migration: Migration) -> None:
    """Raises `ConfigurationError` where a policy would have the broker delete the shadow with all that waits in it."""
    name = marks.shadow(migration.queue)
    sections: tuple[Section, ...] = ("policies",)
    fitting = [policy for policy in observe(migration.management, sections).policies if _fits(policy, name)]
    for operator in (False, True):
        policies = [policy for policy in fitting if policy.operator is operator]
        policy = max(policies, key=lambda one: one.priority, default=None)  # of each kind, one counts
        if policy is not None and "expires" in policy.definition:
            raise ConfigurationError(
                f"the policy {policy.name!r} gives {name!r} `expires`: the broker would delete it with all messages if"
                f" the migration stopped. Change the policy's pattern, so that it does not fit {name!r}"
            )


def _fits(policy: Policy, queue: str) -> bool:
    return policy.apply_to in ("all", "queues", "quorum_queues") and re.search(policy.pattern, queue) is not None


def check_rights(migration: Migration, observed: ObservedQueue) -> None:
    """Raises `AccessRefused` where this user may not do what comes: declaring and binding what is there already tells,
    and changes nothing."""
    migration.session.declare_queue(observed.queue)
    for binding in migration.sources()[:1]:
        migration.session.bind(binding)


def take_lock(migration: Migration) -> None:
    """Raises `BrokerError` while another migration of the queue runs. The lock ends with our connection."""
    held = Queue(marks.lock(migration.queue), durable=False, exclusive=True, arguments={"x-queue-type": "classic"})
    deadline = monotonic() + LOCK_WITHIN
    while True:
        try:
            migration.session.declare_queue(held)
        except BrokerError as error:
            if _LOCKED not in str(error):
                raise
            if monotonic() > deadline:
                raise BrokerError(
                    f"another `amqptasks migrate {migration.queue}` is running: wait for it, or stop it"
                ) from None
            time.sleep(0.1)
        else:
            return
