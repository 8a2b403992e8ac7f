"""Where a reader is in a stream: the last record that it applied, in memory or in a file."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from amqptasks.messages.delivery import Delivery
from amqptasks.transport import STREAM_OFFSET

#: Characters of the digest that stands for a record without a message id.
DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Position:
    """`identity` is the record's message id, or a digest of its body where it has none: the same offset of a stream
    that was deleted and made again holds another record."""

    offset: int
    identity: str


def position_of(delivery: Delivery) -> Position | None:
    """The position of a record. None for a message that came from no stream."""
    offset = delivery.shared_headers.get(STREAM_OFFSET)
    if not isinstance(offset, int) or isinstance(offset, bool):
        return None
    identity = delivery.properties.message_id
    if not isinstance(identity, str) or not identity:
        identity = hashlib.sha256(delivery.body).hexdigest()[:DIGEST_SIZE]
    return Position(offset, identity)


class FilePosition:
    """The position in a SQLite file that also holds what is built from the stream, so that both change in one
    transaction. Several processes may apply the same stream to one file: each record is applied once.

        with sqlite3.connect(path, isolation_level=None) as connection:
            position = FilePosition(connection, "amqptasks.schedules")
            for record in position.begin(records):
                ...  # write what it means, over the same connection
            position.commit()
            # and only now acknowledge the records

    Not thread-safe: one thread applies.
    """

    def __init__(self, connection: sqlite3.Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._last: Position | None = None
        connection.execute(
            "create table if not exists amqptasks_positions (stream text primary key, offset integer, identity text)"
        )

    def read(self) -> Position | None:
        """The last record that was applied; None for a new file, which is read from the stream's first record."""
        found = self._connection.execute(
            "select offset, identity from amqptasks_positions where stream = ?", (self._stream,)
        ).fetchone()
        return None if found is None else Position(*found)

    def begin(self, records: Sequence[Delivery]) -> list[Delivery]:
        """Begin a transaction; those of `records` that nobody has applied yet."""
        self._connection.execute("begin immediate")
        self._last = self.read()
        applied = -1 if self._last is None else self._last.offset
        fresh = []
        for record in records:
            position = position_of(record)
            if position is not None and position.offset > applied:
                fresh.append(record)
                self._last, applied = position, position.offset
        return fresh

    def commit(self) -> None:
        """End the transaction of `begin`: all of it counts, with the new position."""
        if self._last is not None:
            self._connection.execute(
                "insert or replace into amqptasks_positions values (?, ?, ?)",
                (self._stream, self._last.offset, self._last.identity),
            )
        self._connection.execute("commit")

    def rollback(self) -> None:
        """End the transaction of `begin`: nothing of it counts."""
        self._connection.execute("rollback")

    def forget(self) -> None:
        """The stream is another one: drop the position. Drop what was built from the old one in the same transaction,
        between `begin([])` and this."""
        self._connection.execute("delete from amqptasks_positions where stream = ?", (self._stream,))
        self._last = None
