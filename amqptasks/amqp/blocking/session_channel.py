"""A blocking connection, and asking one thing after the other over it."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy

from pika import ConnectionParameters, exceptions
from pika.adapters.blocking_connection import BlockingChannel
from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from amqptasks.amqp.address import parameters
from amqptasks.amqp.blocking.blocking_connection import BoundedConnection, TimedOut, server_properties
from amqptasks.amqp.failures.failures import CONNECTING_FAILED, explain, is_cut_before_amqp
from amqptasks.amqp.failures.pika_logs import quietly
from amqptasks.amqp.failures.replies import explained
from amqptasks.amqp.failures.tls_failures import certificate_wanted
from amqptasks.amqp.failures.tls_internals import CertificateRequest
from amqptasks.errors import HINT, BrokerError, BrokerUnreachable, ConfigurationError, is_lasting
from amqptasks.runtime.clock import monotonic
from amqptasks.transport.capabilities import Capabilities, from_server_properties
from amqptasks.untrusted.masks import masked_address

#: Seconds between two rounds at most, at first; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

#: Seconds that the connection to one address may take at least, however little time is left.
SHORTEST_TRY = 0.1


class Unanswered(BrokerUnreachable):
    """No answer in time; `blocked` tells why the broker blocks this connection, where it does."""

    def __init__(self, message: str, blocked: str | None) -> None:
        self.blocked = blocked
        super().__init__(message)


class SessionChannel:
    """Opened by the first question, and again after a break. `urls` are tried in turn, round after round, until
    `timeout` seconds are over, or `connect_timeout` while nobody has ever answered there (None: as long); every answer
    is waited for `timeout` seconds. `dropped` is called whenever a connection is given
    up, and whatever was delivered over it with it."""

    def __init__(
        self,
        urls: Sequence[str],
        timeout: float,
        ssl: ssl.SSLContext | None,
        dropped: Callable[[], None],
        connect_timeout: float | None = None,
    ) -> None:
        if not urls:
            raise ConfigurationError("no broker address is given: write one, as amqp://guest:guest@localhost:5672/")
        self._urls = tuple(urls)
        self._parameters = [parameters(url, ssl) for url in urls]
        self.where = ", ".join(masked_address(url) for url in urls)
        self.timeout = timeout
        self._connect_timeout = timeout if connect_timeout is None else connect_timeout
        self._connection: BoundedConnection | None = None
        self._channel: BlockingChannel | None = None
        self._blocked: str | None = None
        self._capabilities: Capabilities | None = None
        self._dropped = dropped
        self._looks_for_request = False  # the last try ended as one does that shows no certificate
        self._request: CertificateRequest | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the broker can do; connects where that has not been done."""
        self.connected()
        if self._capabilities is None:  # pragma: no cover
            raise BrokerUnreachable(f"{self.where} did not say what it is")
        return self._capabilities

    @property
    def is_open(self) -> bool:
        return self._connection is not None and bool(self._connection.is_open)

    def connected(self) -> BoundedConnection:
        """The connection, opened now if it must be."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        self.drop()
        connection = self._connect()
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._capabilities = from_server_properties(server_properties(connection))
        self._connection = connection
        return connection

    def until_in_time(self, error: type[BrokerError]) -> Retrying:
        """Calls again what raises `error`, with growing pauses, until the time is over."""
        deadline = monotonic() + self.timeout
        return Retrying(
            stop=lambda _state: monotonic() >= deadline,  # tenacity's own goes by `time.monotonic`
            wait=wait_random_exponential(multiplier=0.1, max=2.0),
            retry=retry_if_exception_type(error),
            reraise=True,
        )

    def _connect(self) -> BoundedConnection:
        """Round after round, until one succeeds, until its time is over, or until trying again mends nothing."""
        began, pause = monotonic(), FIRST_PAUSE
        while True:
            passed = monotonic() - began
            try:
                return self._connect_once(passed)
            except BrokerUnreachable as error:
                answered = self._capabilities is not None or error.is_answer
                left = began + (self.timeout if answered else self._connect_timeout) - monotonic()
                if is_lasting(error):
                    raise
                if left <= 0:
                    raise BrokerUnreachable(str(error) if answered else f"{error}. {HINT}") from error
            time.sleep(min(random.uniform(0, pause), left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _connect_once(self, passed: float) -> BoundedConnection:
        """One round over all addresses, `passed` seconds after the first began; the error of all where none answers,
        but that of one that does not mend itself comes first."""
        failures: list[BrokerError] = []
        for url, usual in zip(self._urls, self._parameters, strict=True):
            wanted = copy(usual)
            left = max(SHORTEST_TRY, self.timeout - passed)
            share = max(SHORTEST_TRY, (self._connect_timeout - passed) / len(self._urls))
            wanted.socket_timeout = min(usual.socket_timeout or left, left, share)
            wanted.stack_timeout = min(usual.stack_timeout or left, left)
            try:
                with quietly():
                    connection = self._opened_over(wanted)
            except CONNECTING_FAILED as error:
                failures.append(self._explained(error, masked_address(url)))
            else:
                connection.seconds = self.timeout
                return connection
        for failure in failures:
            if is_lasting(failure):
                raise failure
        together = BrokerUnreachable("; ".join(str(failure) for failure in failures))
        together.is_answer = any(isinstance(one, BrokerUnreachable) and one.is_answer for one in failures)
        raise together

    def _opened_over(self, wanted: ConnectionParameters) -> BoundedConnection:
        self._request = None
        if not self._looks_for_request or wanted.ssl_options is None:
            return BoundedConnection(wanted)
        self._request = CertificateRequest(wanted.ssl_options.context)
        try:
            return BoundedConnection(wanted)
        finally:
            self._request.end()

    def _explained(self, error: BaseException, where: str) -> BrokerError:
        self._looks_for_request = is_cut_before_amqp(error)
        if self._looks_for_request and self._request is not None and self._request.seen:
            return certificate_wanted(where)
        return explain(error, where)

    def wait_at_most(self, seconds: float) -> None:
        """For the next connection, and for each answer from now on."""
        self.timeout = self._connect_timeout = seconds
        if self._connection is not None:
            self._connection.seconds = seconds

    def _opened(self) -> BlockingChannel:
        connection = self.connected()
        if self._channel is None or not self._channel.is_open:
            self._channel = connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    @contextmanager
    def asking(self, what: str, answers: frozenset[int] = frozenset()) -> Iterator[BlockingChannel]:
        """One exchange with the broker about `what`; pika's errors become ours. A reply code in `answers` is raised as
        `Refused`, for the caller to name."""
        with self.talking(what, answers):
            yield self._opened()

    @contextmanager
    def talking(self, what: str, answers: frozenset[int] = frozenset()) -> Iterator[None]:
        """`asking`, without a channel."""
        try:
            with quietly():
                yield
        except exceptions.ChannelClosedByBroker as error:
            raise explained(what, error.reply_code, error.reply_text, answers) from None
        except TimedOut:
            blocked = self._blocked_now()
            self.drop()
            raise Unanswered(f"{self.where} did not answer within {self.timeout:g} s about {what}", blocked) from None
        except (exceptions.UnroutableError, exceptions.NackError):
            raise
        except exceptions.ConnectionClosedByBroker as error:
            self.drop()
            raise explained(what, error.reply_code, error.reply_text, answers) from None
        except (exceptions.AMQPError, OSError) as error:
            self.drop()
            raise explain(error, self.where) from error

    @contextmanager
    def in_haste(self, seconds: float | None) -> Iterator[None]:
        """Wait no longer than so many seconds for an answer, on the connection that is there or is made now."""
        if seconds is None:
            yield
            return
        connection, usual = self.connected(), self.timeout
        connection.seconds = self.timeout = min(seconds, usual)
        try:
            yield
        finally:
            connection.seconds = self.timeout = usual

    def _blocked_now(self) -> str | None:
        """Why the broker blocks us: it said so while we waited for something else."""
        if self._connection is not None and self._connection.is_open:
            with suppress(exceptions.AMQPError):
                self._connection.process_data_events(0)
        return self._blocked

    def _on_blocked(self, _connection: object, method: object) -> None:
        reason = getattr(getattr(method, "method", None), "reason", None)
        self._blocked = str(reason or "the broker did not say why")

    def _on_unblocked(self, _connection: object, _method: object) -> None:
        self._blocked = None

    def drop(self) -> None:
        """Disconnect, if connected; the broker takes back what is unsettled."""
        connection, self._connection, self._channel, self._blocked = self._connection, None, None, None
        self._dropped()
        if connection is not None and connection.is_open:
            connection.seconds = min(self.timeout, 1.0)  # an unanswered goodbye is no reason to wait long
            try:
                with quietly():
                    connection.close()
            except TimedOut:
                connection.abandon()
            except (exceptions.AMQPError, OSError):  # it broke by itself, and pika has freed what it held
                return
