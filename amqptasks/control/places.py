"""Where control happens on the broker: one exchange, and two streams for what must outlast a worker."""

from __future__ import annotations

from amqptasks.streams import Stream
from amqptasks.transport import Session
from amqptasks.transport.entities import Exchange

#: Commands go to everybody through it; each worker has a queue of its own there, `amqptasks.control.` and something
#: unique, which lives as long as its connection.
EXCHANGE = Exchange("amqptasks.control", "fanout")
LISTENERS = "amqptasks.control"

#: Workers say here that they are there, every half an hour. Nobody reads further back than an hour; the bytes are for
#: some 10,000 records, of a file at least.
NODES = Stream("amqptasks.nodes", "2h", 4_000_000, 1_000_000, "announcement")

#: Revocations. 400 days: the longest delay of the ladder is 398. 100 MB: 700,000 revocations of one task each, read in
#: some seconds when a worker starts.
REVOKED = Stream("amqptasks.revoked", "400D", 100_000_000, 5_000_000, "revocation")

#: Seconds between two announcements of a worker, and how far back who asks reads them: twice that, because the broker's
#: clock may differ from ours.
ANNOUNCE_EVERY, LOOK_BACK = 1800.0, 3600.0


def prepare(session: Session, *, has_streams: bool) -> None:
    """Make sure that all of it is there. Raises `BrokerError`, `AccessRefused` without the right to make it."""
    session.declare_exchange(EXCHANGE)
    if not has_streams:
        return
    for stream in (NODES, REVOKED):
        state = session.queue_state(stream.name)
        stream.prepare(session)
        # Nobody can tell the end of an empty stream from a broker that takes its time: readers would wait. One that
        # is there may be empty, too, if its maker died in between.
        if state is None or not state.messages:
            session.publish(stream.message(b"{}"))
