"""What a result store keeps of one task: its state and how it ended, as bytes that every store takes.

    b"amqptasks-result" | version, 1 byte | length of the head, 4 bytes | head, JSON | body

The body is a reply (see `reply.py`) with more fields, in the serializer of the reply, compressed and signed where the
app says so. The head says what a store must know without reading the body. A newer release reads older versions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from amqptasks.errors import AmqptasksError
from amqptasks.messages.own_headers import SIGNATURE
from amqptasks.messages.properties import Properties
from amqptasks.results.reply import FINAL_STATES
from amqptasks.runtime.log_queue import get_logger
from amqptasks.serializers import Undecodable, json
from amqptasks.untrusted import bounds

logger = get_logger(__name__)

#: The state of a call that was recorded before it was published.
SENT = "SENT"

MAGIC = b"amqptasks-result"
VERSION = 1

_START = struct.Struct(f"<{len(MAGIC)}sBI")

#: Bytes of a head: the longest id and state, and a signature, take less than one thousand.
LARGEST_HEAD = 16_384


class UnreadableRecord(AmqptasksError):
    """Bytes in a result store that are no record, or are a record of a newer release."""


@dataclass(slots=True)
class Record:
    """`body` and `properties` as of a reply. `attempt` counts the retries before, so that a late word of an earlier
    attempt can be told from a new one. `at` is when it was made, and `expires_at` when it may go, in seconds since 1970
    on the broker's clock; None: never."""

    id: str
    state: str
    body: bytes
    properties: Properties
    attempt: int = 0
    at: float = 0.0
    expires_at: float | None = None

    @property
    def final(self) -> bool:
        """False for a state on the way, such as STARTED."""
        return self.state in FINAL_STATES

    def replaces(self, known: Record) -> bool:
        """Whether this record takes the place of `known`, of the same task: the first final state stays, and a state on
        the way gives way to what came with the same attempt or a later one. That a task was sent is never news once
        something is known of it."""
        if known.is_expired(self.at):
            return True
        if known.final or self.state == SENT:
            return False
        return self.final or self.attempt >= known.attempt

    def is_expired(self, now: float) -> bool:
        """Whether it is as if it were not there."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.body) + LARGEST_HEAD // 32

    def encode(self) -> bytes:
        """As bytes."""
        given = self.properties
        headers = given.headers or {}
        head = json.encode(
            {
                "id": self.id,
                "state": self.state,
                "attempt": self.attempt,
                "at": self.at,
                "expires_at": self.expires_at,
                "content_type": given.content_type,
                "content_encoding": given.content_encoding,
                "compression": headers.get("compression"),
                "signature": headers.get(SIGNATURE),
            }
        )
        return b"".join((_START.pack(MAGIC, VERSION, len(head)), head, self.body))


def decode(data: bytes) -> Record:
    """The record in these bytes. Raises `UnreadableRecord` only, whatever they are."""
    if len(data) > bounds.LARGEST_RESULT + LARGEST_HEAD:
        raise UnreadableRecord(f"it has {len(data):,} bytes, and results have {bounds.LARGEST_RESULT:,} at most")
    try:
        magic, version, length = _START.unpack_from(data)
    except struct.error:
        raise UnreadableRecord("it is too short for a result") from None
    if magic != MAGIC:
        raise UnreadableRecord("it does not begin as a result does")
    if version != VERSION:
        raise UnreadableRecord(f"it is of version {version}, which a newer release of amqptasks writes")
    end = _START.size + length
    if length > LARGEST_HEAD or end > len(data):
        raise UnreadableRecord("it is cut off")
    try:
        return _read(bounds.mapping(json.decode(data[_START.size : end])), data[end:])
    except (Undecodable, bounds.OutOfBounds) as error:
        raise UnreadableRecord(f"its head cannot be read: {error}") from None


def _read(head: Any, body: bytes) -> Record:
    expires_at = head.get("expires_at")
    headers: dict[str, object] = {
        name: bounds.text(head[key], bounds.LONGEST_TEXT)
        for name, key in (("compression", "compression"), (SIGNATURE, "signature"))
        if head.get(key) is not None
    }
    identity = bounds.text(head.get("id"), bounds.LONGEST_ID, 1)
    return Record(
        identity,
        bounds.name(head.get("state")),
        body,
        Properties(
            content_type=_text(head.get("content_type")),
            content_encoding=_text(head.get("content_encoding")),
            headers=headers or None,
            correlation_id=identity,
        ),
        bounds.whole(head.get("attempt"), bounds.MOST_RETRIES),
        bounds.moment(head.get("at")),
        None if expires_at is None else bounds.moment(expires_at),
    )


def _text(value: object) -> str | None:
    return None if value is None else bounds.text(value, bounds.LONGEST_NAME)


def records_in(rows: Iterable[Sequence[Any]], now: float, where: str) -> dict[str, Record]:
    """The records in rows of id and bytes, but for those that have expired or cannot be read."""
    found: dict[str, Record] = {}
    for key, data in rows:
        identity = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
        try:
            record = decode(bytes(data))
        except UnreadableRecord as error:
            logger.warning("the record of task %s in %s is passed over: %s", identity, where, error)
            continue
        if record.id == identity and not record.is_expired(now):
            found[identity] = record
    return found
