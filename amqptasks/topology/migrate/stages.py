"""The stages of a migration. Each can be done again where an earlier run broke off; `run.py` knows where to begin.

    publishers -> exchanges -> queue                      before
    publishers -> exchanges -> gate -> queue              redirect
    publishers -> exchanges -> gate -> aside -> shadow    turn_aside ... turn_back, while the queue is replaced
    publishers -> exchanges -> queue                      restore

The gate is an exchange whose alternate leads to the shadow, so one binding decides for all publishers at once: no
message goes to both queues, and none to neither.
"""

from __future__ import annotations

import time

from amqptasks.errors import BrokerError
from amqptasks.runtime.clock import monotonic
from amqptasks.topology.broker.declare import declare
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.broker.unbinding import unbind
from amqptasks.topology.migrate import marks
from amqptasks.topology.migrate.figures import Emptiness, figures
from amqptasks.topology.migrate.message import Fit, homeward, outward
from amqptasks.topology.migrate.migration import Event, Migration, groundwork
from amqptasks.topology.migrate.mover import BYTES_UNDER_WAY, PREFETCH, Mover
from amqptasks.transport.entities import Binding, Exchange
from amqptasks.untrusted.numbers import counted

#: Messages left over when the gate turns. They are overtaken by new ones, for the moment that moving them takes.
NEAR = 200

#: Seconds without progress after which the gate turns all the same: more comes than can be moved, or a worker has the
#: queue for itself (single active consumer).
STUCK = 3.0

#: Seconds between two looks: short against a stage, and a look is one round trip.
LOOK_EVERY = 0.05

#: Seconds after the gate has turned in which what was routed before may still reach the queue.
SETTLE = 0.5

#: Seconds between two questions to the management API.
ASK_EVERY = 0.25

#: Seconds without the queue on RabbitMQ before 4.0, which forgets to cancel the consumers of a quorum queue that comes
#: back within 0.1 s: it says that they are there, and gives them nothing.
FORGETFUL = 0.5

#: The fewest messages under way at once, however large they are.
LEAST_PREFETCH = 5


def prepare(m: Migration) -> str:
    """Everything that stands beside the queue; nothing leads to it yet."""
    queue, session = m.queue, m.session
    missing = groundwork(m.objects, queue, m.declared, observe(m.management, ()))
    declare(missing, session)
    session.declare_exchange(Exchange(marks.MIGRATIONS, "fanout"))
    session.declare_exchange(Exchange(marks.aside(queue), "fanout"))
    session.declare_queue(marks.shadow_queue(m.wanted))
    session.bind(Binding(marks.aside(queue), marks.shadow(queue)))
    session.declare_exchange(marks.gate_exchange(queue))
    session.bind(marks.open_gate(queue))
    session.bind(Binding(marks.MIGRATIONS, marks.gate(queue), queue, "exchange"))
    made = f", and what the new queue needs: {', '.join(one.name for one in missing.queues)}" if missing.queues else ""
    return f"declared {marks.shadow(queue)}{made}"


def redirect(m: Migration) -> str:
    """Bound both ways for a moment, a message reaches the queue once all the same: RabbitMQ delivers one message once
    to a queue, by however many ways it gets there."""
    found = m.sources()
    for binding in found:
        m.session.bind(m.to_gate(binding))
        m.tell(Event("redirect", f"bound {binding.source} to the gate"))
        unbind(binding, m.session, m.management)
        m.tell(Event("redirect", f"unbound {binding.source} from the queue"))
    m.counts.bindings += len(found)
    return f"{counted(len(found), 'binding leads', 'bindings lead')} through {marks.gate(m.queue)}"


def take_over(m: Migration) -> str:
    """Move what waits, before the gate turns: so new messages stay behind the older ones. Workers get nothing new from
    here on, and finish what they have."""
    m.taken_over = monotonic()
    m.mover = _mover(m, m.queue, outward(marks.aside(m.queue), m.management.user, m.keeps_deaths))
    m.mover.start()
    _chase(m, "take_over", m.mover)
    return f"{counted(m.mover.moved, 'message')} moved to {marks.shadow(m.queue)}"


def turn_aside(m: Migration) -> str:
    m.session.unbind(marks.open_gate(m.queue))
    m.turned = monotonic()
    return f"new messages go to {marks.shadow(m.queue)}"


def drain(m: Migration) -> str:
    """The rest, also what workers give back; until nothing is left in any state."""
    assert m.mover is not None
    _wait_empty(m, "drain", m.queue, m.mover)
    return f"{m.queue} is empty"


def remove(m: Migration) -> str:
    """Delete the queue, if it is empty and nothing leads to it; else `drain` again."""
    assert m.mover is not None
    deadline = monotonic() + m.patience
    while not _removed(m, m.mover):
        if monotonic() > deadline:
            raise BrokerError(
                f"something binds or fills {m.queue!r} again and again, for {m.patience:.0f} s now. Nothing is lost:"
                " run it again when that has ended"
            )
        drain(m)
    m.mover.close()
    m.counts.out, m.counts.twice = m.mover.moved, m.mover.twice
    return f"deleted the old {m.queue}"


def remake(m: Migration) -> str:
    if m.session.capabilities.version < (4, 0, 0):
        time.sleep(FORGETFUL)
    m.session.declare_queue(m.wanted)
    if m.removed is not None:
        m.counts.absent = monotonic() - m.removed
    return f"declared the new {m.queue}"


def fill(m: Migration) -> str:
    """Move back what waited longest first, and only then let new messages in."""
    m.session.declare_exchange(Exchange(marks.back(m.queue), "fanout"))
    m.session.bind(Binding(marks.back(m.queue), m.queue))
    if m.taken_over is not None:
        m.counts.paused = monotonic() - m.taken_over
    m.mover = _mover(m, marks.shadow(m.queue), homeward(marks.back(m.queue), m.management.user, m.keeps_deaths))
    m.mover.start()
    _chase(m, "fill", m.mover)
    return f"{counted(m.mover.moved, 'message')} moved back"


def turn_back(m: Migration) -> str:
    m.session.bind(marks.open_gate(m.queue))
    m.turned = monotonic()
    return f"new messages go to {m.queue}"


def restore(m: Migration) -> str:
    found = m.redirected()
    for binding in found:
        m.session.bind(binding)
        m.tell(Event("restore", f"bound {binding.source} to the queue"))
        unbind(m.to_gate(binding), m.session, m.management)
        m.tell(Event("restore", f"unbound {binding.source} from the gate"))
    return f"{counted(len(found), 'binding leads', 'bindings lead')} to {m.queue}"


def empty(m: Migration) -> str:
    """The last ones out of the shadow."""
    assert m.mover is not None
    _wait_empty(m, "empty", marks.shadow(m.queue), m.mover)
    m.mover.close()
    m.counts.home = m.mover.moved - m.mover.twice
    m.counts.twice += m.mover.twice
    return f"{marks.shadow(m.queue)} is empty"


def clear(m: Migration) -> str:
    """The marks go last: as long as one is there, the next run goes on here."""
    queue, session = m.queue, m.session
    state = session.queue_state(marks.shadow(queue))
    if state is not None and state.messages:
        raise BrokerError(
            f"{counted(state.messages, 'message')} came to {marks.shadow(queue)} from elsewhere: run it again"
        )
    session.delete_exchange(marks.gate(queue))
    session.delete_exchange(marks.back(queue))
    session.delete_queue(marks.shadow(queue))
    session.delete_exchange(marks.aside(queue))
    _delete_unused(m, marks.MIGRATIONS)
    return "nothing of the migration is left"


def _mover(m: Migration, queue: str, fit: Fit) -> Mover:
    row = m.management.find("queues", m.management.vhost, queue) or {}
    messages, size = row.get("messages") or 0, row.get("message_bytes") or 0
    average = size / messages if messages else 0
    prefetch = PREFETCH if average * PREFETCH <= BYTES_UNDER_WAY else int(BYTES_UNDER_WAY / average)
    return Mover(m.link, queue, fit, max(LEAST_PREFETCH, prefetch))


def _chase(m: Migration, stage: str, mover: Mover) -> None:
    """Until the mover has nearly caught up, or gets no nearer."""
    nearest, since = None, monotonic()
    while True:
        mover.check()
        state = m.session.queue_state(mover.queue)
        left = (state.messages if state is not None else 0) + mover.held
        m.tell(Event(stage, "moving", mover.moved, left))
        now = monotonic()
        if nearest is None or left < nearest:
            nearest, since = left, now
        if left <= NEAR or now - since > STUCK:
            return
        time.sleep(LOOK_EVERY)


def _wait_empty(m: Migration, stage: str, queue: str, mover: Mover) -> None:
    emptiness = Emptiness((m.turned or monotonic()) + SETTLE, m.every)
    deadline = monotonic() + m.patience + emptiness.longest
    while True:
        mover.check()
        asked = monotonic()
        found, state = figures(m.management, queue), m.session.queue_state(queue)
        if found is None or state is None:
            raise BrokerError(f"queue {queue!r} was deleted by somebody else meanwhile: run it again")
        proven = emptiness.proven(found, asked)
        if proven and not state.messages and not mover.held:
            return
        if asked > deadline:
            raise _impatient(m, queue, found.messages, mover)
        m.tell(Event(stage, _waiting_for(mover), mover.moved, found.messages))
        time.sleep(LOOK_EVERY if state.messages or mover.held else ASK_EVERY)


def _waiting_for(mover: Mover) -> str:
    return f"moving; the latest refusal: {mover.refused}" if mover.refused and mover.held else "moving, and waiting"


def _impatient(m: Migration, queue: str, left: int, mover: Mover) -> BrokerError:
    why = f" ({mover.refused})" if mover.refused and mover.held else ""
    return BrokerError(
        f"{counted(left, 'message is', 'messages are')} still in {queue!r} after {m.patience:.0f} s, held by workers or"
        f" refused{why}. Nothing is lost: what comes meanwhile waits in {marks.shadow(m.queue)!r}. Run it again when"
        " that is done; to go back, run it with the topology as it was"
    )


def _removed(m: Migration, mover: Mover) -> bool:
    """A classic queue is deleted only if empty, by the broker in one step. With a quorum queue that cannot be done
    (540): from the last look to the deletion is a moment in which a publisher that names the queue itself, past every
    exchange, can lose a message. The broker counts those before it deletes, so even its count can miss one."""
    queue, session = m.queue, m.session
    observed = m.observed()
    mover.pause()
    again = m.sources()
    if again:  # bound anew by somebody who did not look for the marks
        redirect(m)
        m.turned = monotonic()
    state = session.queue_state(queue)
    if again or (state is not None and state.messages):
        mover.resume()
        return False
    m.removed = monotonic()
    if observed is not None and observed.type == "classic":
        gone = session.delete_empty_queue(queue)
        if not gone:
            mover.resume()
        return gone
    m.counts.lost += session.delete_queue(queue)
    return True


def _delete_unused(m: Migration, exchange: str) -> None:
    """Unless another migration is under way."""
    if m.management.find("exchanges", m.management.vhost, exchange) and not m.management.request(
        "GET", "exchanges", m.management.vhost, exchange, "bindings", "source"
    ):
        m.session.delete_exchange(exchange)
