"""What the broker answers when it closes a channel, as one of our errors."""

from __future__ import annotations

import re

from amqptasks.errors import AccessRefused, BrokerError, DeclarationConflict, QueueDown
from amqptasks.transport.exchange_types import remedy

#: `PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '11' but current is '10'`
#: and, where one side has none, `received none but current is the value '10' of type 'signedint'` (or the reverse);
#: the same words from 3.10 to 4.3.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>.*)' in vhost '.*':"
    r" received (?P<wanted>.+?) but current is (?P<current>.+)$",
    re.DOTALL,
)
#: The same, where long names left no room for the rest: a reply's text has 255 bytes.
_CUT = re.compile(r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>[^']*)")
CUT_OFF = "..."
#: `unknown exchange type 'x-random'`; `invalid` where the broker knows the word for something else.
_UNKNOWN_TYPE = re.compile(r"(?:unknown|invalid) exchange type '(?P<type>[^']*)'")
_VALUE = re.compile(r"^(?:the value )?'(?P<value>.*?)'(?: of type '[^']*')?$", re.DOTALL)


#: `home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible`, in a 404: of a classic queue.
DOWN = "down or inaccessible"


class NotFound(BrokerError):
    """404: there is no such queue or exchange."""


class InternalFault(BrokerError):
    """541: the broker failed inside, as a busy one does that cannot start a quorum queue in its own time. What was
    asked for may work the next time."""


class Refused(BrokerError):
    """The broker closed the channel with a code that the caller waits for; `text` is what it said."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


def explained(what: str, code: int, text: str, answers: frozenset[int] = frozenset()) -> BrokerError:
    """The error for a channel or connection that the broker closed with `code` and `text` when asked about `what`.
    A code in `answers` becomes `Refused`."""
    if code in answers:
        return Refused(text)
    conflict = _INEQUIVALENT.search(text)
    if conflict and not text.endswith(CUT_OFF):
        return DeclarationConflict(
            conflict["kind"],
            conflict["name"],
            conflict["argument"],
            _value(conflict["wanted"]),
            _value(conflict["current"]),
        )
    cut = _CUT.search(text)
    if cut:
        return DeclarationConflict(cut["kind"], cut["name"], cut["argument"], "", "")
    # A queue whose node is down is "not found" as well, yet it exists.
    if code == 404:
        return QueueDown(f"{what}: {text}") if DOWN in text else NotFound(f"{what}: {text}")
    if code == 403:
        return AccessRefused(f"{what}: {text}")
    if code == 541:
        return InternalFault(f"{what}: the broker failed: {text}. Its log says why")
    unknown = _UNKNOWN_TYPE.search(text)
    if unknown:
        return BrokerError(f"{what}: the broker has no exchange type {unknown['type']}: {remedy(unknown['type'])}")
    return BrokerError(f"{what}: the broker refused: {code} {text}")


def _value(text: str) -> str:
    found = _VALUE.match(text)
    return found["value"] if found else text
