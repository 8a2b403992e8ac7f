"""Every exception that amqptasks raises. A docstring says what happened and what to do next.

AmqptasksError
|-- ConfigurationError            something you wrote cannot work
|   |-- TopologyError             ... in a topology file (file, line, path, fix)
|   |-- UnknownOption             ... an option that does not exist
|   |-- NoRoute                   ... a task that no route leads anywhere
|   `-- UnknownTask               ... a task name that this app does not know
|-- BrokerError                   the broker did not, or could not, do what was asked
|   |-- BrokerUnreachable         no connection within the deadline
|   |   `-- TlsError              the connection cannot be encrypted as the address asks
|   |-- ConnectionBlocked         the broker is short of memory or disk
|   |-- AccessRefused             wrong user, password, vhost or permission
|   |-- DeclarationConflict       an object exists with other properties (406)
|   |-- QueueDown                 a queue is on a node that is down
|   |-- PartlyPublished           some messages of many were not accepted
|   `-- PublishError              one message was not accepted
|       |-- Unroutable            no queue took it
|       |-- Nacked                the queue refused it (full, or without a leader)
|       |-- PublishRejected       the broker closed the channel over it (404, 406, ...)
|       |-- AlreadyQueued         another call like it waits, or came within its time (`unique=`)
|       |-- ClaimUnavailable      the node that knows whether another call like it waits is down
|       |-- MessageTooLarge       body or headers over the limit
|       `-- PublishTimeout        no confirm within the deadline
|-- ResultError                   a result cannot be had
|   |-- ResultTimeout             not within the time given
|   |-- ReplyLost                 the connection that waited for it broke
|   |-- TaskRevoked               the task was revoked, or expired before it ran
|   |-- TaskRejected              the task went to the dead-letter queue without a run
|   |-- ResultsNotKept            results are kept nowhere (`rpc://`), and this process did not call the task
|   |-- StoreUnavailable          the result store does not answer
|   |   `-- StoreRefused          ... never takes, or gives, what it was asked for
|   `-- RemoteError               the task raised; its exception class is not importable here
`-- TaskError                     raised in, or by, a running task
    |-- Retry                     run it again later
    |-- Reject                    to the dead-letter queue, no further attempt
    |-- Ignore                    done, store no result
    |-- Snooze                    later, and this attempt does not count
    |-- Replace                   another call takes its place
    |-- InvalidArguments          the arguments are not what the type hints say (`validate=True`)
    |-- NotAwaited                the task returned a coroutine or a generator that nobody runs
    |-- MaxRetriesExceeded        `retry()` was called once too often
    |-- SoftTimeLimitExceeded     raised in a task that runs too long: time to tidy up
    |-- TimeLimitExceeded         the task ran longer than its hard limit, and was ended by force
    |-- WorkerStopping            raised in a task whose worker stops: it goes back, no attempt counts
    |-- Terminated                raised in a task that was revoked while it ran
    `-- WorkerLostError           the process that ran the task died
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Self

from amqptasks.errors.root import AmqptasksError as AmqptasksError
from amqptasks.errors.tasks import (
    INTERRUPTIONS as INTERRUPTIONS,
    Ignore as Ignore,
    InvalidArguments as InvalidArguments,
    MaxRetriesExceeded as MaxRetriesExceeded,
    NotAwaited as NotAwaited,
    Reject as Reject,
    Replace as Replace,
    Retry as Retry,
    Snooze as Snooze,
    SoftTimeLimitExceeded as SoftTimeLimitExceeded,
    TaskError as TaskError,
    Terminated as Terminated,
    TimeLimitExceeded as TimeLimitExceeded,
    WorkerLostError as WorkerLostError,
    WorkerStopping as WorkerStopping,
)

#: What helps whoever has just begun, at the end of the error of a first connection that nobody answered.
HINT = (
    "Is the broker up, and is the address right? To start one on this machine, and be told its address:"
    " amqptasks broker start"
)


class ConfigurationError(AmqptasksError):
    """Something that you wrote cannot work. The message names the place and the mend."""


class TopologyError(ConfigurationError):
    """A topology file has a mistake. The message carries file, line, path and, where one is likely, the fix.

    `problem` is the sentence alone, `file`, `line` (counted from 1) and `path` (`queues.emails.retry`) say where,
    `hint` what to write instead; each may be None. `errors` are all mistakes of the files, this one the first; the
    message has a line for each.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        path: str | None = None,
        hint: str | None = None,
        others: Sequence[TopologyError] = (),
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.path = path
        self.hint = hint
        place = ":".join(str(part) for part in (file, line) if part is not None)
        message = ": ".join(part for part in (place, path, problem) if part)
        self._others = tuple(others)
        super().__init__("\n".join([f"{message}. {hint}" if hint else message, *map(str, others)]))

    @property
    def errors(self) -> tuple[TopologyError, ...]:
        return (self, *self._others)


class UnknownOption(ConfigurationError):
    """An option has no meaning here; the message says which was probably meant."""


class NoRoute(ConfigurationError):
    """No route and no default queue takes this task. Add it to `routes:`, or pass `queue=`."""


class UnknownTask(ConfigurationError):
    """This app has no task of that name. Import the module that defines it, or pass the whole dotted name."""


class BrokerError(AmqptasksError):
    """The broker did not, or could not, do what was asked.

    Of a call, `task_id` is its id. `maybe_published` is False where no queue has the message, so that the task never
    runs; True from the first byte that was handed to a socket until the broker answered. See docs/errors.md.
    """

    maybe_published: bool = False
    task_id: str = ""

    def of_call(self, task_id: str, *, maybe_published: bool = False) -> Self:
        """The same error for one call: several that fail for one reason have an error each."""
        twin: Self = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__, task_id=task_id, maybe_published=maybe_published)
        twin.__cause__ = self.__cause__
        return twin


class BrokerUnreachable(BrokerError):
    """No connection could be had within the deadline. Is the server up, is the address right?"""

    #: True where a broker is there and refuses connections for now, as at a limit of connections.
    is_answer: bool = False


class TlsError(BrokerUnreachable):
    """The connection cannot be encrypted as the address asks: a certificate is not trusted, is missing or has expired,
    or the broker does not speak TLS at that port. The message has the sentence of OpenSSL and the option that helps."""


class ConnectionBlocked(BrokerError):
    """The broker stopped reading from publishers: a memory or disk alarm is on. Free some, then publish again."""


class AccessRefused(BrokerError):
    """The broker refused: wrong user, password or virtual host, or a permission is missing. The message says which."""


class DeclarationConflict(BrokerError):
    """An object of this name exists with other properties, and these cannot be changed in place.

    `kind` is "queue" or "exchange", `name` its name, `argument` what differs, `wanted` and `current` both values
    as the broker printed them (empty where it cut its answer before them). Either write the current value into the
    file, or replace the object: a queue with `amqptasks migrate`, which keeps its messages; an exchange by deleting it.
    """

    def __init__(self, kind: str, name: str, argument: str, wanted: str, current: str) -> None:
        self.kind = kind
        self.name = name
        self.argument = argument
        self.wanted = wanted
        self.current = current
        if kind == "queue":
            way_out = f"`amqptasks migrate {quote(name)} FILE` replaces it, with its messages"
        else:
            way_out = (
                "delete it and run `amqptasks declare`, which binds it again; what is published to it in between is"
                " refused (404)"
            )
        super().__init__(
            f"{kind} {name!r} exists with another {argument}: the broker has {current}, the topology wants {wanted}."
            f" It cannot be changed in place: write the broker's value into the file, or {way_out}"
        )


class PartlyPublished(BrokerError):
    """Of many calls published together, some were not accepted; the others are on the broker.

    `failed` has position and error of each call that was drawn and not confirmed, in order; `total` were drawn. Publish
    those in `failed` again once the cause is mended. `maybe_published` is a number here: of so many the error says so.
    `not_tried` were never sent, as the broker was away. `already_queued` need no second try.
    """

    maybe_published: int  # type: ignore[assignment]

    def __init__(self, failed: list[tuple[int, BaseException]], total: int) -> None:
        self.failed = failed
        self.total = total
        errors = [error for _, error in failed]
        self.already_queued = sum(isinstance(error, AlreadyQueued) for error in errors)
        self.maybe_published = sum(bool(getattr(error, "maybe_published", False)) for error in errors)
        self.not_tried = sum(is_not_tried(error) for error in errors)
        position, error = failed[0]
        counts = (self.already_queued, self.maybe_published, self.not_tried)
        notes = ("are queued already", "may be published", "were not tried")
        told = ", ".join(f"{count} {note}" for count, note in zip(counts, notes, strict=True) if count)
        known = f" ({told})" if told else ""
        calls = "call was" if total == 1 else "calls were"
        super().__init__(f"{len(failed)} of {total} {calls} not accepted{known}, the first at {position}: {error}")


class QueueDown(BrokerError):
    """The queue exists, on a node of the broker that is down. Start the node again, or take it out of the cluster."""


class PublishError(BrokerError):
    """One message was not accepted by the broker. `message_id` is its task id, where it has one."""

    def __init__(self, reason: str, message_id: str | None = None) -> None:
        self.reason = reason
        self.message_id = message_id
        self.task_id = message_id or ""
        super().__init__(reason)


class Unroutable(PublishError):
    """No queue took the message. Run `amqptasks declare`, or mend the exchange and routing key."""


class Nacked(PublishError):
    """The queue refused the message: it is full (`reject-publish`), or has no leader now. Publish again later."""


class PublishRejected(PublishError):
    """The broker closed the channel over this message: no such exchange (404), a bad property (406), no right (403)."""


class AlreadyQueued(PublishError):
    """The call was not published: by its `unique=` there is to be one only, and another one waits, or was published
    within `unique_for`. Nothing is to be done, where its work is all that counts.

    `task` is the task's name, `key` what both calls have in common, `holder` the id of the other one (None
    where it is not known).
    """

    def __init__(self, task: str, key: str, holder: str | None, message_id: str, *, waits: bool = True) -> None:
        self.task = task
        self.key = key
        self.holder = holder
        what = "waits" if waits else "came within its time"
        super().__init__(
            f"another call of {task} for {key} {what} already: {holder or 'its id is not known'}", message_id
        )


class ClaimUnavailable(PublishError):
    """The call was not published: by its `unique=` there is to be one only, and the broker cannot say whether another
    one waits, because the claim is on a node that is down. Call with `unique=False` to do without the claim, or try
    again once the node is back.

    `task` is the task's name, `key` what the calls have in common, `claim` the name of the claim's queue.
    """

    def __init__(self, task: str, key: str, claim: str, why: str, message_id: str) -> None:
        self.task = task
        self.key = key
        self.claim = claim
        super().__init__(
            f"it is not known whether another call of {task} for {key} waits: {why}. Start that node again; or call "
            f"with `unique=False`, which asks for no claim; or, if the node never comes back, delete the queue {claim} "
            f"(the management UI can), which ends the claim",
            message_id,
        )


class MessageTooLarge(PublishError):
    """The body or the headers are over the limit. Store the payload elsewhere and send its address."""


class PublishTimeout(PublishError):
    """No confirm came within the deadline. Publishing it again with the same task id is safe for idempotent tasks."""


class ResultError(AmqptasksError):
    """A result cannot be had."""


class ResultTimeout(ResultError, TimeoutError):
    """The result did not come within the time given; it may still come. Is a worker consuming the queue?"""


class ReplyLost(ResultError):
    """The connection that waited for this reply broke, and the reply with it. The task itself is not affected."""


class TaskRevoked(ResultError):
    """The task was revoked, or expired before a worker could start it."""


class TaskRejected(ResultError):
    """The task went to the dead-letter queue: see `amqptasks dead list QUEUE`."""


class ResultsNotKept(ResultError):
    """Results are kept nowhere: with `rpc://` each goes to the process that called. Name a store, in the service and in
    its workers: `App(backend="stream://")` keeps results on RabbitMQ, `sqlite:///FILE` in a file."""


class StoreUnavailable(ResultError):
    """The result store does not answer, or not as it should. Its address and its words are in the message. Results of
    tasks are not lost: their workers wait for the store."""


class StoreRefused(StoreUnavailable):
    """The result store will never take, or do, what it was asked for. The message says why."""


class RemoteError(ResultError):
    """The task raised an exception whose class is not imported here.

    `exception_type` is its dotted name, `exception_message` its text, `remote_traceback` where it was raised.
    """

    def __init__(self, exception_type: str, exception_message: str, remote_traceback: str | None = None) -> None:
        self.exception_type = exception_type
        self.exception_message = exception_message
        self.remote_traceback = remote_traceback
        super().__init__(f"{exception_type}: {exception_message}")

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n\nRemote traceback:\n{self.remote_traceback}" if self.remote_traceback else text


def is_lasting(error: BaseException | None) -> bool:
    """True for what does not mend itself: a wrong password, a missing virtual host, a certificate."""
    return isinstance(error, AccessRefused | TlsError)


def is_not_tried(error: BaseException) -> bool:
    """True for the error of a call whose message was never sent, because the broker was away or blocks publishers."""
    away = BrokerUnreachable | ConnectionBlocked | AccessRefused | PublishTimeout
    return isinstance(error, away) and not error.maybe_published


# A class is known by its public name, also in messages: the file that it is written in may be another one tomorrow.
for _public in list(globals().values()):
    if isinstance(_public, type) and issubclass(_public, AmqptasksError):
        _public.__module__ = __name__
