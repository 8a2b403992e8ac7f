"""`app.control`: ask workers what they do, and tell them what to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from amqptasks import dial
from amqptasks.control import answers, places
from amqptasks.control.answers import ActiveQueue, Answers, HeldTask, Pong, Revoked, Stats
from amqptasks.control.envelope import Command, Destination
from amqptasks.control.question import Question, nobody
from amqptasks.control.revocation import Revocation, Signal, signal_named
from amqptasks.control.waiting import Waiting, waiting
from amqptasks.errors import AccessRefused, ConfigurationError

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.transport import Session

#: Seconds to wait for answers. A worker answers in some milliseconds, and once all have, nobody waits; this is for one
#: that is busy or gone.
TIMEOUT = 1.0

#: `destination` that means the workers of this machine (in a container: of this container).
SELF = "self"


class Control:
    """Every method takes `destination` (names of workers or patterns such as `web1:*`, `"self"` for those of this
    machine; None: all) and `timeout` (seconds to wait for those who do not answer), and returns `Answers` by worker.

    Raises `BrokerError` where the broker cannot be asked. Thread-safe; in asyncio write
    `await app.control.awaited("ping")`, or any other name of a method.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._has_exchange = False

    # What workers say

    def ping(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[Pong]:
        """Who is there, and consumes?"""
        return self.ask("ping", destination=destination, timeout=timeout).mapped(answers.one(Pong))

    def stats(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[Stats]:
        """Counts, pools, memory, versions."""
        return self.ask("stats", destination=destination, timeout=timeout).mapped(answers.one(Stats))

    def active(
        self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[tuple[HeldTask, ...]]:
        """The tasks that run."""
        return self.ask("active", destination=destination, timeout=timeout).mapped(answers.records(HeldTask))

    def reserved(
        self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[tuple[HeldTask, ...]]:
        """The tasks that a worker holds and has not begun: its prefetch."""
        return self.ask("reserved", destination=destination, timeout=timeout).mapped(answers.records(HeldTask))

    def query(
        self, *ids: str, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[tuple[HeldTask, ...]]:
        """Where are these tasks? A worker answers with those that it holds."""
        found = self.ask("query_task", {"ids": list(ids)}, destination, timeout)
        return found.mapped(answers.records(HeldTask))

    def active_queues(
        self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[tuple[ActiveQueue, ...]]:
        """The queues that are consumed."""
        return self.ask("active_queues", destination=destination, timeout=timeout).mapped(answers.records(ActiveQueue))

    def registered(
        self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[tuple[str, ...]]:
        """The names of the tasks that each worker knows."""
        return self.ask("registered", destination=destination, timeout=timeout).mapped(tuple)

    def revoked(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[Revoked]:
        """What each worker refuses to run."""
        return self.ask("revoked", destination=destination, timeout=timeout).mapped(answers.one(Revoked))

    def conf(
        self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[Mapping[str, Any]]:
        """How each worker is configured; without passwords."""
        return self.ask("conf", destination=destination, timeout=timeout)

    def report(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[str]:
        """Versions and settings of each worker, as text for a bug report."""
        return self.ask("report", destination=destination, timeout=timeout)

    def scheduled(self, timeout: float = 10.0) -> list[Waiting]:
        """How many tasks wait for their time, by when they are due. No worker is asked: none holds such a task, they
        wait in the broker's delay ladder."""
        with self._session(timeout) as session:
            return waiting(session)

    # What workers are told

    def revoke(
        self,
        ids: str | Iterable[str] = (),
        *,
        task: str | Iterable[str] = (),
        headers: Mapping[str, Any] | None = None,
        terminate: bool = False,
        signal: Signal = "TERM",
        destination: str | Iterable[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answers[Mapping[str, int]]:
        """Let tasks not run: those with these `ids`, wherever they wait, and those made before now whose name fits the
        pattern `task` (`shop.email.*`) or whose headers hold `headers`.

        The revocation is on the broker's disk when this returns, and workers that start later honour it too; a task
        that is revoked goes to its queue's dead-letter queue when its turn comes, and its caller gets `TaskRevoked`.
        `terminate` also ends those that run: `signal` TERM raises `Terminated` in them (in asyncio they are cancelled),
        KILL ends their process; a thread is given up, for it cannot be ended. Answers how many each worker `dropped` at
        once and how many it `terminated`. Raises `ConfigurationError` where nothing is named, or another signal.
        """
        told = {"terminate": terminate, "signal": signal_named(signal)}
        self._reach(timeout)
        self._app.caller.know_the_time(insist=True)  # workers judge by it which calls are meant
        revocation = Revocation("revoke", _texts(ids), _texts(task), dict(headers or {}))
        self._keep(revocation, timeout)
        return self.ask("revoke", {"revocation": revocation.said, **told}, destination, timeout)

    def restore(
        self,
        ids: str | Iterable[str] = (),
        *,
        task: str | Iterable[str] = (),
        headers: Mapping[str, Any] | None = None,
        destination: str | Iterable[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answers[Mapping[str, int]]:
        """Undo `revoke` for the same ids, pattern or headers. What went to a dead-letter queue meanwhile is there:
        `amqptasks dead replay`."""
        self._reach(timeout)
        self._app.caller.know_the_time(insist=True)  # workers judge by it which calls are meant
        revocation = Revocation("restore", _texts(ids), _texts(task), dict(headers or {}))
        self._keep(revocation, timeout)
        return self.ask("revoke", {"revocation": revocation.said}, destination, timeout)

    def time_limit(
        self,
        task: str,
        hard: float | None = None,
        soft: float | None = None,
        destination: str | Iterable[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answers[str]:
        """Other time limits (seconds; None: none) for a task, in place of its own and the worker's, for what comes to
        the worker from now on, until it stops. Those of a call come first, and a call through the task has the task's.
        """
        return self.ask("time_limit", {"task": task, "hard": hard, "soft": soft}, destination, timeout)

    def rate_limit(
        self,
        task: str,
        rate: str | float | None,
        destination: str | Iterable[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answers[str]:
        """Another `rate_limit` for a task ("10/s", "100/m", "2/h", a number a second; 0 or None: none), until the
        worker stops. What the old one put off comes back when that said, within a quarter of an hour."""
        return self.ask("rate_limit", {"task": task, "rate": rate}, destination, timeout)

    def pool_grow(
        self, number: int = 1, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[int]:
        """Run more plain functions at once; answers how many it is now."""
        return self.ask("pool_grow", {"number": number}, destination, timeout)

    def pool_shrink(
        self, number: int = 1, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[int]:
        """Run fewer plain functions at once, one at least; answers how many it is now."""
        return self.ask("pool_shrink", {"number": number}, destination, timeout)

    def autoscale(
        self, max: int, min: int = 1, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[str]:
        """Let the number of processes follow the demand between these from now on, until the worker stops; the same
        number twice holds it there. The prefetch stays as it is. An error of a worker that has no processes."""
        return self.ask("autoscale", {"max": max, "min": min}, destination, timeout)

    def pool_restart(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[str]:
        """Fresh processes for what comes from now on; what runs ends in the old ones."""
        return self.ask("pool_restart", destination=destination, timeout=timeout)

    def add_consumer(
        self,
        queue: str,
        prefetch: int | None = None,
        destination: str | Iterable[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answers[str]:
        """Consume one more queue, which the workers' topology must have (without a topology file: any)."""
        return self.ask("add_consumer", {"queue": queue, "prefetch": prefetch}, destination, timeout)

    def cancel_consumer(
        self, queue: str, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[str]:
        """Consume a queue no more: what has not begun goes back to it, what runs is finished."""
        return self.ask("cancel_consumer", {"queue": queue}, destination, timeout)

    def pause(
        self, queue: str, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[str]:
        """Take nothing from a queue until `resume`, or until the worker starts again."""
        return self.ask("pause", {"queue": queue}, destination, timeout)

    def resume(
        self, queue: str, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[str]:
        """Undo `pause`."""
        return self.ask("resume", {"queue": queue}, destination, timeout)

    def enable_events(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[str]:
        """Send events, until `disable_events` or until the worker stops."""
        return self.ask("enable_events", destination=destination, timeout=timeout)

    def disable_events(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[str]:
        """Send no events."""
        return self.ask("disable_events", destination=destination, timeout=timeout)

    def shutdown(self, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT) -> Answers[str]:
        """A warm stop. What started the worker (systemd, Kubernetes, `--processes`) may start it again."""
        return self.ask("shutdown", destination=destination, timeout=timeout)

    def log_level(
        self, level: str, destination: str | Iterable[str] | None = None, timeout: float = TIMEOUT
    ) -> Answers[str]:
        """Log from this level on (`debug`, `info`, ...), until the worker stops; answers the level before."""
        return self.ask("log_level", {"level": level}, destination, timeout)

    # Any command

    def ask(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: str | Iterable[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answers[Any]:
        """Any command by its name; the methods above are this with types."""
        app = self._app
        self._reach(timeout)
        app.caller.know_the_time()
        if not self._has_exchange:
            return nobody(_destination(destination))
        question = Question(app.caller.link, app.caller.replies, app.session, app.codec.signing)
        found = question.ask(Command(command, arguments or {}, _destination(destination)), timeout)
        self._has_exchange = question.was_heard  # where nobody heard it, it may be gone
        return found

    async def awaited(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A method of this class by its name, without blocking the event loop: `await app.control.awaited("ping")`."""
        return await asyncio.to_thread(getattr(self, method), *args, **kwargs)

    def _reach(self, timeout: float) -> None:
        """Raises `BrokerUnreachable` where there is no broker. The question for its time would wait as long, and say
        nothing."""
        if not self._has_exchange:
            self._has_exchange = self._make_exchange(timeout)

    def _make_exchange(self, timeout: float) -> bool:
        """False where the exchange is not there, and may not be made by us: then no worker listens. Publishing to it
        all the same would make the broker close the channel, and the replies of tasks under way would be lost."""
        with self._session(timeout) as session:
            try:
                session.declare_exchange(places.EXCHANGE)
            except AccessRefused:
                return session.exchange_exists(places.EXCHANGE.name)
        return True

    def _session(self, timeout: float) -> AbstractContextManager[Session]:
        """With the usual time for a first answer, unless the caller waits longer than is usual."""
        return self._app.session(timeout if timeout > dial.TIMEOUT else None)

    def _keep(self, revocation: Revocation, timeout: float) -> None:
        """On the broker's disk before any worker is told."""
        if not (revocation.ids or revocation.tasks or revocation.headers):
            raise ConfigurationError("revoke what? Name ids, or a task= pattern, or headers=")
        app = self._app
        if dial.is_memory(app.broker):
            return  # it has no streams, and no worker that starts later has anything of this process's
        with self._session(timeout) as session:
            places.prepare(session, has_streams=True)
            for message in revocation.outgoing():
                if app.codec.signing is not None:
                    app.codec.signing.sign(message.properties, message.body)
                session.publish(message)


def _destination(given: str | Iterable[str] | None) -> Destination:
    if given is None:
        return Destination()
    names = _texts(given)
    if SELF in names:
        others = tuple(name for name in names if name != SELF)
        return Destination(others or None, socket.gethostname())
    return Destination(names)


def _texts(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(map(str, given))
