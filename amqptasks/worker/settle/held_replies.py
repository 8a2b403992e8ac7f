"""Replies of a worker on their way to their callers, also while the broker blocks publishers. Link thread only.

In an alarm a task whose caller waits is acknowledged at once, and its reply waits here until the alarm ends: the one
exception from the rule that a task leaves its queue only once its outcome is safe. Otherwise a broker that is short of
memory would hold the worker's tasks, and could not get rid of their messages. The memory is bounded. A reply that finds
no room, or that waits when the worker stops, is dropped; its caller is told so, and sees the state LOST.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from amqptasks.errors import BrokerUnreachable
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import LOST_REPLIES, SIGNATURE
from amqptasks.messages.properties import REPLY_TO, Properties
from amqptasks.results.reply import named_in
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Done, Link, Publishing
from amqptasks.untrusted.numbers import counted

logger = get_logger(__name__)

#: Bytes of replies that one worker holds in an alarm: tens of thousands of usual ones, and no danger for its machine.
MOST_BYTES = 64 * 2**20

#: Bytes that a reply takes beside its body: its properties, and what holds it.
OVERHEAD = 512

#: Seconds for the confirm of a reply while there is no alarm. Then its caller does not hold the task any longer.
CONFIRM_WITHIN = 30.0

#: Callers that are told of lost replies when a worker stops: each takes a connection of its own for a moment.
MOST_CALLERS = 16

#: Lost replies that one message names: it must fit into one frame, and a caller waits for few at a time.
MOST_NAMED = 1000

#: Seconds that a worker which stops waits until its callers are told.
TELL_WITHIN = 2.0


class _Reply:
    __slots__ = ("done", "message", "publishing", "since")

    def __init__(self, message: Outgoing, done: Done) -> None:
        self.message = message
        self.done: Done | None = done
        self.since = monotonic()
        self.publishing: Publishing | None = None

    @property
    def size(self) -> int:
        return len(self.message.body) + OVERHEAD

    @property
    def is_held(self) -> bool:
        """True once its task does not wait for it any more."""
        return self.done is None

    def release(self, error: BaseException | None = None) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(error)


class HeldReplies:
    """The replies of one worker. `codec` signs what callers are told of those whose replies were signed."""

    def __init__(self, link: Link, codec: Codec = PLAIN) -> None:
        self._link = link
        self._codec = codec
        self._alarm: str | None = None
        self._under_way: dict[_Reply, None] = {}
        self._bytes = 0
        self._dropped: list[Outgoing] = []
        self._telling_until = 0.0

    @property
    def is_telling(self) -> bool:
        """True while callers are being told that their replies are lost."""
        return self._telling_until > monotonic()

    def send(self, message: Outgoing, done: Done) -> None:
        """Publish a reply. `done` is called once the broker has it, or with why not; in an alarm, at once."""
        reply = _Reply(message, done)
        if self._alarm is not None:
            if self._bytes + reply.size > MOST_BYTES:
                self._dropped.append(_without_body(message))
                reply.release()
                return
            self._hold(reply)
        self._under_way[reply] = None
        reply.publishing = self._link.publish(message, lambda error: self._ended(reply, error), math.inf)

    def offer(self, message: Outgoing) -> None:
        """Publish a reply after which another one comes: it waits for nothing, and is left out in an alarm."""
        if self._alarm is None:
            self._link.publish(message, lambda _error: None, CONFIRM_WITHIN)

    def blocked(self, reason: str | None) -> None:
        """The broker blocks publishers, for this reason; None: not any more."""
        self._alarm = reason
        if reason is not None:
            for reply in list(self._under_way):
                self._hold(reply)
        elif self._dropped:
            self._tell_dropped("more of them waited for the end of an alarm than a worker may hold")
            for message in self._notices(self._dropped):
                self._link.publish(message, lambda _error: None, CONFIRM_WITHIN)
            self._dropped = []

    def look(self) -> None:
        """Give up what had its time, but for an alarm: called now and then."""
        if self._alarm is None:
            late = monotonic() - CONFIRM_WITHIN
            for reply in [reply for reply in self._under_way if reply.since < late]:
                self._withdraw(reply)
                reply.release(BrokerUnreachable(self._link.trouble or "the broker sent no confirm in time"))

    def drop(self) -> None:
        """The worker has stopped: what waits for the end of an alarm is dropped, and the callers are told."""
        held = [reply for reply in self._under_way if reply.is_held]
        if not (held or self._dropped):
            return
        for reply in held:
            self._withdraw(reply)
            self._dropped.append(_without_body(reply.message))
        self._tell_dropped("the worker stops while the broker blocks publishers")
        notices = self._notices(self._dropped)[:MOST_CALLERS]
        self._dropped = []
        if notices:
            self._telling_until = monotonic() + TELL_WITHIN
            self._link.announce(notices)

    def _hold(self, reply: _Reply) -> None:
        if not reply.is_held:
            self._bytes += reply.size
            reply.release()

    def _ended(self, reply: _Reply, error: BaseException | None) -> None:
        self._under_way.pop(reply, None)
        if reply.is_held:
            self._bytes -= reply.size
            if error is not None:
                logger.warning("a reply that waited could not be sent: %s", error, extra={"action": "reply_failed"})
        else:
            reply.release(error)

    def _withdraw(self, reply: _Reply) -> None:
        self._under_way.pop(reply, None)
        if reply.is_held:
            self._bytes -= reply.size
        if reply.publishing is not None:
            reply.publishing.withdraw()

    def _notices(self, dropped: Sequence[Outgoing]) -> list[Outgoing]:
        """A message for each caller that is connected for its replies, with the ids of those that it will not get. It
        has no body, so that it gets through in an alarm, too (`amqp/announcing.py`)."""
        ids: dict[tuple[str, bool], list[str]] = {}
        likes: dict[tuple[str, bool], object] = {}
        for message in dropped:
            if message.routing_key.startswith(REPLY_TO):
                signature = (message.properties.headers or {}).get(SIGNATURE)
                caller = message.routing_key, signature is not None
                ids.setdefault(caller, []).append(message.properties.correlation_id or "")
                likes[caller] = signature
        return [self._notice(caller[0], names[:MOST_NAMED], likes[caller]) for caller, names in ids.items()]

    def _notice(self, address: str, names: list[str], like: object) -> Outgoing:
        properties = Properties(headers={LOST_REPLIES: names}, delivery_mode=1)
        if like is not None:
            assert properties.headers is not None
            properties.headers["id"] = named_in(names)  # a header that is signed
        self._codec.sign_like(properties, b"", like)
        return Outgoing("", address, b"", properties, mandatory=False)

    def _tell_dropped(self, why: str) -> None:
        logger.warning(
            "%s dropped: %s. Tasks are not affected; their callers see the state LOST",
            counted(len(self._dropped), "reply is", "replies are"),
            why,
            extra={"action": "replies_dropped", "count": len(self._dropped)},
        )


def _without_body(message: Outgoing) -> Outgoing:
    return Outgoing(message.exchange, message.routing_key, b"", message.properties, message.mandatory)
