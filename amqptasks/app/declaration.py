"""What one process declared of its app's topology, and what it learnt of the broker by that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from amqptasks.errors import BrokerError, BrokerUnreachable, ConfigurationError, PublishRejected, Unroutable
from amqptasks.messages.outgoing import Outgoing
from amqptasks.runtime import forks
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology import delays
from amqptasks.transport import Session

if TYPE_CHECKING:
    from amqptasks.control.broker_clock import Asked
    from amqptasks.results.address import Streams
    from amqptasks.runtime.clock.broker_time import Measured
    from amqptasks.topology.broker.declare import Change
    from amqptasks.topology.topology import Topology
    from amqptasks.transport.capabilities import Capabilities

logger = get_logger(__name__)

#: Questions of who insists on the broker's time, and questions in a row that were not answered before all calls go by
#: this machine's clock for a while: a busy broker may leave one without an answer in time. Who revokes by another clock
#: means other calls, and a call that expires by another one may never run.
INSISTS = 3

#: So often within so many seconds the topology is declared again for the same thing that is missing: what is deleted
#: twice is mended twice, and a route that leads nowhere for good does not make each call declare everything.
MOST_AGAIN, AGAIN_WITHIN = 3, 5.0

#: Seconds before the broker's clock is asked for again where there was no answer, and for one such question.
ASK_AGAIN_AFTER, ASK_WITHIN = 60.0, 3.0

#: Seconds for which a caller waits while another thread asks: that connects, and waits for an answer.
ANSWERED_WITHIN = 5.0

#: Seconds to connect from which on the broker is far away. Its clock is then asked for on a thread of its own: the
#: question takes as many round trips again as the whole declaration.
SLOW = 1.0

#: Different things that are missing at a time, of which is remembered when they were declared again.
REMEMBERED = 100

#: Seconds that one declaration has at least, for a caller whose time is nearly up.
SHORTEST = 0.5


class Declaration:
    """`topology` says what is to be there, `session` opens a connection for so many seconds. `results` are the
    streams of its result store, where it has some."""

    def __init__(
        self,
        topology: Callable[[], Topology],
        session: Callable[[float | None], AbstractContextManager[Session]],
        has_clock: Callable[[], bool] = lambda: False,
        results: Streams | None = None,
    ) -> None:
        self._results = results
        self._topology = topology
        self._session = session
        #: False for a broker in memory, which goes by this machine's clock.
        self.has_clock = has_clock
        self._asked_at: float | None = None  # when the broker's clock was last asked for
        self._unanswered = 0  # questions in a row that the broker took and did not answer in time
        self._clock_lock = threading.Lock()
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
            from amqptasks.control import broker_clock as _loaded  # noqa: F401 - asked for the time later on
            from amqptasks.topology.broker.declare import declare_or_check
            from amqptasks.topology.expand.expand import expand
            from amqptasks.topology.expand.ladder import ladder_objects
            from amqptasks.topology.expand.results import result_objects
            from amqptasks.topology.migrate.marks import settled

        topology = self._topology()
        began = monotonic()
        with self._session(timeout) as session:
            self.capabilities = capabilities = session.capabilities
            is_near = monotonic() - began < SLOW
            asked = self._ask(session) if is_near else None
            objects = expand(topology, capabilities) + ladder_objects(topology, capabilities)
            if self._results is not None:
                objects += result_objects(self._results.count, capabilities)
            changes = declare_or_check(settled(objects, session), session)
            if is_near:
                self._hear(asked, session)
            else:
                self.know_the_time_soon()
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

    @property
    def knows_the_time(self) -> bool:
        """False where asking for the broker's clock is worth a try."""
        if not self.has_clock() or broker_time.is_current():
            return True
        if self._asked_at is None or 0 < self._unanswered < INSISTS:
            return False
        return monotonic() - self._asked_at < ASK_AGAIN_AFTER

    def know_the_time(self, *, again: bool = False, insist: bool = False) -> None:
        """Ask the broker for its time, unless that is known or was just tried; `insist` also where it was just tried in
        vain, `again` in any case, and more exactly. Raises nothing: without an answer this machine's clock counts."""
        if not self.has_clock() or (self._is_settled(insist) and not again):
            return
        # Whoever needs the time waits for a question that is under way.
        if not self._clock_lock.acquire(timeout=ANSWERED_WITHIN):
            return
        try:
            for _ in range(INSISTS if insist else 1):
                if again or not self._is_settled(insist):
                    self._ask_for_the_time(exactly=again)
        finally:
            self._clock_lock.release()

    def _is_settled(self, insist: bool) -> bool:
        return broker_time.is_current() if insist else self.knows_the_time

    def _ask_for_the_time(self, *, exactly: bool) -> None:
        try:
            if not self._topology().longest_delay:
                self._go_by_own_clock("the topology says `delays: false`")
                return
            from amqptasks.control import broker_clock

            with self._session(ASK_WITHIN) as session:
                found = self._heard(broker_clock.ask(session))
                if exactly:
                    broker_clock.narrow(session)
            if found is None:
                why = "the broker did not answer in time" if self._unanswered else ""
                self._go_by_own_clock(why or "this user may not enter the delay ladder, or the ladder is not there")
        except BrokerError as error:
            self._go_by_own_clock(str(error))
        finally:
            self._asked_at = monotonic()  # from now on, and not before, others go on without an answer

    def know_the_time_soon(self, *, again: bool = False) -> None:
        """As `know_the_time`, on a thread of its own."""
        if again or not (self.knows_the_time or self._clock_lock.locked()):
            ask = partial(self.know_the_time, again=again)
            threading.Thread(target=ask, name="amqptasks-clock", daemon=True).start()

    def _go_by_own_clock(self, why: str) -> None:
        if broker_time.ahead() is None:
            logger.info(
                "moments go by this machine's clock, for the broker's is not known: %s",
                why,
                extra={"action": "clock_unknown"},
            )

    def _ask(self, session: Session) -> Asked | None:
        """Ask for the broker's time while it makes what is missing. None where that is not known to work yet."""
        if self.knows_the_time or not self._topology().longest_delay:
            return None
        from amqptasks.control.broker_clock import ask

        return ask(session)  # None where there is no ladder yet

    def _heard(self, asked: Asked | None) -> Measured | None:
        """The answer, where there was a question and it comes in time."""
        if asked is None:
            self._unanswered = 0
            return None
        from amqptasks.control import broker_clock

        found = broker_clock.heard(asked)
        self._unanswered = 0 if found is not None else self._unanswered + 1
        return found

    def _hear(self, asked: Asked | None, session: Session) -> None:
        if self.knows_the_time or not self._topology().longest_delay:
            return
        from amqptasks.control.broker_clock import ask

        found = self._heard(asked or ask(session))
        self._asked_at = monotonic()
        if found is None:
            self._go_by_own_clock("it could not be asked for through the delay ladder")
        elif found.ahead:
            self.know_the_time_soon(again=True)

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
