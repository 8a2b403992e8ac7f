"""What one process declared of its app's topology, and what it learnt of the broker by that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from amqptasks import forks
from amqptasks.clock import monotonic
from amqptasks.errors import BrokerUnreachable, ConfigurationError, PublishRejected, Unroutable
from amqptasks.log_queue import get_logger
from amqptasks.outgoing import Outgoing
from amqptasks.topology import delays
from amqptasks.transport import Session

if TYPE_CHECKING:
    from amqptasks.capabilities import Capabilities
    from amqptasks.topology.declare import Change
    from amqptasks.topology.topology import Topology

logger = get_logger(__name__)

#: So often within so many seconds the topology is declared again for the same thing that is missing: what is deleted
#: twice is mended twice, and a route that leads nowhere for good does not make each call declare everything.
MOST_AGAIN, AGAIN_WITHIN = 3, 5.0

#: Different things that are missing at a time, of which is remembered when they were declared again.
REMEMBERED = 100

#: Seconds that one declaration has at least, for a caller whose time is nearly up.
SHORTEST = 0.5


class Declaration:
    """`topology` says what is to be there, `session` opens a connection for so many seconds."""

    def __init__(
        self, topology: Callable[[], Topology], session: Callable[[float | None], AbstractContextManager[Session]]
    ) -> None:
        self._topology = topology
        self._session = session
        self._lock = threading.RLock()
        self._declared_at: float | None = None
        self._again: dict[str, list[float]] = {}  # by what was missing, when it was declared again
        #: None before anything was declared here.
        self.capabilities: Capabilities | None = None

    @property
    def is_done(self) -> bool:
        """True once this process has declared the topology, and with it the delay ladder."""
        return self._declared_at is not None

    def inherit(self, capabilities: Capabilities) -> None:
        """Take it for done: this process's parent did it, and learnt these."""
        self.capabilities = capabilities
        self._declared_at = monotonic()

    def declare(self, timeout: float | None) -> list[Change]:
        """See `App.declare`."""
        with forks.loading:
            from amqptasks.topology.declare import declare_or_check
            from amqptasks.topology.expand import expand
            from amqptasks.topology.ladder import ladder_objects
            from amqptasks.topology.migrate.marks import settled

        topology = self._topology()
        with self._session(timeout) as session:
            self.capabilities = capabilities = session.capabilities
            objects = expand(topology, capabilities) + ladder_objects(topology, capabilities)
            changes = declare_or_check(settled(objects, session), session)
        self._declared_at = monotonic()
        return changes

    def again(self, error: Unroutable | PublishRejected, timeout: float, since: float | None = None) -> bool:
        """Something is gone that a message needed which was published at `since`, on the monotonic clock. Declare it
        again, unless that was done since; True where the message can be published again."""
        if isinstance(error, PublishRejected) and not error.reason.startswith("404"):
            return False
        until = monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            raise BrokerUnreachable("another call declares the topology again, and the broker does not answer it")
        try:
            if since is not None and self._declared_at is not None and self._declared_at > since:
                return True  # somebody else who missed something was first
            if not self._may_declare_for(error.reason):
                return False
            self.declare(max(SHORTEST, until - monotonic()))
            logger.error(
                "something was missing on the broker, and is declared again: %s",
                error,
                extra={"action": "declared_again"},
            )
            return True
        finally:
            self._lock.release()

    def _may_declare_for(self, missing: str) -> bool:
        now = monotonic()
        recently = [at for at in self._again.pop(missing, ()) if now - at < AGAIN_WITHIN]
        allowed = len(recently) < MOST_AGAIN
        self._again[missing] = [*recently, now] if allowed else recently
        while len(self._again) > REMEMBERED:
            del self._again[next(iter(self._again))]
        return allowed

    def once(self, timeout: float) -> None:
        """Declare, unless that was ever done here."""
        if not self.is_done:
            with self._lock:
                if not self.is_done:
                    self.declare(timeout)

    def delayed(self, outgoing: Outgoing, delay: float) -> Outgoing:
        """The same message, to arrive in `delay` seconds at the exchange it was meant for. After a declaration."""
        assert self.capabilities is not None
        topology = self._topology()
        if outgoing.exchange not in topology.delay_targets:
            raise ConfigurationError(
                f"a delayed task cannot be for exchange {outgoing.exchange!r}: the topology does not have it, so the"
                f" delay ladder leads nowhere near it. Add it under `exchanges:`, or call with queue="
            )
        exchange, headers = delays.enter(
            delay, outgoing.exchange, self.capabilities, outgoing.properties.priority, topology.longest_delay
        )
        outgoing.properties.headers = {**(outgoing.properties.headers or {}), **headers}
        return Outgoing(exchange, outgoing.routing_key, outgoing.body, outgoing.properties)
