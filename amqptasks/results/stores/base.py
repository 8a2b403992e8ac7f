"""What every result store offers. Its methods block, may be called from any thread, and are never called on the link's.

A store of your own is a class with these methods. An entry point of the group `amqptasks.result_stores` names it, by
the scheme of its address: `mine = "package.module:MyStore"` is for `App(backend="mine://...")`. The class is called
with that address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from amqptasks.results.record import Record
from amqptasks.transport import Link, Session
from amqptasks.transport.publisher import Publisher


class Store(Protocol):
    """Its methods raise `StoreUnavailable` where trying again later may help, and `StoreRefused` where this record is
    never taken."""

    @property
    def pauses(self) -> tuple[float, float]:
        """Seconds between two questions of one who waits for a result: at first, and at most."""

    @property
    def where(self) -> str:
        """Its address for people's eyes, without a password."""

    def write(self, records: Sequence[Record]) -> None:
        """Keep these, in turn; each takes the place of an earlier one only where `Record.replaces` says so. When this
        returns they are safe: a machine that loses its power now still has them."""

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        """What there is of these tasks and has not expired, by id."""

    def forget(self, ids: Sequence[str]) -> None:
        """Keep nothing of these any more."""

    def clean(self, now: float) -> int:
        """Remove some of what has expired; how many that were. 0: nothing is left to remove."""

    def close(self) -> None:
        """Let go of connections and files. It can be used again afterwards."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a store on the app's own broker uses. Each raises `BrokerError` where the broker is not there."""

    link: Callable[[], Link]
    publisher: Callable[[], Publisher]
    session: Callable[[], AbstractContextManager[Session]]


#: Makes a store from its address.
StoreMaker = Callable[[str], Store]
