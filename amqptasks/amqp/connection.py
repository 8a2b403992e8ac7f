"""One connection that comes back: tries its addresses in turn and waits longer and longer between rounds."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

from pika import exceptions
from pika.channel import Channel
from tenacity import RetryCallState, Retrying, wait_exponential, wait_random

from amqptasks.amqp.address import parameters
from amqptasks.amqp.failures import explain
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.pika_internals import Wire, WireChannel
from amqptasks.capabilities import Capabilities, from_server_properties
from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.messages.masks import masked_address

#: First pause 0.1 s, because most breaks are a restart of a proxy; at most 5 s, so that nobody waits long after the
#: broker is back; jitter, so that a hundred workers do not come back in the same moment.
LONGEST_PAUSE = 5.0
RECONNECTING = Retrying(wait=wait_exponential(multiplier=0.1, max=LONGEST_PAUSE) + wait_random(0, 0.3))

#: Seconds between two looks whether the connection is what it should be: whatever raised meanwhile, the next try comes.
LOOK_EVERY = 5.0


def pause_before(attempt: int) -> float:
    """Seconds to wait before the `attempt`-th (from 1) round of connecting."""
    state = RetryCallState(RECONNECTING, None, (), {})
    state.attempt_number = attempt
    try:
        return float(RECONNECTING.wait(state))
    except Exception:  # a task has broken `random` for its whole process
        return LONGEST_PAUSE


class Connection:
    """Lives on the link's loop. `opened` is called each time a connection stands, `closed` each time one breaks and
    each time none could be had, with the reason; both on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        urls: Sequence[str],
        *,
        role: str,
        tls: ssl.SSLContext | None,
        opened: Callable[[], None],
        closed: Callable[[BrokerError], None],
    ) -> None:
        self._loop = loop
        self._guard = loop.guard
        self._urls = list(urls)
        self._role = role
        self._tls = tls
        self._opened = opened
        self._closed = closed
        self._wire: Wire | None = None
        self._round = 0
        self._next_url = 0
        self._wanted = False
        self._given_up = False
        self._timer: Any = None
        self.trouble: BrokerError | None = None
        self.capabilities: Capabilities | None = None

    @property
    def is_open(self) -> bool:
        return self._wire is not None and bool(self._wire.is_open)

    @property
    def is_gone(self) -> bool:
        """True when nothing is left to be closed."""
        return self._wire is None

    def open(self) -> None:
        """Connect, and stay connected until `close`; nothing after that. Idempotent."""
        if not self._wanted and not self._given_up:
            self._wanted = True
            self._loop.call_later(LOOK_EVERY, self._look)
            self._connect()

    def close(self) -> None:
        """Say goodbye to the broker, for good; `closed` is not called for it."""
        self._wanted, self._given_up = False, True
        if self._timer is not None:
            self._loop.remove_timeout(self._timer)
            self._timer = None
        if self._wire is not None and not (self._wire.is_closing or self._wire.is_closed):
            try:
                self._wire.close()
            except exceptions.ConnectionWrongStateError:
                self._wire = None  # it was never more than an attempt

    def abort(self) -> None:
        """After `close`, when the broker does not answer it: free the socket."""
        if self._wire is not None:
            self._wire.abort()

    def cut(self) -> None:
        """Nothing turns the loop any more: end the socket for the broker, also where a forked process has a copy."""
        self._wanted, self._given_up = False, True
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.cut()

    def channel(self, opened: Callable[[WireChannel], None]) -> None:
        """Open a channel; `opened` is called with it, unless the connection breaks first."""
        assert self._wire is not None  # callers ask `is_open` first
        self._wire.channel(on_open_callback=cast("Callable[[Channel], None]", self._guard.wrapped(opened)))

    def on_blocked(self, blocked: Callable[[str], None], unblocked: Callable[[], None]) -> None:
        """Be told when the broker stops, and when it starts again, to read from publishers."""
        assert self._wire is not None
        wrapped = self._guard.wrapped
        self._wire.add_on_connection_blocked_callback(wrapped(lambda _wire, frame: blocked(str(frame.method.reason))))
        self._wire.add_on_connection_unblocked_callback(wrapped(lambda _wire, _frame: unblocked()))

    def _connect(self) -> None:
        self._timer = None
        if not self._wanted:
            return
        url = self._urls[self._next_url]
        self._next_url = (self._next_url + 1) % len(self._urls)
        where = masked_address(url)
        wanted = parameters(url, self._tls)
        wanted.client_properties = {**(wanted.client_properties or {}), "role": self._role}
        self._wire = Wire(
            wanted,
            self._loop,
            on_open=self._on_open,
            on_closed=lambda error: self._on_closed(explain(error, where)),
        )

    def _on_open(self) -> None:
        wire = self._wire
        if wire is None:  # closed while it was being opened
            return
        if not self._wanted:
            wire.close()
            return
        self._round = 0
        self._next_url = 0  # after a break, the preferred address is tried first again
        self.trouble = None
        self.capabilities = from_server_properties(wire.server_properties or {})
        self._guard.wrapped(self._opened)()

    def _look(self) -> None:
        if not self._wanted:
            return
        self._loop.call_later(LOOK_EVERY, self._look)
        if self._wire is not None and self._wire.is_closed:
            self._on_closed(BrokerUnreachable("the connection has ended"))
        elif self._wire is None and self._timer is None:
            self._connect()

    def _on_closed(self, error: BrokerError) -> None:
        self._wire = None
        if not self._wanted:
            return
        self.trouble = error
        pause = 0.0
        if self._next_url == 0:  # every address was tried once
            self._round += 1
            pause = pause_before(self._round)
        self._timer = self._loop.call_later(pause, self._connect)
        self._guard.wrapped(self._closed)(error)
