"""Signals: what happens in this process, told to whoever connected. The names and arguments are Celery's.

    @task_failure.connect
    def told(sender, task_id, exception, **more): ...

A receiver is called with `signal`, `sender` and the arguments below, by keyword, so it ends with `**more`. It runs
where the thing happens, one after the other, and holds it up as long as it takes; one that raises is logged, and
changes nothing. Nobody connected costs nothing. `task_*` signals are sent where the task runs (in a prefork worker:
in its child), never on the thread that holds the connections. A receiver of theirs that asks to end the process
(`sys.exit`) has raised like any other: the thread or process is not its own. Everywhere else that ends what it always
ends: the program that publishes, the worker that begins.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar, overload

from amqptasks.errors import INTERRUPTIONS
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

Receiver = Callable[..., Any]
F = TypeVar("F", bound=Receiver)


class Audience:
    """Whoever is connected to one of several signals; `present` is true while there is somebody. A sender that has many
    signals asks once for all."""

    __slots__ = ("_sizes", "present")

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self.present = False

    def count(self, signal: str, size: int) -> None:
        """So many hear this signal from now on."""
        self._sizes[signal] = size
        self.present = any(self._sizes.values())


class Signal:
    """One kind of happening. True while anybody is connected, so that a sender need not gather what nobody hears.

    `arguments` are those that a receiver gets beside `sender`; who connects counts in its `audience`; `bears` is what a
    receiver may raise and change nothing.
    """

    __slots__ = ("__weakref__", "_audience", "_bears", "_connections", "arguments", "name")

    def __init__(
        self, name: str, *arguments: str, audience: Audience | None = None, bears: type[BaseException] = Exception
    ) -> None:
        self.name = name
        self.arguments = arguments
        self._audience = audience or Audience()
        self._bears = bears
        #: Replaced as a whole, never changed: whoever sends meanwhile goes on with what it has.
        self._connections: tuple[_Connection, ...] = ()

    def __repr__(self) -> str:
        return f"<signal {self.name}>"

    def __bool__(self) -> bool:
        return bool(self._connections)

    @overload
    def connect(
        self, receiver: F, /, *, sender: object = None, weak: bool = False, dispatch_uid: object = None
    ) -> F: ...

    @overload
    def connect(
        self, /, *, sender: object = None, weak: bool = False, dispatch_uid: object = None
    ) -> Callable[[F], F]: ...

    def connect(
        self, receiver: Any = None, /, *, sender: object = None, weak: bool = False, dispatch_uid: object = None
    ) -> Any:
        """Call `receiver` from now on; also as a decorator, with or without arguments.

        `sender`: only for this one, a task or the name of one. `weak` True does not keep the receiver alive (Celery's
        default, with which a function made inside another is never called). Connecting the same receiver, or the same
        `dispatch_uid`, again does nothing.
        """

        def add(given: F) -> F:
            key = dispatch_uid if dispatch_uid is not None else _identity(given)
            connection = _Connection(given, sender, key, weak)
            if not any(known.is_same(connection) for known in self._connections):
                self._replace((*self._connections, connection))
            return given

        return add if receiver is None else add(receiver)

    def disconnect(self, receiver: Receiver | None = None, sender: object = None, dispatch_uid: object = None) -> bool:
        """Call it no more; True when it was connected."""
        key = dispatch_uid if dispatch_uid is not None else _identity(receiver)
        kept = tuple(
            connection
            for connection in self._connections
            if connection.key != key or not _is(connection.sender, sender)
        )
        found = len(kept) < len(self._connections)
        self._replace(kept)
        return found

    def send(self, sender: object, **named: Any) -> None:
        """Tell everybody who is connected. Raises nothing that receivers raise (see `bears`), but what interrupts the
        task from outside while they run."""
        gone = False
        for connection in self._connections:
            receiver = connection.receiver()
            if receiver is None:
                gone = True
            elif connection.sender is None or _is(connection.sender, sender):
                try:
                    receiver(signal=self, sender=sender, **named)
                except INTERRUPTIONS:
                    raise
                except self._bears:
                    logger.exception(
                        "a receiver of %s raised: %r", self.name, receiver, extra={"action": "receiver_failed"}
                    )
        if gone:
            self._replace(tuple(known for known in self._connections if known.receiver() is not None))

    def _replace(self, connections: tuple[_Connection, ...]) -> None:
        self._connections = connections
        self._audience.count(self.name, len(connections))


class _Connection:
    __slots__ = ("key", "receiver", "sender")

    def __init__(self, receiver: Receiver, sender: object, key: object, weak: bool) -> None:
        self.sender = sender
        self.key = key
        self.receiver: Callable[[], Receiver | None]
        if not weak:
            self.receiver = lambda: receiver
        elif hasattr(receiver, "__self__"):
            self.receiver = weakref.WeakMethod(receiver)
        else:
            self.receiver = weakref.ref(receiver)

    def is_same(self, other: _Connection) -> bool:
        return self.key == other.key and _is(self.sender, other.sender)


def _identity(receiver: Any) -> object:
    """A bound method is another object each time it is looked up."""
    return (id(receiver.__self__), id(receiver.__func__)) if hasattr(receiver, "__self__") else id(receiver)


def _is(one: object, other: object) -> bool:
    """Tasks and their names are the same sender."""
    return one is other or getattr(one, "name", one) == getattr(other, "name", other)


# Where a task is called. `sender` is the task's name. `headers` and `properties` may be added to before it is sent.
before_task_publish = Signal(
    "before_task_publish", "body", "exchange", "routing_key", "headers", "properties", "declare", "retry_policy"
)
after_task_publish = Signal("after_task_publish", "body", "exchange", "routing_key", "headers", "properties")

#: Of what is told before a task runs, and after it.
BEFORE_RUN, AFTER_RUN = Audience(), Audience()


def _of_run(name: str, *arguments: str, audience: Audience | None = None) -> Signal:
    return Signal(name, *arguments, audience=audience, bears=BaseException)


# Where a task runs. `sender` is the task; for the first three the worker's name.
task_received = _of_run("task_received", "request", audience=BEFORE_RUN)
task_unknown = _of_run("task_unknown", "name", "id", "message", "exc")
task_rejected = _of_run("task_rejected", "message", "exc", audience=AFTER_RUN)
task_prerun = _of_run("task_prerun", "task_id", "task", "args", "kwargs", audience=BEFORE_RUN)
task_postrun = _of_run("task_postrun", "task_id", "task", "args", "kwargs", "retval", "state", audience=AFTER_RUN)
task_success = _of_run("task_success", "result", "runtime", audience=AFTER_RUN)
task_retry = _of_run("task_retry", "request", "reason", "einfo", audience=AFTER_RUN)
task_failure = _of_run(
    "task_failure", "task_id", "exception", "args", "kwargs", "traceback", "einfo", audience=AFTER_RUN
)
task_revoked = _of_run("task_revoked", "request", "terminated", "signum", "expired", audience=AFTER_RUN)
task_internal_error = _of_run("task_internal_error", "task_id", "args", "kwargs", "request", "exception", "einfo")

# In a worker. `sender` is the worker (of the last three: the app).
worker_init = Signal("worker_init")
worker_ready = Signal("worker_ready")
worker_shutting_down = Signal("worker_shutting_down", "how")
worker_shutdown = Signal("worker_shutdown")
import_modules = Signal("import_modules")
worker_process_init = Signal("worker_process_init")
worker_process_shutdown = Signal("worker_process_shutdown", "pid")
