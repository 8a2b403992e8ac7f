"""Looking into a dead-letter queue, and emptying it: by replay or for good.

Everything reads with a consumer and gives back what it does not remove. The management API's `get` would count as a
delivery, and delete what was looked at too often. Order stays (3.10: what was looked at goes to the queue's end).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from amqptasks.dead_letters.dead_letter import DeadLetter, read
from amqptasks.dead_letters.home import home, is_lost, of_queue, takes_tasks
from amqptasks.dead_letters.replay import AS_IT_WAS, Edit, to_replay
from amqptasks.dead_letters.selection import EVERY, Selection
from amqptasks.errors import BrokerError, MessageTooLarge, Nacked, PublishRejected, Unroutable
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.middleware import NO_MIDDLEWARE, Middlewares
from amqptasks.runtime.clock import monotonic, pause
from amqptasks.topology.delays import LOST
from amqptasks.topology.topology import DEAD
from amqptasks.transport import Session

Progress = Callable[[DeadLetter], None]

#: Letters taken at once. Each may hold megabytes, so this bounds our memory; a channel is used for each window, of
#: which a connection has 2047: 400,000 letters can be looked at in one go.
WINDOW = 200

#: Seconds between two looks at the broker while a slow replay waits, so that it does not take us for dead.
AWAKE = 5.0

#: Seconds within which letters that were given back are in their queue again, between two looks whether they are: the
#: broker confirms no giving back, and a quorum queue takes a moment for it.
BACK_WITHIN, LOOK_EVERY = 2.0, 0.02

#: Stands in `Replayed.refused` for the queue of letters that do not say where they came from.
NOWHERE = "(unknown)"

#: Why those stayed.
NO_HOME = "nothing says where they came from: name a queue"


#: Why others stayed.
ELSEWHERE = "the dead letters of that queue are not in"
NAME_IT = "replay them with --to, if that is right"

#: Why a delayed message stayed whose header names an exchange of another program.
NO_TASKS = f"no delayed task is for that exchange, or `amqptasks declare` must make its twin: {NAME_IT}"


@dataclass(slots=True)
class Replayed:
    """`count` letters are back in a queue. `refused` has, by queue, how many stayed because it did not take them, and
    the first error. `missing` are ids that were asked for and were not there."""

    count: int = 0
    refused: dict[str, tuple[int, BrokerError]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


def letters(
    session: Session, queue: str, selection: Selection = EVERY, limit: int | None = None, codec: Codec = PLAIN
) -> Iterator[DeadLetter]:
    """The letters that fit, oldest first, at most `limit`; nothing is changed. Those of `queue` that others look at
    now, and those that come meanwhile, are not seen. Raises `BrokerError` where there is no such queue."""
    found = 0
    window = WINDOW if limit is None or selection != EVERY else min(limit, WINDOW)
    try:
        for delivery in _taken(session, queue, window):
            letter = read(delivery, codec)
            if selection.fits(letter):
                yield letter
                found += 1
                if found == limit:
                    return
    finally:
        session.give_back()


def count(session: Session, queue: str, selection: Selection = EVERY) -> int:
    """How many letters fit. All are in the queue again when it returns, unless others took some meanwhile."""
    waiting = _waiting(session, queue)
    if selection == EVERY:
        return waiting
    found = sum(1 for _ in letters(session, queue, selection))
    latest = monotonic() + BACK_WITHIN
    while _waiting(session, queue) < waiting and monotonic() < latest:
        pause(LOOK_EVERY)
    return found


def replay(
    session: Session,
    queue: str,
    selection: Selection = EVERY,
    *,
    to: str | None = None,
    edit: Edit = AS_IT_WAS,
    rate: float | None = None,
    progress: Progress | None = None,
    codec: Codec = PLAIN,
    sources: Collection[str] = (),
    middleware: Middlewares = NO_MIDDLEWARE,
) -> Replayed:
    """Send the letters that fit to the queue they came from, or to queue `to`, as new: no retries counted, no reason.
    Those of `amqptasks.delay.lost` go on as they were, to the exchange that they were meant for.

    Each is published, confirmed, and only then removed here: an end at any moment loses nothing, and leaves at most
    one letter in both places, with one id. `edit` changes them on the way, `rate` is letters a second, `progress` is
    called after each. A queue that refuses (full, or not there) keeps its letters here; those of others go on.
    What does not say where it came from stays, too, and what says that it came from a queue whose dead letters are not
    here: `sources` are those whose are, besides `NAME` for `NAME.dead`.

    Only what waits when the call begins is replayed, not what fails again meanwhile. Raises `BrokerError` where there
    is no such queue or no connection, `ConfigurationError` for an edit that cannot be sent, or a signed letter that
    must be signed anew where `codec` has no keys. `middleware` is around the publish of each.
    """
    replayed = Replayed(missing=set(selection.ids))
    due = monotonic()
    try:
        for delivery in _taken(session, queue, WINDOW):
            letter = read(delivery, codec)
            if not selection.fits(letter):
                continue
            replayed.missing.discard(letter.id)
            destination = of_queue(to) if to is not None else home(letter.queue, delivery)
            if destination is None:
                _refuse(replayed, NOWHERE, Unroutable(NO_HOME))
                continue
            if to is None and _is_elsewhere(letter.queue, queue, sources):
                _refuse(replayed, str(destination), Unroutable(f"{ELSEWHERE} {queue!r}: {NAME_IT}"))
                continue
            if str(destination) in replayed.refused:
                _refuse(replayed, str(destination), replayed.refused[str(destination)][1])
                continue
            if to is None and is_lost(delivery) and not takes_tasks(session, destination.exchange):
                _refuse(replayed, str(destination), Unroutable(NO_TASKS))
                continue
            if rate is not None:
                _wait_until(due, session, queue)
                due = max(due, monotonic() - 1.0) + 1.0 / rate
            try:
                session.publish(to_replay(letter, destination, edit, codec, middleware))
            except (Unroutable, Nacked, PublishRejected, MessageTooLarge) as error:
                _refuse(replayed, str(destination), error)
                continue
            session.ack(delivery)
            replayed.count += 1
            if progress is not None:
                progress(letter)
    finally:
        session.give_back()
    return replayed


def purge(session: Session, queue: str, selection: Selection = EVERY, progress: Progress | None = None) -> int:
    """Remove the letters that fit, for good; how many they were. Raises as `letters`."""
    if selection == EVERY:
        _waiting(session, queue)
        return session.purge_queue(queue)
    purged = 0
    try:
        for delivery in _taken(session, queue, WINDOW):
            letter = read(delivery)
            if selection.fits(letter):
                session.ack(delivery)
                purged += 1
                if progress is not None:
                    progress(letter)
    finally:
        session.give_back()
    return purged


def _taken(session: Session, queue: str, window: int) -> Iterator[Delivery]:
    """What waits in the queue now, each once, all held; a window at a time."""
    remaining = _waiting(session, queue)
    while remaining > 0:
        wanted = min(window, remaining)
        came = 0
        for delivery in session.take(queue, wanted):
            came += 1
            yield delivery
        remaining -= came
        if came < wanted:
            return


def _waiting(session: Session, queue: str) -> int:
    state = session.queue_state(queue)
    if state is None:
        raise BrokerError(f"there is no queue {queue!r} on the broker")
    return state.messages


def _is_elsewhere(came_from: str | None, queue: str, sources: Collection[str]) -> bool:
    """Whether a letter in `queue` claims to be of a queue whose letters are not kept there."""
    own = queue.removesuffix(DEAD)
    if came_from is None or queue == LOST or came_from in (own, *sources):
        return False
    return bool(sources) or own != queue


def _refuse(replayed: Replayed, destination: str, error: BrokerError) -> None:
    before = replayed.refused.get(destination, (0, error))
    replayed.refused[destination] = (before[0] + 1, before[1])


def _wait_until(due: float, session: Session, queue: str) -> None:
    while (rest := due - monotonic()) > 0:
        time.sleep(min(rest, AWAKE))
        if rest > AWAKE:
            session.queue_state(queue)
