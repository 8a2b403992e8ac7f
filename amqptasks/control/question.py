"""One command on its way, and the answers that come: until everybody who is there has answered, or time is up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any

from amqptasks import streams
from amqptasks.control import envelope, roster
from amqptasks.control.answers import Answers
from amqptasks.control.envelope import Answer, Command, Destination, Unbelieved, Unreadable
from amqptasks.control.places import EXCHANGE, LOOK_BACK, NODES
from amqptasks.control.roster import Announcement
from amqptasks.errors import BrokerError, Nacked, PublishRejected, ReplyLost, Unroutable
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.ids import task_id
from amqptasks.messages.signing import Signing
from amqptasks.results.replies import Replies
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link, Missing, Session

logger = get_logger(__name__)

#: Seconds that those who have not answered get before the broker is asked whether they are still there: it costs a
#: connection, and most answer sooner.
PATIENCE = 0.15

#: Seconds for the broker to say whether the exchange is there.
LOOK_FOR_WITHIN = 1.0

#: Seconds for that connection.
LOOK_WITHIN = 5.0


class Question:
    """Asks through `link`, whose replies come by `replies`; `session` opens a connection to look who is there,
    `signing` has the keys that sign the command."""

    def __init__(
        self,
        link: Link,
        replies: Replies,
        session: Callable[[float], AbstractContextManager[Session]],
        signing: Signing | None = None,
    ) -> None:
        self._signing = signing
        self._link = link
        self._replies = replies
        self._session = session
        #: Whether the last command found a queue.
        self.was_heard = True

    def ask(self, command: Command, timeout: float) -> Answers[Any]:
        """Waits `timeout` seconds at most. Raises `BrokerError` where the command could not be sent, `ReplyLost` where
        the connection broke before an answer came, `TypeError` for arguments that JSON cannot carry."""
        deadline = monotonic() + timeout
        command = replace(command, id=task_id())
        message = envelope.outgoing(command, timeout, self._signing)
        arrived: SimpleQueue[Delivery | ReplyLost | _Present] = SimpleQueue()
        self._replies.listen(command.id, arrived.put)
        try:
            self.was_heard = self._has_exchange() and self._send(message, timeout)
            reader = self._look_round(arrived)
            try:
                return self._gather(command, arrived, deadline)
            finally:
                self._link.call_soon(reader.close)  # where time was up before it came to the end
        finally:
            self._replies.forget(command.id)

    def _has_exchange(self) -> bool:
        """Publishing to an exchange that is gone would close the channel that all replies of this process come by."""
        looked: SimpleQueue[Missing | None] = SimpleQueue()
        self._link.call_soon(
            lambda: self._link.look_for([EXCHANGE.name], [], lambda missing, _error: looked.put(missing))
        )
        try:
            missing = looked.get(timeout=LOOK_FOR_WITHIN)
        except Empty:
            return True
        return missing is None or not missing.exchanges

    def _send(self, message: Any, timeout: float) -> bool:
        """False where nobody listens: it finds no queue, or the exchange is gone since it was looked for."""
        confirmed: SimpleQueue[BaseException | None] = SimpleQueue()
        self._link.call_soon(lambda: self._link.publish(message, confirmed.put, timeout))
        error = confirmed.get()
        if isinstance(error, Unroutable) or (isinstance(error, PublishRejected) and error.reason.startswith("404")):
            return False
        if error is not None and not isinstance(error, Nacked):
            raise error
        return True  # nacked: one queue did not take it, as that of a worker that just died; who did answers

    def _look_round(self, arrived: SimpleQueue[Any]) -> streams.Reader:
        """Read who announced themselves, while the answers come. Where somebody listens, somebody did, and silence is
        no end of the list; where nobody listens, the list says who should."""
        found: list[Delivery] = []
        since = broker_time.utcnow() - timedelta(seconds=LOOK_BACK)

        def ended(trouble: str | None) -> None:
            arrived.put(_Present(None if trouble is not None else roster.present(found)))

        reader = streams.Reader(self._link, NODES.name, since, found.append, ended, never_empty=self.was_heard)
        self._link.call_soon(reader.start)
        return reader

    def _gather(self, command: Command, arrived: SimpleQueue[Any], deadline: float) -> Answers[Any]:
        gathered = _Gathered(command, self.was_heard, self._signing)
        while not gathered.is_complete:
            until = deadline if gathered.patience is None else min(deadline, gathered.patience)
            try:
                gathered.take(arrived.get(timeout=max(0.0, until - monotonic())))
            except Empty:
                if gathered.patience is not None:  # also when time is up: say only who really is there
                    gathered.patience = None
                    self._strike_out(gathered)
                    if not self.was_heard:  # nobody can answer
                        break
                elif monotonic() >= deadline:
                    break
        return gathered.answers

    def _strike_out(self, gathered: _Gathered) -> None:
        """Those whose connection the broker does not have any more are not waited for."""
        silent = gathered.silent
        if not silent:
            return
        try:
            with self._session(LOOK_WITHIN) as session:
                for queue, one in silent.items():
                    if not roster.is_connected(session, one):
                        gathered.strike_out(queue)
        except BrokerError:
            return  # they may be there


class _Gathered:
    """What is known by now: who is there (None: not known), and who has answered, each by its control queue."""

    def __init__(self, command: Command, was_heard: bool, signing: Signing | None) -> None:
        self._command = command
        self._signing = signing
        self._warned = False
        self._was_heard = was_heard
        self._is_known = False
        self._present: dict[str, Announcement] | None = None
        self._answered: dict[str, Answer] = {}
        self.patience: float | None = None  # on the monotonic clock: then it is looked who is still there

    def take(self, said: Delivery | ReplyLost | _Present) -> None:
        """Raises `ReplyLost` where no answer came before the connection broke."""
        if isinstance(said, ReplyLost):
            if self._was_heard and not self._answered:
                raise said
        elif isinstance(said, _Present):
            self._is_known = True
            if said.by_queue is not None:
                destination = self._command.destination
                self._present = {
                    queue: one for queue, one in said.by_queue.items() if destination.includes(one.node, one.host)
                }
                self.patience = monotonic() + (PATIENCE if self._was_heard else 0.0)
        else:
            answer = self._read(said)
            if answer is not None:
                self._answered[answer.queue] = answer

    def _read(self, delivery: Delivery) -> Answer | None:
        """None where it is nobody's: whoever has seen or guessed the reply address may write there."""
        try:
            return envelope.answer_in(delivery, self._signing)
        except Unbelieved as error:
            if not self._warned:
                self._warned = True
                told = "an answer to the command %s is not believed: %s. Do all workers have the keys of this app?"
                logger.warning(told, self._command.name, error, extra={"action": "answer_unbelieved"})
        except Unreadable:
            pass
        return None

    @property
    def is_complete(self) -> bool:
        """Everybody has answered who is known to be there. The command reached a queue: where nobody has answered, it
        is one that the list does not name (yet). One that reached none is answered by nobody."""
        if not self._was_heard:
            return self._is_known and not self.silent
        return self._present is not None and bool(self._answered) and not self.silent

    @property
    def silent(self) -> dict[str, Announcement]:
        return {queue: one for queue, one in (self._present or {}).items() if queue not in self._answered}

    def strike_out(self, queue: str) -> None:
        assert self._present is not None
        del self._present[queue]

    @property
    def answers(self) -> Answers[Any]:
        silent = [one.node for one in self.silent.values()]
        complete = self._present is not None or not self._was_heard
        return _answers(self._answered, self._command, silent, complete=complete)


def nobody(destination: Destination) -> Answers[Any]:
    """The answers where no worker listens."""
    return Answers({}, {}, tuple(sorted(destination.named)), complete=True)


class _Present:
    """The list of workers was read; None: it cannot be."""

    def __init__(self, by_queue: dict[str, Announcement] | None) -> None:
        self.by_queue = by_queue


def _answers(answers: Mapping[str, Answer], command: Command, silent: Any, *, complete: bool) -> Answers[Any]:
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for answer in sorted(answers.values(), key=lambda one: one.node):
        name = answer.node
        if name in values or name in errors:  # two workers of one name: both are shown
            name = f"{answer.node} ({answer.host}:{answer.pid})"
        if answer.error is None:
            values[name] = answer.value
        else:
            errors[name] = answer.error
    known = {answer.node for answer in answers.values()}
    missing = dict.fromkeys((*silent, *(name for name in command.destination.named if name not in known)))
    return Answers(values, errors, tuple(sorted(missing)), complete)
