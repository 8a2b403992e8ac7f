"""What makes a worker answer: it listens on the control exchange, and announces itself.

link's thread       messages come in, answers go out
control's thread    declares what is missing, reads the commands and carries them out, one after the other

So a worker answers whatever its pools are doing, and a slow command holds up nothing but the next command. Without the
rights on the broker that this takes, the worker works without it, and says so once.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from amqptasks import dial
from amqptasks.control import envelope, places, roster
from amqptasks.control.envelope import Answer, Command, Unreadable
from amqptasks.control.roster import Announcement
from amqptasks.errors import AccessRefused, AmqptasksError, BrokerError
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.outgoing import Outgoing
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.streams.refusals import NOT_THERE
from amqptasks.transport import Missing, Subscription
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import LONGEST_LINE, OutOfBounds
from amqptasks.untrusted.printable import printable
from amqptasks.worker.control.commanding import CONTROL
from amqptasks.worker.control.inspecting import INSPECT
from amqptasks.worker.control.revocation_reader import RevocationReader
from amqptasks.worker.process.awaiting import awaited

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

Value = TypeVar("Value")

#: Seconds that a start waits for control to listen: it mostly does by the time that the queues are consumed.
LISTENING_WITHIN = 2.0

#: Seconds for the link's thread to answer a question about its own; more means that it is stuck.
LINK_WITHIN = 2.0

#: Commands that wait to be carried out. A command takes a millisecond, and its sender waits for a second.
MOST_WAITING = 1000

#: Bytes of commands that wait: two of the largest that are read.
MOST_WAITING_BYTES = 2 * bounds.LARGEST_RECORD

#: Seconds to publish an answer, or an announcement.
PUBLISH_WITHIN = 10.0

#: Seconds before missing objects are declared again.
DECLARE_PAUSE = 5.0

#: Seconds before it listens again where this user may not: rights come back by hand, and each try is an error in the
#: broker's log.
REFUSED_PAUSE = 15.0

#: Seconds between two looks whether what control needs is still on the broker: nobody says that a stream was deleted
#: which is only written to. Each is one channel and three questions.
LOOK_EVERY = 15.0

#: What is looked for. The exchange of commands is not among them: the listener notices by itself.
NEEDED_EXCHANGES = (places.NODES.exchange.name, places.REVOKED.exchange.name)
NEEDED_QUEUES = (places.NODES.name,)

COMMANDS = {**INSPECT, **CONTROL}

#: Commands that are answered without a signature where the app requires signatures: probes have no keys.
UNSIGNED = frozenset({"ping"})


class ControlService:
    """The control of one worker. `node` is asked and told; `started_at` is on the monotonic clock. Where it does not
    listen, nobody can tell the worker anything; revocations are read all the same."""

    def __init__(self, node: Node, *, listens: bool = True) -> None:
        self.node = node
        self._listens = listens
        self.host = socket.gethostname()
        self.revocations = RevocationReader(node, self._on_revocations, lambda: self.trouble is not None)
        self._settled = threading.Event()  # it listens, or cannot
        self.started_at = monotonic()
        self.trouble: str | None = None
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="amqptasks-control", daemon=True)
        self._subscription: Subscription | None = None
        self._has_streams = not dial.is_memory(node.app.broker)
        self._queue = ""
        self._stopping = False
        self._looking = False  # now and then, whether all that it needs is there
        #: Messages on the exchange that were not obeyed.
        self.skipped = 0
        self._skipping = threading.Lock()  # for that count, which two threads change
        self._came = self._read = 0  # bytes of commands: the link's thread changes one, control's thread the other
        #: Whether the command that is carried out may see the arguments of tasks. Control's thread only.
        self.shows_arguments = False

    def start(self) -> None:
        """Read the revocations, so that nothing revoked runs, and begin to answer. The link is running."""
        self.node.dispatcher.refusals.append(self.revocations.refusal)
        self._thread.start()
        if self._has_streams:
            self.revocations.start()
        self._jobs.put(self._begin)
        if not self._listens:
            self._settled.set()
        if self._has_streams:
            self.revocations.wait_until_read()

    def wait(self) -> None:
        """Until whoever asks now is heard, or it is clear that nobody will be; not for long."""
        awaited(self._settled, LISTENING_WITHIN, lambda: self.node.told_to_stop)

    def stop(self) -> None:
        """Say goodbye, once; from any thread."""
        if self._stopping:
            return
        self._stopping = True
        self.node.link.call_soon(self._leave)
        self._jobs.put(None)

    def on_link(self, ask: Callable[[], Value]) -> Value:
        """What `ask` returns on the link's thread. Raises `BrokerError` where that thread does not answer."""
        answer: SimpleQueue[tuple[Value | None, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                answer.put((ask(), None))
            except Exception as error:
                answer.put((None, error))

        self.node.link.call_soon(run)
        try:
            value, error = answer.get(timeout=LINK_WITHIN)
        except Empty:
            raise BrokerError(f"the link's thread has not answered for {LINK_WITHIN:g} s") from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    # The link's thread

    def deliveries(self, batch: list[Delivery]) -> None:
        """Whoever may write to the exchange decides what reading a command costs: control's thread does that."""
        for delivery in batch:
            size = len(delivery.body)
            if self._jobs.qsize() >= MOST_WAITING or self._came - self._read + size > MOST_WAITING_BYTES:
                self._skip("too many others wait already")
                continue
            self._came += size
            self._jobs.put(lambda delivery=delivery: self._take(delivery))  # type: ignore[misc]

    def _skip(self, why: str) -> None:
        """Whoever may write to the exchange may send thousands: the log tells the first, and each tenth power. Any
        thread."""
        with self._skipping:
            self.skipped += 1
            skipped = self.skipped
        if str(skipped).strip("0") == "1":
            told = "a control message is not obeyed: %s (%d so far)"
            logger.warning(told, printable(why), skipped, extra={"action": "control_unreadable"})

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        assert self._subscription is not None
        self._queue = self._subscription.queue
        if self.trouble is not None:
            logger.info("remote control is back", extra={"action": "control_back"})
        self.trouble = None
        self._announce("here")
        self._settled.set()

    def lost(self, lease: Lease, reason: str) -> None:
        """The subscription makes another queue as soon as it can."""

    def unavailable(self, queue: str, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        if reason.startswith("403"):
            self._without(reason)
            if self._subscription is not None:
                self._subscription.close()
                self._subscription = None
                self.node.link.call_later(REFUSED_PAUSE, self._listen)
        elif not self._stopping:
            self._jobs.put(self._declare)

    def _listen(self) -> None:
        """For the first time, or once more where this user was refused."""
        if self._stopping or not self._listens or self._subscription is not None:
            return
        self._subscription = self.node.link.listen(places.LISTENERS, [(places.EXCHANGE.name, "")], self)
        if not self._looking:
            self._looking = True
            self._announce_again()
            self._look_again()

    def _announce_again(self) -> None:
        if not self._stopping:
            self._announce("here")
            self.node.link.call_later(places.ANNOUNCE_EVERY, self._announce_again)

    def _look_again(self) -> None:
        """With jitter: a hundred workers need not all declare what is missing."""
        if not self._stopping and self._has_streams:
            self.node.link.call_later(LOOK_EVERY * random.uniform(0.5, 1.0), self._look)

    def _look(self) -> None:
        if not self._stopping:
            self.node.link.look_for(NEEDED_EXCHANGES, NEEDED_QUEUES, self._on_looked)
            self._look_again()

    def _on_looked(self, missing: Missing | None, error: BaseException | None) -> None:  # noqa: ARG002 - looks again
        if missing is not None and (missing.exchanges or missing.queues) and not self._stopping:
            named = ", ".join((*missing.exchanges, *missing.queues))
            logger.error(
                "remote control misses %s on the broker, and declares that again",
                named,
                extra={"action": "control_objects_gone"},
            )
            self._jobs.put(self._declare_again)

    def _on_revocations(self, trouble: str) -> None:
        """Their stream cannot be read. One that is gone is made again."""
        if NOT_THERE in trouble:
            self._jobs.put(self._declare)
        elif not self._stopping:
            logger.warning("the revocations cannot be read: %s", trouble, extra={"action": "revocations_unreadable"})

    def _announce(self, state: roster.State) -> None:
        if self._has_streams and self._queue:
            self._publish(roster.outgoing(Announcement(state, self.node.name, self.host, self._queue)))

    def _publish(self, outgoing: Outgoing) -> None:
        self.node.link.publish(outgoing, _published, PUBLISH_WITHIN)

    def _leave(self) -> None:
        self._announce("gone")
        if self._subscription is not None:
            self._subscription.close()
        self.revocations.close()

    def _begin_later(self) -> None:
        self.node.link.call_later(DECLARE_PAUSE, lambda: self._jobs.put(self._begin))

    def _without(self, reason: str) -> None:
        """Said once: what follows from a missing right does not change while we run."""
        if self.trouble is None:
            logger.warning(
                "no remote control: %s. Give this user the rights on `amqptasks.*`, see docs/control.md",
                reason,
                extra={"action": "control_unavailable"},
            )
        self.trouble = reason
        self._settled.set()

    # Control's thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # the next command is another one
                logger.exception("a control command failed")

    def _begin(self) -> None:
        declared = self._declare()
        if self._has_streams:
            self.node.link.call_soon(self.revocations.begin)
        if declared:
            self.node.link.call_soon(self._listen)

    def _declare_again(self) -> None:
        """Something was gone: whoever asks now must find this worker in the list again."""
        if self._declare():
            self.node.link.call_soon(lambda: self._announce("here"))

    def _declare(self) -> bool:
        try:
            with self.node.app.session() as session:
                places.prepare(session, has_streams=self._has_streams)
        except AccessRefused as refused:
            self._without(str(refused))
            return self._subscription is None  # somebody else may have made it: the subscription finds out
        except BrokerError as error:
            logger.warning("control waits for the broker: %s", error, extra={"action": "control_waits"})
            if not self._stopping:
                self.node.link.call_soon(self._begin_later)
            return False
        return True

    def _take(self, delivery: Delivery) -> None:
        self._read += len(delivery.body)
        try:
            command = envelope.command_in(delivery, self.node.app.codec.signing)
        except Unreadable as error:
            self._skip(str(error))
            return
        if command.destination.includes(self.node.name, self.host):
            self._obey(command)

    def _obey(self, command: Command) -> None:
        if command.is_late:
            logger.warning("too late for the command %s", command.name, extra={"action": "control_late"})
            self._answer(command, None, "the command came too late, or the clocks of its sender and this worker differ")
            return
        value: object = None
        trouble: str | None = None
        carry_out = COMMANDS.get(command.name)
        signing = self.node.app.codec.signing
        self.shows_arguments = command.verified or self.node.app.control_shows_arguments
        if signing is not None and signing.required and not command.verified and command.name not in UNSIGNED:
            self._skip(f"{command.name} is not signed, and this app requires signatures")
            trouble = "this worker obeys signed commands only: name the app that has the keys, with -A MODULE"
        elif carry_out is None:
            trouble = f"this worker does not know the command {command.name!r}"
        else:
            try:
                value = carry_out(self, command.arguments)
            except (AmqptasksError, OutOfBounds) as error:
                trouble = str(error)
            except Exception as error:  # whoever asked is told, and the worker goes on
                trouble = f"{type(error).__name__}: {error}"
                logger.exception("the control command %s failed", command.name)
        if command.name in CONTROL:
            logger.info(
                "told to %s %s: %s",
                command.name,
                printable(self.node.app.codec.mask.masked(dict(command.arguments)), LONGEST_LINE),
                trouble or value,
                extra={"action": "control"},
            )
        self._answer(command, value, trouble)

    def _answer(self, command: Command, value: object, trouble: str | None) -> None:
        if command.reply_to is None:
            return
        answer = Answer(self.node.name, self.host, os.getpid(), self._queue, value, trouble)
        outgoing = envelope.reply(answer, command, self.node.app.codec.signing)
        self.node.link.call_soon(lambda: self._publish(outgoing))


def _published(error: BaseException | None) -> None:
    if error is not None:
        logger.warning("control could not publish: %s", error, extra={"action": "control_publish_failed"})
