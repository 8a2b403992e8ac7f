"""App: the tasks of a program, its topology, and its doors to the broker."""

from __future__ import annotations

import atexit
import contextlib
import os
import ssl
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, Unpack, overload

from amqptasks import dial, signals
from amqptasks.app import registry
from amqptasks.app.caller import Caller, revoking
from amqptasks.app.connections import Connections
from amqptasks.app.declaration import Declaration
from amqptasks.calls import call, send
from amqptasks.calls.deadline import Deadline
from amqptasks.canvas.signature import Signature
from amqptasks.errors import ResultsNotKept
from amqptasks.messages.codec import Codec
from amqptasks.messages.compression import MIN_SIZE
from amqptasks.messages.middleware import Middleware, Middlewares
from amqptasks.messages.reach import reach
from amqptasks.messages.routing import Router
from amqptasks.messages.signing import Keys, Signing
from amqptasks.options import (
    TASK_DEFAULTS,
    WORKER,
    CallOptions,
    TaskOptions,
    UnboundTaskOptions,
    checked,
    checked_app,
    names_checked,
)
from amqptasks.results import address
from amqptasks.results.backend import Backend
from amqptasks.results.checks import NOT_KEPT_HERE, checked_id
from amqptasks.results.stores.base import Around
from amqptasks.runtime.clock import command_start
from amqptasks.runtime.forks.cached import cached
from amqptasks.tasks.task import Task, current_task
from amqptasks.untrusted.masks import Mask

if TYPE_CHECKING:
    from amqptasks.control.client import Control
    from amqptasks.results import result as results
    from amqptasks.topology.broker.declare import Change
    from amqptasks.topology.topology import Topology
    from amqptasks.transport import Session
    from amqptasks.transport.capabilities import Capabilities
    from amqptasks.worker.node import Node

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds that results are kept: a day, as Celery does.
RESULT_EXPIRES = 86_400.0

#: Seconds that a caller waits for the broker's confirm. Long enough for a broker to restart, short enough for a
#: request handler to give a sensible answer.
PUBLISH_TIMEOUT = 30.0


class App:
    """`broker` is one address, several (tried in turn), or `memory://`; `AMQPTASKS_BROKER_URL` beats it, but for
    `memory://`.

    `topology` names one or more YAML files; without it, one queue `default` is declared. `ignore_result` True asks
    for no replies unless a task or call says otherwise. `publish_timeout` is in seconds, for a whole call: connecting,
    declaring and publishing. `connect_timeout`, in seconds, is how long a first call waits where nobody answers at the
    broker's address; a `timeout=` of the call replaces both. `tls` is the context for `amqps://`. `include` names
    modules with tasks, imported by a worker when it starts.

    Messages: `serializer` and `compression` are those of calls that name none (`compression_min_size`: bytes below
    which a body stays as it is), `accept_content` the serializers that this app reads, `result_serializer` how its
    workers reply (None: as they were asked). `largest_body` bytes may come out of a compressed body. `signing` has the
    keys that sign and verify: a `Signing`, or secrets by name. An unsigned message may name followers for the queues
    that this app leads to, or (`followers="any"`) for any; and ask for its reply in the usual places, or in queues that
    fit a name or pattern of `replies`. `mask` names more arguments that are secrets. Workers show arguments to unsigned
    commands where `control_shows_arguments`. See docs/security.md.

    Results: `backend` says where they are kept (docs/results.md); `AMQPTASKS_RESULT_BACKEND` beats it, but for
    `memory://`. `result_expires` is in seconds, None: for ever. `track_sent` True records each call before it is sent.

    `middleware` are objects of `Middleware`, the outermost first: code around each publish and run. `events` True sends
    an event for each call, and makes workers of this app send theirs.

    Tasks: `task_class` is what they are made from where they name no `base`, `task_defaults` are options of those that
    say nothing else. Raises `UnknownOption`.
    """

    @names_checked("App")
    def __init__(
        self,
        name: str = "amqptasks",
        broker: str | Sequence[str] | None = None,
        *,
        backend: str | None = None,
        result_expires: float | timedelta | None = RESULT_EXPIRES,
        topology: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        ignore_result: bool = False,
        publish_timeout: float = PUBLISH_TIMEOUT,
        connect_timeout: float = dial.CONNECT_TIMEOUT,
        tls: ssl.SSLContext | None = None,
        include: Sequence[str] = (),
        serializer: str = "json",
        accept_content: Sequence[str] = ("json",),
        result_serializer: str | None = None,
        compression: str | None = None,
        compression_min_size: int = MIN_SIZE,
        largest_body: int | None = None,
        signing: Signing | Keys | None = None,
        followers: Literal["own", "any"] = "own",
        replies: Iterable[str] = (),
        mask: Iterable[str] = (),
        control_shows_arguments: bool = False,
        middleware: Sequence[Middleware] = (),
        events: bool = False,
        track_sent: bool = False,
        task_class: type[Task[..., Any]] = Task,
        task_defaults: TaskOptions | None = None,
    ) -> None:
        options = checked_app(locals())
        self.name = name
        self.broker = dial.addresses(broker)
        self.backend = address.chosen(backend)
        address.refuse_streams_in_memory(self.backend, in_memory=dial.is_memory(self.broker))
        self._result_expires = options["result_expires"]
        self.tasks: dict[str, Task[..., Any]] = {}
        self.task_class = task_class
        self.task_defaults: TaskOptions = checked(task_defaults or {}, TASK_DEFAULTS, "task_defaults")
        self._packages: list[tuple[Iterable[str] | Callable[[], Iterable[str]], str | None]] = []
        self.ignore_result = ignore_result
        self.publish_timeout, self.connect_timeout = options["publish_timeout"], options["connect_timeout"]
        self.tls, self.middleware = tls, Middlewares(middleware)
        self.include = tuple(include)
        self.track_sent, self.events, self.control_shows_arguments = track_sent, events, control_shows_arguments
        self.codec = Codec(
            serializer=serializer,
            accept_content=accept_content,
            result_serializer=result_serializer,
            compression=compression,
            compression_min_size=compression_min_size,
            largest_body=largest_body,
            signing=signing,
            reach=reach(lambda: {*self.topology.queue_names, *self.router.queues}, followers, replies),
            mask=Mask(mask),
        )
        files = [topology] if isinstance(topology, str | os.PathLike) else topology or ()
        self._files = tuple(os.fspath(file) for file in files)
        self._more_queues: tuple[str, ...] = ()
        self._reset()
        registry.share_with(self)
        _apps.add(self)

    def _reset(self) -> None:
        """No connection yet; also what a forked child begins with, for its parent's are not its own."""
        #: The result store, as this process uses it; None where results are kept nowhere.
        self.results = self._new_backend() if self.backend.keeps else None
        results = address.result_streams(self.backend)
        self._declaration = Declaration(
            lambda: self.topology, self.session, lambda: not dial.is_memory(self.broker), results
        )
        self.connections = Connections(
            self._addresses,
            self.tls,
            self.codec,
            not self._files,  # with topology files, declaring is their owner's business, before anything runs
            self._declaration.once,
            lambda timeout: Deadline.of(timeout, self.publish_timeout, command_start.left_of(self.connect_timeout)),
            self.results,
            revoking(self),
        )
        self.caller = Caller(self, self.connections, self._declaration)

    def _new_backend(self) -> Backend:
        around = Around(lambda: self.caller.link, lambda: self.caller.publisher, self.session)
        return Backend(
            self.backend, self.codec, self._result_expires, around, revoking(self), knows_all=self.track_sent
        )

    @property
    def addresses(self) -> list[str]:
        """The broker's, with the virtual host that the topology names. They hold the password."""
        return self._addresses()

    def _addresses(self) -> list[str]:
        return dial.within(self.broker, self.topology.vhost)

    @property
    def capabilities(self) -> Capabilities | None:
        """What the broker can do; None before this process first declared anything."""
        return self._declaration.capabilities

    # Tasks

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self, *, bind: Literal[True], **options: Unpack[UnboundTaskOptions]
    ) -> Callable[[Callable[Concatenate[Any, P], R]], Task[P, R]]: ...

    @overload
    def task(self, **options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    @overload
    def task(self, name: str, /, **options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(self, *functions: Any, **options: Any) -> Any:
        """Make a function a task: `@app.task` or `@app.task(name=..., queue=..., max_retries=..., ...)`.

        Its name is `module.function` (for a script run directly: the app's name in place of the module). Raises
        `UnknownOption`, and `ConfigurationError` for a name that another task has. A module that is executed anew
        (`importlib.reload`) replaces its tasks; in a notebook the new one replaces the old one, with a warning.
        """

        return registry.define(self, functions, options, sys._getframe(1))

    def signature(
        self,
        task: str | Mapping[str, Any],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Unpack[CallOptions],
    ) -> Signature[Any]:
        """A call that is not made yet, of a task by name; or from the dict that a signature travels as."""
        if isinstance(task, str):
            return Signature.of(self, task, args, kwargs, immutable=immutable, **options)
        return Signature.read(task, self)

    @property
    def current_task(self) -> Task[..., Any] | None:
        """The task that runs here, in this thread or asyncio task; None outside of one."""
        return current_task()

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        *,
        force: bool = False,
    ) -> None:
        """Import the module `tasks` of each of these packages that has one, when a worker starts; `force`: now.

        `packages` may be a function, asked at that time; without it, they are Django's installed apps. Raises
        `ConfigurationError` where there is no Django.
        """
        self._packages.append((registry.packages_to_discover(packages), related_name))
        if force:
            self.import_tasks()

    def import_tasks(self) -> None:
        """Import the modules of `include` and `autodiscover_tasks`. Raises what they raise."""
        signals.import_modules.send(self)
        registry.import_all(self.include)
        for packages, related_name in self._packages:
            found = packages() if callable(packages) else packages
            registry.import_all(registry.discover(found, related_name))

    # Topology

    @cached
    def topology(self) -> Topology:
        """What the topology files say. Raises `TopologyError`."""
        if self._files:
            from amqptasks.topology.read.loader import load

            return load(*self._files)
        from amqptasks.topology.topology import default

        named = (task.options.get("queue") for task in self.tasks.values())
        return default(*self._more_queues, *(queue for queue in named if queue))

    def add_queues(self, names: Iterable[str]) -> None:
        """Without topology files, the queues that a worker is asked to consume are declared as `default` is. With
        files this does nothing: they have the say."""
        self._more_queues = tuple(dict.fromkeys((*self._more_queues, *names)))
        if not self._files:
            self.__dict__.pop("topology", None)
            self.__dict__.pop("router", None)

    @cached
    def alike(self) -> dict[Task[..., Any], call.Alike]:
        """What the calls of a task without options have in common, by task."""
        return {}

    @cached
    def router(self) -> Router:
        return Router(self.topology.routes, self.topology.default_queue)

    def declare(self, *, timeout: float | None = None) -> list[Change]:
        """Create on the broker what the topology has and the broker lacks, and the delay ladder; checks only, where
        this user may not create. A queue that is being migrated is left alone. `timeout` is in seconds, for the
        connection and for each answer; by default 10, and `connect_timeout` where nobody answers at the address.
        Raises `BrokerError`."""
        return self._declaration.declare(timeout)

    # Workers

    @cached
    def control(self) -> Control:
        """Ask the workers of this app's virtual host, and tell them: `app.control.ping()`."""
        from amqptasks.control.client import Control

        return Control(self)

    # Doors to the broker

    def session(self, timeout: float | None = None) -> AbstractContextManager[Session]:
        """A blocking connection of its own, for rare things. `timeout` as of `declare`. Raises `BrokerUnreachable`,
        `AccessRefused`."""
        return self.connections.session(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Publish what is under way and close the connections, within `timeout` seconds. The app can be used again.
        Submitted calls end first, with their callbacks; not so in one of these callbacks, which cannot wait for
        itself. In a worker's tasks it waits for these, and closes nothing: the worker needs its connections."""
        self.connections.close(timeout)

    @names_checked("App.worker()")
    @contextlib.contextmanager
    def worker(
        self,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        *,
        concurrency: int = 4,
        pool: str = "threads",
        stop_timeout: float = 10.0,
    ) -> Iterator[Node]:
        """A worker in this process, while the block lasts: `with app.worker(queues=["default"]): ...`.

        `queues` are names, or names with their prefetch; default: all of the topology. Leaving the block waits for
        running tasks, `stop_timeout` seconds at most.
        """
        from amqptasks.worker.node import Node

        where = "App.worker()"
        given = {"concurrency": concurrency, "pool": pool, "stop_timeout": stop_timeout}
        options = checked(given, WORKER, where)
        for prefetch in queues.values() if isinstance(queues, Mapping) else ():
            checked({"prefetch": prefetch}, WORKER, where)
        node = Node(self, queues, concurrency=options["concurrency"], pool=options["pool"])
        node.start()
        try:
            yield node
        finally:
            node.stop()
            node.wait(options["stop_timeout"])

    # Calls

    def send_task(
        self,
        name: str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> results.AsyncResult[Any]:
        """Call a task by name; it need not be known here. Options as of `Task.apply_async`."""
        return send.send(self, self.tasks.get(name) or name, tuple(args), dict(kwargs or {}), options)

    def AsyncResult(self, task_id: str, task_name: str | None = None) -> results.AsyncResult[Any]:
        """The result of the task with this id, whoever called it. Raises `ResultsNotKept` where there is no result
        store, and this process did not call the task or does not hold its result any more."""
        task_id = checked_id(task_id)
        known = self.connections.waits_for(task_id)
        if known is not None:
            return known
        if self.results is None:
            raise ResultsNotKept(NOT_KEPT_HERE)
        return self.results.result(task_id, task_name)


_apps: weakref.WeakSet[App] = weakref.WeakSet()


def _after_fork() -> None:
    for app in list(_apps):
        app._reset()


def _at_exit() -> None:
    """What was submitted is published, also by a program that ends without `App.close`: its link ends with it."""
    for app in list(_apps):
        app.connections.finish()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
