"""`memory://`: results in this process, for tests and for programs that have their worker inside."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from amqptasks.errors import StoreUnavailable
from amqptasks.results.record import Record

#: Bytes of results that one such store keeps. It is for tests and small programs, whose machine has more than that.
MOST_BYTES = 256 * 2**20


class MemoryStore:
    """`memory://NAME`: apps of one process that name the same address share it."""

    pauses = (0.02, 0.5)

    def __init__(self, url: str) -> None:
        self.where = url
        self._records: dict[str, Record] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def write(self, records: Sequence[Record]) -> None:
        with self._lock:
            for record in records:
                known = self._records.get(record.id)
                if known is None or record.replaces(known):
                    self._bytes += record.size - (0 if known is None else known.size)
                    if self._bytes > MOST_BYTES:
                        self._bytes -= record.size - (0 if known is None else known.size)
                        raise StoreUnavailable(
                            f"{self.where} keeps {MOST_BYTES:,} bytes of results at most, and is full. Let results"
                            " expire sooner (result_expires=), forget() them, or take a store that is none of memory"
                        )
                    self._records[record.id] = record

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        with self._lock:
            found = {identity: self._records[identity] for identity in ids if identity in self._records}
        return {identity: record for identity, record in found.items() if not record.is_expired(now)}

    def forget(self, ids: Sequence[str]) -> None:
        with self._lock:
            for identity in ids:
                known = self._records.pop(identity, None)
                if known is not None:
                    self._bytes -= known.size

    def clean(self, now: float) -> int:
        with self._lock:
            over = [identity for identity, record in self._records.items() if record.is_expired(now)]
        self.forget(over)
        return 0

    def close(self) -> None: ...


_stores: dict[str, MemoryStore] = {}


def shared(url: str) -> MemoryStore:
    """The store of this address in this process."""
    return _stores.setdefault(url, MemoryStore(url))
