"""What calls and workers need of an app beyond what a program sees: its connections, its events, the broker's time."""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ConfigurationError
from amqptasks.runtime.clock import broker_time

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.app.connections import Connections, Submitting
    from amqptasks.app.declaration import Declaration
    from amqptasks.calls.unique_claims import Claims
    from amqptasks.errors import PublishRejected, Unroutable
    from amqptasks.events.emitter import Emitter
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.results.replies import Replies
    from amqptasks.results.result import Revoke
    from amqptasks.transport import Link
    from amqptasks.transport.capabilities import Capabilities
    from amqptasks.transport.publisher import Publisher


class Caller:
    """`app.caller`; a forked child begins with another one."""

    def __init__(self, app: App, connections: Connections, declaration: Declaration) -> None:
        self._app = app
        self._connections = connections
        self._declaration = declaration
        self._hears = False  # it listens for heartbeats, because the broker's time cannot be asked for

    def revoke(self, ids: Sequence[str], **options: Any) -> None:
        """Let these tasks not run: `app.control.revoke`, for results that their caller holds."""
        self._app.control.revoke(ids, **options)

    def inherit(self, capabilities: Capabilities) -> None:
        """A process of a worker's pool: what its worker learnt from the broker, and declared there, needs no second
        look."""
        self._declaration.inherit(capabilities)

    @property
    def link(self) -> Link:
        """The connections of this process, opened when first used. Raises `BrokerError`."""
        self._connections.open()
        return self._connections.link

    def new_link(self) -> Link:
        """Connections of one's own, not started yet."""
        return self._connections.new_link()

    def use(self, link: Link) -> None:
        """Publish through this link from now on: a worker's tasks share the worker's. `leave` closes it."""
        self._connections.use(link)

    def leave(self, timeout: float = 5.0) -> None:
        """As `close`, with the link that `use` brought."""
        self._connections.leave(timeout)

    @property
    def publisher(self) -> Publisher:
        if not self._connections.is_ready:
            self._connections.open()
        return self._connections.publisher

    def submitting(self, timeout: float) -> Submitting:
        """What a call is published and ended with that nobody waits for (`Task.submit`); it counts as under way from
        now on, and is confirmed within `timeout` seconds."""
        return self._connections.submitting(timeout, self.hostname if self._app.events else None)

    @property
    def replies(self) -> Replies:
        return self._connections.replies

    @property
    def claims(self) -> Claims:
        """Of calls that are to be the only ones of their kind (`unique=`)."""
        return self._connections.claims

    def emitter(self, hostname: str) -> Emitter:
        """What sends events in the name of `hostname`, over a connection of its own."""
        return self._connections.emitter(hostname)

    def tell_sent(self, name: str | None, identity: str, outgoing: Outgoing, emitter: Emitter | None = None) -> None:
        """Send the event of a call that was published, where this app sends events; by this emitter, if there is one
        that was taken before."""
        if self._app.events:
            from amqptasks.events.sent import emit_sent

            emit_sent(emitter or self.emitter(self.hostname), name, identity, outgoing, self._app.codec.mask)

    @property
    def hostname(self) -> str:
        return f"{self._app.name}@{socket.gethostname()}:{os.getpid()}"

    def is_ready_for(self, *, delayed: bool) -> bool:
        """True when a call can be made without connecting, declaring or asking first, which would block."""
        ready = self._declaration.is_done and self._declaration.knows_the_time
        return self._connections.is_ready and (ready or not delayed)

    def know_the_time(self, *, insist: bool = False) -> None:
        """Learn by how much the broker's clock is ahead of this machine's, unless that is known or was just tried;
        `insist` also where it was just tried in vain."""
        self._declaration.know_the_time(insist=insist)
        self._take_heartbeats()

    def know_the_time_soon(self) -> None:
        """As `know_the_time`, on a thread of its own."""
        self._declaration.know_the_time_soon()

    def know_the_time_again(self) -> None:
        """Ask for it again, on a thread of its own."""
        self._declaration.know_the_time_soon(again=True)
        self._take_heartbeats()

    def _take_heartbeats(self) -> None:
        """Where the broker's time cannot be asked for, the next worker that sends a heartbeat tells it."""
        is_unknown = broker_time.ahead() is None and self._declaration.has_clock()
        if is_unknown and self._connections.is_open and not self._hears:
            from amqptasks.control.heartbeat_clock import HeartbeatClock

            self._hears = True
            link = self._connections.link
            link.call_soon(HeartbeatClock(link, self._app.codec.signing).start)

    def into_ladder(self, outgoing: Outgoing, delay: float) -> Outgoing:
        """Into the ladder, which is made sure to be there."""
        if not self._declaration.is_done:
            self._connections.open(delayed=True)
        return self.delayed(outgoing, delay)

    def delayed(self, outgoing: Outgoing, delay: float) -> Outgoing:
        """The same message, to arrive in `delay` seconds at the exchange it was meant for."""
        return self._declaration.delayed(outgoing, delay)

    def declare_again(
        self, error: Unroutable | PublishRejected, since: float | None = None, timeout: float | None = None
    ) -> bool:
        """Something is gone that a message needs which was published at `since`, on the monotonic clock. Declare it
        again, unless that was done since; True where the message can be published again. Raises `BrokerError`, after
        `timeout` seconds at the latest."""
        return self._declaration.again(error, self._app.publish_timeout if timeout is None else timeout, since)


def revoking(app: App) -> Revoke:
    """`app.control.revoke`, for results. The link's thread knows results, and must not keep an app alive that its
    program has let go."""
    known = weakref.ref(app)

    def revoke(ids: Sequence[str], **options: Any) -> None:
        alive = known()
        if alive is None:
            raise ConfigurationError("the app of this result is gone: keep the app, and revoke by app.control.revoke")
        alive.control.revoke(ids, **options)

    return revoke
