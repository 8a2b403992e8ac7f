"""Our headers: the name of each, its type, who writes it, and what becomes of it when the message goes on.

A message goes on in four ways. `carried` is the one rule for all of them. What follows on a task is a new call, which
takes over no header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from amqptasks.messages.properties import Headers

#: How a message goes on. "back": it has not run, and returns to its queue. "again": it has run, and another attempt
#: follows. "dead letter", "replay": it becomes one, and comes out of it as a new message.
Way = Literal["back", "again", "dead letter", "replay"]

PREFIX = "x-amqptasks-"

SIGNATURE = "x-amqptasks-signature"
UNIQUE = "x-amqptasks-unique"
ERRBACK = "x-amqptasks-errback"
LOST_REPLIES = "x-amqptasks-lost"

FIRST_TIME = "x-amqptasks-first-time"
SNOOZES = "x-amqptasks-snoozes"
DELIVERIES = "x-amqptasks-deliveries"
THROTTLED = "x-amqptasks-throttled"

TO = "x-amqptasks-to"
ENTERED = "x-amqptasks-in"
BIT = "x-amqptasks-d"
WAITING = "x-amqptasks-waiting"

REASON = "x-amqptasks-reason"
DETAIL = "x-amqptasks-detail"
EXCEPTION = "x-amqptasks-exception"
MESSAGE = "x-amqptasks-message"
TRACEBACK = "x-amqptasks-traceback"
ATTEMPTS = "x-amqptasks-attempts"
QUEUE = "x-amqptasks-queue"
WORKER = "x-amqptasks-worker"
LAST_TIME = "x-amqptasks-last-time"
DROPPED = "x-amqptasks-headers-dropped"


class OwnHeader(NamedTuple):
    """`type` is AMQP's. `kept` names the ways on which the header goes on; a signature is made anew where what it
    covers has changed."""

    type: str
    written_by: str
    says: str
    kept: frozenset[Way]


_EVERYWHERE: frozenset[Way] = frozenset({"back", "again", "dead letter", "replay"})
_NOT_REPLAYED: frozenset[Way] = frozenset({"back", "again", "dead letter"})
_BACK: frozenset[Way] = frozenset({"back"})
_OF_A_CALL: frozenset[Way] = frozenset({"back", "again"})
_NOWHERE: frozenset[Way] = frozenset()


OWN_HEADERS: dict[str, OwnHeader] = {
    SIGNATURE: OwnHeader("text", "who signs", "the key's name and the signature", _EVERYWHERE),
    ERRBACK: OwnHeader("true", "a worker", "the arguments are a request, an exception and a traceback", _EVERYWHERE),
    UNIQUE: OwnHeader("text", "a caller", "the claim of a `unique` call; released when it begins", _BACK),
    LOST_REPLIES: OwnHeader("list of texts", "a worker", "the ids of calls whose replies were lost", _NOWHERE),
    FIRST_TIME: OwnHeader("number", "a worker", "when it first came to a worker, in seconds since 1970", _OF_A_CALL),
    SNOOZES: OwnHeader("number", "a worker", "how often it was snoozed", _NOT_REPLAYED),
    DELIVERIES: OwnHeader("number", "a worker", "earlier deliveries, where its queue counts none", _BACK),
    THROTTLED: OwnHeader("number", "a worker", "since when its limits put it off, in seconds since 1970", _BACK),
    TO: OwnHeader("text", "a publisher", "the exchange that a delayed message is for", _NOWHERE),
    ENTERED: OwnHeader("text", "a publisher", "the rung at which it enters the ladder", _NOWHERE),
    BIT: OwnHeader("true", "a publisher", "with two digits: it waits on this rung", _NOWHERE),
    WAITING: OwnHeader("text", "`migrate`", "its expiration in milliseconds, and since when", _NOT_REPLAYED),
    REASON: OwnHeader("text", "a worker", "why it is a dead letter", _BACK),
    DETAIL: OwnHeader("text", "a worker", "the reason in a sentence", _BACK),
    EXCEPTION: OwnHeader("text", "a worker", "the type of what the task raised", _BACK),
    MESSAGE: OwnHeader("text", "a worker", "its text", _BACK),
    TRACEBACK: OwnHeader("text", "a worker", "its traceback", _BACK),
    ATTEMPTS: OwnHeader("number", "a worker", "how often it ran", _BACK),
    QUEUE: OwnHeader("text", "a worker", "the queue that it was in", _BACK),
    WORKER: OwnHeader("text", "a worker", "the worker's name", _BACK),
    LAST_TIME: OwnHeader("number", "a worker", "when it became a dead letter, in seconds since 1970", _BACK),
    DROPPED: OwnHeader("number", "a worker", "how many of its headers had no room", _BACK),
}

#: Headers that a broker of any release adds on the way, and that must not go round again: copied into another
#: publish, `x-death` makes RabbitMQ up to 3.13 drop a message as a cycle, and the counters look like crashes.
#: `CC` and `BCC` are more routing keys: https://www.rabbitmq.com/docs/sender-selected. What goes back to one queue must
#: not reach the others again.
TRACES = frozenset({"x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC"})
TRACE_PREFIXES = ("x-first-death-", "x-last-death-")

_BIT_LENGTH = len(BIT) + 2


def own(name: str) -> OwnHeader | None:
    """The description of a header of ours; None for another's."""
    if name.startswith(BIT) and len(name) == _BIT_LENGTH and name[-2:].isdigit():
        return OWN_HEADERS[BIT]
    return OWN_HEADERS.get(name)


def carried(headers: Mapping[str, object], way: Way) -> Headers:
    """The headers with which a message goes on this way: without those of the ladder, those that brokers add, and ours
    that end here. A replay has none of our prefix but the known ones that it keeps."""
    kept: Headers = {}
    for name, value in headers.items():
        if name in TRACES or name.startswith(TRACE_PREFIXES):
            continue
        if name.startswith(PREFIX):
            known = own(name)
            if (way == "replay") if known is None else (way not in known.kept):
                continue
        kept[name] = value
    return kept
