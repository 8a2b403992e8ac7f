"""The connections of one app in one process, opened when first used."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from amqptasks import dial
from amqptasks.publisher import Publisher
from amqptasks.transport import Link, Session

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from amqptasks.claims import Claims
    from amqptasks.codec import Codec
    from amqptasks.events.emitter import Emitter
    from amqptasks.results.replies import Replies

#: Seconds that closing waits for the last events: nobody's work depends on them.
DRAIN_EVENTS = 1.0


class Connections:
    """`addresses` says where the broker is, `prepare` runs before the first link opens: it may declare, and raise."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        tls: ssl.SSLContext | None,
        codec: Codec,
        prepare: Callable[[], None],
    ) -> None:
        self._addresses = addresses
        self._tls = tls
        self._codec = codec
        self._prepare = prepare
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._earlier_links: list[Link] = []
        self._publisher: Publisher | None = None
        self._replies: Replies | None = None
        self._event_link: Link | None = None
        self._emitters: dict[str, Emitter] = {}
        self._claims: Claims | None = None
        self._ending: Executor | None = None
        self._claims_lock = threading.Lock()  # its own: an event loop asks for them, and must not wait for a link

    @property
    def is_open(self) -> bool:
        return self._link is not None

    @property
    def claims(self) -> Claims:
        """Of calls that are to be the only ones of their kind."""
        with self._claims_lock:
            if self._claims is None:
                from amqptasks.claims import Claims

                self._claims = Claims(lambda: dial.session(self._addresses(), self._tls, dial.TIMEOUT))
            return self._claims

    @contextlib.contextmanager
    def session(self, timeout: float) -> Iterator[Session]:
        session = dial.session(self._addresses(), self._tls, timeout)
        try:
            yield session
        finally:
            session.close()

    @property
    def link(self) -> Link:
        if self._link is None:
            with self._lock:
                if self._link is None:
                    self._prepare()
                    link = self.new_link()
                    link.start()
                    self.use(link)
        assert self._link is not None
        return self._link

    def new_link(self) -> Link:
        return dial.link(self._addresses(), self._tls)

    def use(self, link: Link) -> None:
        """Publish through this link from now on. An earlier one stays open until `close`, for the replies that are
        still to come through it."""
        from amqptasks.results.replies import Replies

        if self._link is not None:
            self._earlier_links.append(self._link)
        self._replies = replies = Replies(self._codec.reader)
        self._publisher = Publisher(link)
        self._link = link
        link.receive_replies(replies.reply, replies.lost)

    @property
    def publisher(self) -> Publisher:
        _ = self.link
        assert self._publisher is not None
        return self._publisher

    @property
    def ending(self) -> Executor:
        """One thread on which calls end that nobody waits for, in the order of their confirms."""
        with self._lock:
            if self._ending is None:
                from concurrent.futures import ThreadPoolExecutor

                self._ending = ThreadPoolExecutor(1, thread_name_prefix="amqptasks-ending")
            return self._ending

    @property
    def replies(self) -> Replies:
        _ = self.link
        assert self._replies is not None
        return self._replies

    def emitter(self, hostname: str) -> Emitter:
        """What sends events in the name of `hostname`, over a connection of its own: a broker that refuses an event
        closes the channel that it came by, and the replies that others wait for on that channel would be lost."""
        from amqptasks.events import places
        from amqptasks.events.emitter import Emitter

        known = self._emitters.get(hostname)
        if known is not None:
            return known

        def prepare() -> None:
            with self.session(dial.TIMEOUT) as session:
                places.prepare(session, has_streams=not dial.is_memory(self._addresses()))

        with self._lock:
            if self._event_link is None:
                self._event_link = self.new_link()
                self._event_link.start()
            return self._emitters.setdefault(hostname, Emitter(self._event_link, hostname, prepare))

    def close(self, timeout: float) -> None:
        """Publish what is under way and close all, within `timeout` seconds; what is used later is opened anew."""
        with self._lock:
            links, emitters = [*self._earlier_links, self._link, self._event_link], self._emitters
            ending = self._ending
            self._earlier_links = []
            self._link = self._publisher = self._replies = self._event_link = self._ending = None
            self._emitters = {}
        if self._claims is not None:
            self._claims.close(timeout)
        for emitter in emitters.values():
            emitter.drain(min(timeout, DRAIN_EVENTS))
        for link in links:
            if link is not None:
                link.stop(timeout)
        if ending is not None:
            ending.shutdown(wait=False)  # what was published ends first; for callbacks of the user's nobody waits
