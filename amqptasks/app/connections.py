"""The connections of one app in one process, opened when first used."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from amqptasks import dial
from amqptasks.calls.callback_thread import Ending
from amqptasks.calls.deadline import Deadline
from amqptasks.calls.opening import Opening
from amqptasks.errors import BrokerUnreachable
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link, Session
from amqptasks.transport.publisher import ENDING, Publisher
from amqptasks.untrusted.masks import masked_address
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.calls.unique_claims import Claims
    from amqptasks.events.emitter import Emitter
    from amqptasks.messages.codec import Codec
    from amqptasks.results.backend import Backend
    from amqptasks.results.replies import Replies
    from amqptasks.results.result import AsyncResult, Revoke

logger = get_logger(__name__)

#: Modules that a first publish would import otherwise in the middle of its work.
LOADED = (
    "amqptasks.calls.unique_claims",
    "amqptasks.events.emitter",
    "amqptasks.events.sent",
    "amqptasks.results.replies",
    "amqptasks.topology.broker.declare",
    "amqptasks.topology.migrate.marks",
)

#: Seconds that closing waits for the last events: nobody's work depends on them.
DRAIN_EVENTS = 1.0


def load(urls: Sequence[str]) -> None:
    """Import what a first publish to these addresses needs."""
    dial.load(urls)
    for name in LOADED:
        forks.load(name)


class Submitting(NamedTuple):
    """What a call that nobody waits for is published with, and where it ends."""

    publisher: Publisher
    ending: Ending
    emitter: Emitter | None


class Connections:
    """`addresses` says where the broker is. `declares` says whether the first call declares what it needs; a delayed
    call does in any case. `declare` does it, within so many seconds. `deadline` is that of a call that begins now, for
    which its caller named so many seconds, or None. `results` is the app's result store, where it has one, and `revoke`
    lets tasks not run."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        tls: ssl.SSLContext | None,
        codec: Codec,
        declares: bool,
        declare: Callable[[float], None],
        deadline: Callable[[float | None], Deadline],
        results: Backend | None = None,
        revoke: Revoke | None = None,
    ) -> None:
        self._addresses = addresses
        self._tls = tls
        self._codec = codec
        self._declares = declares
        self._declare = declare
        self.deadline = deadline
        self._results = results
        self._revoke = revoke
        self._openings: dict[bool, Opening] = {}
        self._is_ready = False
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._brought: Link | None = None
        self._earlier_links: list[Link] = []
        self._publisher: Publisher | None = None
        self._replies: Replies | None = None
        self._event_link: Link | None = None
        self._emitters: dict[str, Emitter] = {}
        self._claims: Claims | None = None
        self._ending: Ending | None = None
        self._claims_lock = threading.RLock()  # its own: an event loop asks for them, and must not wait for a link

    @property
    def is_open(self) -> bool:
        """True once there is a link, whether or not the broker is there."""
        return self._link is not None

    @property
    def is_ready(self) -> bool:
        """True once the broker was there, and what calls need was declared."""
        return self._is_ready

    def open(self, deadline: Deadline | None = None, *, delayed: bool = False) -> None:
        """Connect and declare, for a first call; `delayed`: for one that goes through the ladder. Nothing is done where
        that was done before. Raises `BrokerError`, at the deadline at the latest (None: that of any call)."""
        self._opening(delayed=delayed).wait(deadline or self.deadline(None))
        self._is_ready = True

    async def open_async(self, deadline: Deadline, *, delayed: bool = False) -> None:
        """`open` for asyncio: the loop goes on meanwhile."""
        opening = await asyncio.to_thread(self._opening, delayed=delayed)  # it imports, and reads files
        await opening.wait_async(deadline)
        self._is_ready = True

    def _opening(self, *, delayed: bool) -> Opening:
        """What a first call waits for. It begins here, where nobody has begun it."""
        declares = delayed or self._declares
        with self._lock:
            link = self._started()
            known = self._openings.get(declares)
            if known is None or known.has_failed:
                urls = self._addresses()
                where = ", ".join(masked_address(url) for url in urls)
                known = Opening(link, where, len(urls), self._declare if declares else None)
                self._openings[declares] = known
                known.begin()
            return known

    @property
    def claims(self) -> Claims:
        """Of calls that are to be the only ones of their kind."""
        with self._claims_lock:
            if self._claims is None:
                from amqptasks.calls.unique_claims import Claims

                self._claims = Claims(lambda timeout: dial.session(self._addresses(), self._tls, timeout, timeout))
            return self._claims

    @contextlib.contextmanager
    def session(self, timeout: float | None) -> Iterator[Session]:
        first = self.deadline(timeout).first
        session = dial.session(self._addresses(), self._tls, timeout or dial.TIMEOUT, first)
        try:
            yield session
        finally:
            session.close()

    @property
    def link(self) -> Link:
        """Started, whether or not the broker is there."""
        link = self._link
        return link if link is not None and link.broken is None else self._started()

    def _started(self) -> Link:
        with self._lock:
            if self._link is None or self._link.broken is not None:
                if sys.is_finalizing():
                    raise BrokerUnreachable(ENDING)
                load(self._addresses())
                link = self.new_link()
                try:
                    link.start()
                except RuntimeError as error:  # from Python 3.12 on, no thread begins in an `atexit` handler
                    raise BrokerUnreachable(
                        f"the thread of the connections cannot be started ({error}). A program that is ending must"
                        " have published something before"
                    ) from error
                self._use(link)
            assert self._link is not None
            return self._link

    def new_link(self) -> Link:
        return dial.link(self._addresses(), self._tls, self.deadline(None).first)

    def use(self, link: Link) -> None:
        """Publish through this link from now on, for which all is prepared; `close` leaves it open, and `leave` closes
        it. An earlier one stays open until `close`, for the replies that are still to come through it."""
        self._brought = link
        self._use(link)
        self._is_ready = True

    def _use(self, link: Link) -> None:
        from amqptasks.results.replies import Replies
        from amqptasks.results.result import AsyncResult

        if self._link is not None:
            self._earlier_links.append(self._link)
        new_result = AsyncResult if self._results is None else self._results.result
        self._replies = replies = Replies(self._codec.reader, self._codec.signing, new_result, self._revoke)
        self._publisher = Publisher(link)
        self._link = link
        link.receive_replies(replies.reply, replies.lost)

    @property
    def publisher(self) -> Publisher:
        _ = self.link
        assert self._publisher is not None
        return self._publisher

    def submitting(self, timeout: float, hostname: str | None) -> Submitting:
        """For a call that is confirmed within `timeout` seconds; with an emitter where there is a `hostname`."""
        with self._lock:  # all of one time: after a `close` in between, the one would wait for what the other has lost
            publisher = self.publisher
            emitter = None if hostname is None else self.emitter(hostname)
            if self._ending is None:
                self._ending = Ending()
            self._ending.begin(timeout)
            return Submitting(publisher, self._ending, emitter)

    @property
    def replies(self) -> Replies:
        _ = self.link
        assert self._replies is not None
        return self._replies

    def waits_for(self, task_id: str) -> AsyncResult[Any] | None:
        """The result of a call of this process whose reply is still to come; None where there is none."""
        replies = self._replies
        return None if replies is None else replies.known(task_id)

    def emitter(self, hostname: str) -> Emitter:
        """What sends events in the name of `hostname`, over a connection of its own: a broker that refuses an event
        closes the channel that it came by, and the replies that others wait for on that channel would be lost."""
        from amqptasks.events import places
        from amqptasks.events.emitter import Emitter

        known = self._emitters.get(hostname)
        if known is not None:
            return known

        def prepare() -> None:
            with self.session(None) as session:
                places.prepare(session, has_streams=not dial.is_memory(self._addresses()))

        with self._lock:
            if self._event_link is None:
                self._event_link = self.new_link()
                self._event_link.start()
            return self._emitters.setdefault(
                hostname, Emitter(self._event_link, hostname, prepare, self._codec.signing)
            )

    def finish(self) -> None:
        """Wait for what was submitted, as long as the broker may take to confirm it."""
        ending = self._ending
        if ending is not None and not ending.wait(ending.latest):
            logger.warning(
                "%s not ended; the broker may not have them",
                counted(ending.under_way, "submitted call has", "submitted calls have"),
                extra={"action": "submitted_lost"},
            )

    def close(self, timeout: float) -> None:
        """Publish what is under way and close all, within `timeout` seconds; what is used later is opened anew. Within
        a worker, whose link was brought by `use`, nothing is closed: its tasks share it."""
        if self._brought is None:
            self.leave(timeout)
        elif self._ending is not None:
            self._ending.wait(monotonic() + timeout)

    def leave(self, timeout: float) -> None:
        """As `close`, with the link that was brought."""
        deadline = monotonic() + timeout
        if self._ending is not None:
            self._ending.wait(deadline)  # while all is open: their ends publish, and send events
        with self._lock:
            links, event_link, emitters = [*self._earlier_links, self._link], self._event_link, self._emitters
            ending = self._ending
            self._earlier_links = []
            self._brought = None
            self._link = self._publisher = self._replies = self._event_link = self._ending = None
            self._emitters = {}
            openings, self._openings, self._is_ready = self._openings, {}, False
        for opening in openings.values():
            opening.stop()
        for link in links:
            if link is not None:
                link.stop(_until(deadline))
        if ending is not None:
            ending.stop()
            ending.wait(deadline)
        if self._claims is not None:
            self._claims.close(_until(deadline))
        for emitter in emitters.values():
            emitter.drain(min(_until(deadline), DRAIN_EVENTS))
        if event_link is not None:
            event_link.stop(_until(deadline))
        if self._results is not None:
            self._results.close(_until(deadline))


def _until(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
