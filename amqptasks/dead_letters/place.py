"""Where the dead letters are that a queue's name means."""

from __future__ import annotations

from dataclasses import dataclass

from amqptasks.errors import ConfigurationError
from amqptasks.topology.delays import LOST
from amqptasks.topology.topology import DEAD, Topology, did_you_mean
from amqptasks.transport import Session


@dataclass(frozen=True, slots=True)
class Place:
    """`queue` is the queue that letters are in; of them, those that came from `source` are meant, or all (None). Where
    it is not `certain` that it is one for dead letters, it may be a work queue. `sources` are the queues whose letters
    a topology puts there."""

    queue: str
    source: str | None = None
    certain: bool = True
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.queue if self.source is None else f"{self.source} in {self.queue}"


def place(session: Session, name: str, topology: Topology | None = None) -> Place:
    """What is meant by `name`: a work queue, whose letters are where the topology says; a queue of dead letters, as it
    is; or `amqptasks.delay.lost`. Without a topology that knows it, the letters of a queue are in `NAME.dead`, and a
    queue without one holds them itself.

    Raises `ConfigurationError` where there is no such queue, or where it must be a work queue.
    """
    found = (_declared(name, topology) if topology is not None else None) or _called(session, name)
    if session.queue_state(found.queue) is None:
        raise ConfigurationError(_absent(session, found.queue, topology))
    return found


def _declared(name: str, topology: Topology) -> Place | None:
    """As the topology says; None for a name that it does not know. A queue for the dead letters of others may have a
    dead-letter queue of its own, and is meant itself."""
    if name in topology.ends:
        return Place(name, sources=topology.ends[name])
    settings = topology.queues.get(name)
    if settings is None:
        return None
    if settings.dead_letter is None:
        raise ConfigurationError(f"the topology gives the queue {name!r} no dead-letter queue: it keeps none")
    source = name if settings.own_dead_letter is None else None
    return Place(settings.dead_letter, source, sources=topology.ends[settings.dead_letter])


def _called(session: Session, name: str) -> Place:
    """By its name alone."""
    own = f"{name}{DEAD}"
    if name == LOST or name.endswith(DEAD):
        return Place(name)
    if session.queue_state(own) is not None:
        return Place(own)
    state = session.queue_state(name)
    if state is None:
        return Place(own)
    if state.consumers:
        raise ConfigurationError(
            f"the queue {name!r} has no dead-letter queue {own!r}, and is consumed, as a work queue is: name the app"
            f" whose topology says where its dead letters are, with -A MODULE"
        )
    return Place(name, certain=False)


def _absent(session: Session, name: str, topology: Topology | None) -> str:
    work = name.removesuffix(DEAD)
    known = topology.queue_names if topology is not None else ()
    hint = f"the app has {', '.join(known)}" if known else "is it this virtual host?"
    if topology is not None and work != name and work in topology.queues:
        elsewhere = topology.queues[work].dead_letter
        if elsewhere not in (None, name):
            hint = f"the dead letters of {work!r} are in {elsewhere!r}"
    elif work not in known:
        hint = did_you_mean(work, known, hint) or hint
    if work != name and session.queue_state(work) is not None:
        return f"the queue {work!r} has no dead-letter queue {name!r}: {hint}"
    return f"there is no queue {name!r} on the broker: {hint}"
