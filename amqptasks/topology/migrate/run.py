"""From what is on the broker to the stages that are left, and through them."""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.errors import BrokerError, DeclarationConflict
from amqptasks.runtime.clock import monotonic
from amqptasks.topology.migrate import marks, refusals, stages
from amqptasks.topology.migrate.migration import Counts, Event, Migration, is_as_wanted

Stage = Callable[[Migration], str]

#: The old queue is there.
WAY_OUT: tuple[Stage, ...] = (
    stages.prepare,
    stages.redirect,
    stages.take_over,
    stages.turn_aside,
    stages.drain,
    stages.remove,
)

#: There is no queue of this name now.
BETWEEN: tuple[Stage, ...] = (stages.remake,)

#: The new queue is there.
WAY_BACK: tuple[Stage, ...] = (stages.fill, stages.turn_back, stages.restore, stages.empty)

#: The new queue is there, and nothing leads around it any more.
WITHOUT_GATE: tuple[Stage, ...] = (stages.fill, stages.empty)

#: Nothing is in the shadow.
END: tuple[Stage, ...] = (stages.clear,)

#: Times that somebody may bring the old form back in the moment in which there is no queue, before we give up.
TRIES = 3


def remaining(migration: Migration) -> tuple[Stage, ...]:
    """The stages that are still to be done, by what is on the broker alone; none where the queue is as wanted and no
    migration is under way. Raises `BrokerError` where there is no such queue, `ConfigurationError` where it is of a
    kind that cannot be moved."""
    queue, session = migration.queue, migration.session
    observed = migration.observed()
    begun = session.exchange_exists(marks.aside(queue))
    if observed is None:
        if not begun:
            raise BrokerError(f"there is no queue {queue!r} on the broker: `amqptasks declare` creates it as wanted")
        return BETWEEN + WAY_BACK + END
    refusals.refuse_observed(observed)
    if not is_as_wanted(observed, migration.wanted):
        return WAY_OUT + BETWEEN + WAY_BACK + END
    if not begun:
        return ()
    return (WAY_BACK if session.exchange_exists(marks.gate(queue)) else WITHOUT_GATE) + END


def migrate(migration: Migration) -> Counts:
    """Do what is left of it. What was counted by this run; `migration.tell` hears of every step.

    Raises `ConfigurationError` for what cannot be migrated, `ConnectionBlocked` during an alarm, `AccessRefused`
    without the rights, `BrokerError` where workers hold messages for longer than `migration.patience`, or another
    migration of the queue runs. After an error, as after a crash, it can be called again and goes on.
    """
    refusals.refuse_topology(migration.wanted)
    left = remaining(migration)
    if left:
        refusals.refuse_alarms(migration)
        refusals.refuse_strangers(migration)
        refusals.refuse_policies(migration)
        observed = migration.observed()
        if observed is not None:
            refusals.check_rights(migration, observed)
        refusals.take_lock(migration)
        waiting = migration.session.queue_state(marks.shadow(migration.queue))
        migration.counts.waited = waiting.messages if waiting is not None else 0
    for attempt in range(1, TRIES + 1):
        try:
            _through(migration, left)
            break
        except DeclarationConflict as conflict:
            if conflict.name != migration.queue or attempt == TRIES:
                raise
            left = remaining(migration)
    if left:
        migration.session.delete_queue(marks.lock(migration.queue))
    migration.counts.seconds = monotonic() - migration.began
    return migration.counts


def _through(migration: Migration, left: tuple[Stage, ...]) -> None:
    for stage in left:
        name = stage.__name__
        migration.tell(Event(name, "begins"))
        detail = stage(migration)
        migration.counts.stages += 1
        migration.tell(Event(name, detail))
