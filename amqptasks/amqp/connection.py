"""One connection that comes back: tries its addresses in turn and waits longer and longer between rounds."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import pika
from pika import exceptions
from pika.channel import Channel
from tenacity import RetryCallState, Retrying, wait_exponential, wait_random

from amqptasks.amqp.address import parameters, reads_files
from amqptasks.amqp.failures.failures import explain, is_cut_before_amqp
from amqptasks.amqp.failures.tls_failures import certificate_wanted
from amqptasks.amqp.failures.tls_internals import CertificateRequest
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire.pika_internals import Wire, WireChannel
from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.runtime.clock import monotonic
from amqptasks.transport.capabilities import Capabilities, from_server_properties
from amqptasks.untrusted.masks import masked_address

#: Seconds after which a connection counts as one that works, whatever went over it. One that opens and breaks at once,
#: again and again, is tried with the growing pauses of one that does not open.
STANDS_AFTER = 10.0

#: Seconds between two tries at least, where somebody who wants the connection cuts the pause short.
HURRY = 0.5

#: Seconds that one address of several has for its TCP connection at least, while none has ever answered.
SHORTEST_TRY = 0.5

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
        connect_timeout: float | None = None,
    ) -> None:
        """`connect_timeout` is in seconds, for the TCP connections to all addresses together, until one has worked."""
        self._loop = loop
        self._guard = loop.guard
        self._connect_timeout = connect_timeout
        self._opened_at: float | None = None
        #: When the last try began, on the monotonic clock.
        self.tried_at: float | None = None
        self._looks_for_request = False  # the last try ended as one does that shows no certificate
        self._request: CertificateRequest | None = None
        self._is_hasty = False  # the pause may be cut short: the broker was not there, and may be by now
        #: All addresses, for people's eyes.
        self.where = ", ".join(masked_address(url) for url in urls)
        self._urls = list(urls)
        self._role = role
        self._tls = tls
        self._opened = opened
        self._closed = closed
        self._wire: Wire | None = None
        self._round = 0
        self._next_url = 0
        self._url = 0  # the one of the last try
        self._moves = False  # it leaves its address for the next one
        self._wanted = False
        self._given_up = False
        self._timer: Any = None
        self._reads: object | None = None  # the try whose TLS files are being read
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
        """Connect, and stay connected until `close`; nothing after that. Idempotent: a pause between two tries ends."""
        if self._given_up:
            return
        if not self._wanted:
            self._wanted = True
            self._loop.call_later(LOOK_EVERY, self._look)
            self._connect()
        elif self._timer is not None and self._is_hasty and monotonic() - (self.tried_at or 0.0) >= HURRY:
            self._loop.remove_timeout(self._timer)
            self._connect()

    def rest(self) -> None:
        """Try no more, until `open`. For a connection that is not there and that nobody waits for."""
        if self._wire is None:
            self._wanted = False
            self._cancel_timer()

    @property
    def is_answered(self) -> bool:
        """True while somebody at the broker's address has taken the connection, or is being talked to."""
        return self._wire is not None and self._wire.is_accepted

    def proven(self) -> None:
        """The broker did through this connection what it is there for. So after a break the pauses begin anew, with the
        preferred address."""
        self._round = 0
        self._next_url = 0

    def move(self) -> bool:
        """Break off, and connect to the next address. False where there is no other one, or no connection to leave."""
        if len(self._urls) == 1 or self._wire is None or not self.is_open:
            return False
        self._moves = True
        self._wire.abort()  # its node may answer no goodbye
        return True

    def close(self) -> None:
        """Say goodbye to the broker, for good; `closed` is not called for it."""
        self._wanted, self._given_up = False, True
        self._cancel_timer()
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

    def _cancel_timer(self) -> None:
        self._reads = None
        if self._timer is not None:
            self._loop.remove_timeout(self._timer)
            self._timer = None

    def _connect(self) -> None:
        self._timer = None
        if not self._wanted:
            return
        self.tried_at = monotonic()
        self._url = self._next_url
        url = self._urls[self._url]
        self._next_url = (self._url + 1) % len(self._urls)
        if self._tls is None and reads_files(url):
            # The system's authorities are some hundred certificates, and a file may lie on a disk that does not answer.
            # Both are read anew for each try, because certificates are replaced while a worker runs.
            self._reads = try_ = object()
            threading.Thread(target=self._read, args=(try_, url), name="amqptasks-tls", daemon=True).start()
        else:
            self._dial(url, parameters(url, self._tls))

    def _read(self, try_: object, url: str) -> None:
        """On a thread of its own."""
        try:
            wanted = parameters(url)
        except Exception as error:
            why = BrokerUnreachable(str(error))
            self._loop.call_soon(lambda: self._has_read(try_, lambda: self._on_closed(why)))
        else:
            self._loop.call_soon(lambda: self._has_read(try_, lambda: self._dial(url, wanted)))

    def _has_read(self, try_: object, go_on: Callable[[], None]) -> None:
        if self._reads is try_:
            self._reads = None
            if self._wanted:
                go_on()

    def _dial(self, url: str, wanted: pika.ConnectionParameters) -> None:
        where = masked_address(url)
        if self.capabilities is None and self._connect_timeout is not None:
            share = max(SHORTEST_TRY, self._connect_timeout / len(self._urls))
            wanted.socket_timeout = min(wanted.socket_timeout or share, share)
        if self._looks_for_request and wanted.ssl_options is not None:
            self._request = CertificateRequest(wanted.ssl_options.context)
        wanted.client_properties = {**(wanted.client_properties or {}), "role": self._role}
        self._wire = Wire(
            wanted,
            self._loop,
            on_open=self._on_open,
            on_closed=lambda error: self._on_closed(self._explained(error, where)),
        )

    def _explained(self, error: BaseException, where: str) -> BrokerError:
        request, self._request = self._request, None
        cut = self._opened_at is None and is_cut_before_amqp(error)
        if request is not None:
            request.end()
            if cut and request.seen:
                return certificate_wanted(where)
        self._looks_for_request = cut
        return explain(error, where)

    def _forget_timer(self) -> None:
        """The try did not come about: `_look` makes another."""
        self._timer = None

    def _on_open(self) -> None:
        wire = self._wire
        if wire is None:  # closed while it was being opened
            return
        if not self._wanted:
            wire.close()
            return
        self._opened_at = monotonic()
        if self._request is not None:
            self._request.end()
            self._request = None
        self.trouble = None
        self.capabilities = from_server_properties(wire.server_properties or {})
        self._guard.wrapped(self._opened)()

    def _look(self) -> None:
        if not self._wanted:
            return
        self._loop.call_later(LOOK_EVERY, self._look)
        if self._wire is not None and self._wire.is_closed:
            self._on_closed(BrokerUnreachable("the connection has ended"))
        elif self._wire is not None and self._wire.has_no_socket:
            self._on_closed(BrokerUnreachable(f"{self.where}: this process has no descriptor for a socket"))
        elif self._wire is None and self._timer is None and self._reads is None:
            self._connect()

    def _on_closed(self, error: BrokerError) -> None:
        self._wire = None
        if not self._wanted:
            return
        opened_at, self._opened_at = self._opened_at, None
        self._is_hasty = opened_at is None
        moves, self._moves = self._moves, False
        if moves:
            self._next_url = (self._url + 1) % len(self._urls)
        elif opened_at is not None and monotonic() - opened_at >= STANDS_AFTER:
            self.proven()
        self.trouble = error
        pause = 0.0
        if self._next_url == 0 and not moves:  # every address was tried once
            self._round += 1
            pause = pause_before(self._round)
        self._timer = self._loop.call_later(pause, self._guard.protected(self._connect, self._forget_timer))
        self._guard.wrapped(self._closed)(error)
