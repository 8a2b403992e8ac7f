"""A task: a function with a name, options, and ways to have it run elsewhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, Unpack, cast

from amqptasks import errors
from amqptasks.calls import bulk, send, submit
from amqptasks.canvas.signature import Signature
from amqptasks.errors import ConfigurationError
from amqptasks.messages.request import Request, current_request
from amqptasks.options import (
    RETRY,
    TASK,
    CallOptions,
    Duration,
    MessageOptions,
    Moment,
    TaskOptions,
    arguments,
    checked,
    names_checked,
    refuse_two_places,
)
from amqptasks.options.limits import TaskLimits
from amqptasks.options.retry import RETRY_OPTIONS, RetryPolicy
from amqptasks.results.progress import checked_state, tell_state
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks import hooks

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.messages.exception_info import ExceptionInfo
    from amqptasks.results import result as results
    from amqptasks.tasks.definition import Definition
    from amqptasks.transport.publisher import Progress

P = ParamSpec("P")
R = TypeVar("R")

logger = get_logger("amqptasks.task")


class Task(Generic[P, R]):
    """Made by `@app.task`; calling it calls the function. Subclass it for hooks, options and resources that several
    tasks share, and name the class with `base=`, or for all tasks of an app with `App(task_class=)`.

    `name` is what travels in messages, `options` what class, app and decorator were given (the decorator's count most),
    `retry_policy` read from them. A class's attribute with an option's name (`max_retries = 5`) is that option.

    There is one instance of a task in a process, shared by all its runs: in a `threads` pool by several at a time. What
    belongs to one run goes into variables of the function; what is opened once goes into a `resource`.
    """

    name: str
    function: Callable[..., R]
    is_async: bool
    #: Where it was defined; None for one that was made without a decorator.
    definition: Definition | None
    _app: App | None
    _given: TaskOptions

    def __init__(self) -> None:
        """For a subclass: what it does here happens once, after the task has its name, its options and its app."""

    @classmethod
    def of(
        cls,
        app: App | None,
        function: Callable[..., R],
        name: str,
        options: TaskOptions,
        defaults: TaskOptions | None = None,
    ) -> Task[P, R]:
        """A task of this class. Raises `ConfigurationError`."""
        task: Task[P, R] = cls.__new__(cls)
        task._app = app
        task.name = name
        task.function = function
        task.is_async = _is_async(cls, function, name)
        plain = inspect.isroutine(function)  # the attributes of another object are its own
        functools.update_wrapper(task, function, updated=("__dict__",) if plain else ())
        task._given = options
        task.definition = None
        task.configure(defaults or {})
        _initialise(task)
        return task

    def configure(self, defaults: TaskOptions) -> None:
        """Take up an app's defaults: they count where neither the class nor the decorator says otherwise."""
        own = checked(_options_of(type(self)), TASK, f"class {type(self).__qualname__}")
        options: Any = {**defaults, **own, **self._given}
        refuse_two_places(options, f"task {self.name!r}")
        self.options: TaskOptions = options
        #: Those that count for each call.
        self.call_options = {name: value for name, value in options.items() if name in _CALL_OPTIONS}
        self.retry_policy = RetryPolicy.from_options(options)
        #: True when the task says itself how it is retried; else its queue's `retry:` counts.
        self.has_retry_policy = not RETRY_OPTIONS.isdisjoint(options)
        self.max_retries = self.retry_policy.max_retries
        self.throws = tuple(options.get("throws", ()))
        self.rate_limit = options.get("rate_limit")
        #: None for a task that nothing limits.
        self.limits = TaskLimits.from_options(options)
        #: False: acknowledged when it begins, so lost if its worker dies.
        self.acks_late = options.get("acks_late", True)
        self.result_expires = cast("float | None", options.get("result_expires"))
        self.track_started = bool(options.get("track_started"))
        self.validates = bool(options.get("validate"))
        #: The hooks that its class overrides.
        self.hooks = frozenset(name for name in hooks.AFTER if getattr(type(self), name) is not getattr(Task, name))
        self.has_before_start = type(self).before_start is not Task.before_start
        self.bound = bool(options.get("bind"))
        kind = type(self)
        overridden = kind.__call__ is not Task.__call__ or kind.run is not Task.run
        #: The middleware around its runs; None where there is none.
        self.middleware = self._app.middleware if self._app is not None and self._app.middleware.runs else None
        around = overridden or self.has_before_start or self.middleware is not None
        #: True where a run is a call of the function, and nothing else.
        self.is_plain = not (self.bound or self.validates or around)
        self.arguments = arguments.of(self.function, bound=self.bound)
        self._checks = options.get("typing", True)
        if not self.acks_late:
            logger.warning(
                "task %s has acks_late=False: it is acknowledged before it runs, so a worker that dies loses it",
                self.name,
                extra={"action": "acks_early", "task_name": self.name},
            )

    def belong_to(self, app: App) -> None:
        """Called through this app from now on, and by its defaults."""
        self._app = app
        self.configure(app.task_defaults)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now. A worker calls this too: a class may override it, to do something around
        each run, and calls `self.run`."""
        return self.run(*args, **kwargs)

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function itself."""
        function: Callable[..., R] = self.function
        return function(self, *args, **kwargs) if self.bound else function(*args, **kwargs)

    @property
    def app(self) -> App:
        """The app that it belongs to; of a shared task, the one made last."""
        if self._app is None:
            raise ConfigurationError(f"task {self.name!r} belongs to no app yet: make an App before calling it")
        return self._app

    @property
    def request(self) -> Request:
        """The request being run here. Outside a worker it is an empty one, with the id `""`."""
        return current_request.get() or Request(self.name, "")

    # Hooks: what a subclass may override. `before_start` is part of the attempt; what the others raise is logged, and
    # changes nothing. They run before the delivery is settled: after a crash in between, once more.

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Before the function. An exception here is the attempt's."""

    def on_success(self, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """It returned `retval`."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> Any:
        """It is to run again, because of `exc` (a `Retry` where there is no other)."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> Any:
        """It failed for good, with `exc`."""

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: ExceptionInfo | None,
    ) -> Any:
        """Last, after each attempt that ended in `status` SUCCESS, RETRY or FAILURE; `retval` is the value, or the
        exception."""

    # Calling

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> results.AsyncResult[R]:
        """Have it run by a worker. Returns once the broker has stored the call; raises `BrokerError` if it cannot."""
        return send.send(self.app, self, args, kwargs, CallOptions())

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> results.AsyncResult[R]:
        """As `delay`, with the options of a call: countdown, eta, expires, priority, queue, task_id, ... Raises
        `UnknownOption`, `NoRoute`, `BrokerError`."""
        return send.send(self.app, self, tuple(args or ()), dict(kwargs or {}), options)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> results.AsyncResult[R]:
        """`delay` for asyncio: the loop goes on while the broker confirms."""
        return await send.send_async(self.app, self, args, kwargs, CallOptions())

    async def aapply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> results.AsyncResult[R]:
        """`apply_async` for asyncio."""
        return await send.send_async(self.app, self, tuple(args or ()), dict(kwargs or {}), options)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[results.AsyncResult[R]]:
        """`delay` without waiting for the confirm: the future ends with the result of the call once the broker has
        stored it, or with a `BrokerError`. Its callbacks run one after the other on a thread of their own, which must
        not wait for another such future; what is submitted cannot be cancelled. Nothing bounds how much is under way:
        wait for some now and then.

        Raises here what is known before: `TypeError`, `NoRoute`, `AlreadyQueued`. The first call of a process connects,
        and declares, in this thread; a `unique` call asks for its claim here. Both wait for the broker, and raise
        `BrokerError` here; the first one raises `RuntimeError` where Python, which is about to end, starts no thread.

        In a task that runs here, the calls it submitted are confirmed before it is acknowledged; an error that nobody
        asked the future for is raised by the task. A program that ends waits for its calls, too. In a forked process
        the futures of its parent never end.
        """
        return submit.submit(self.app, self, args, kwargs, CallOptions())

    def publish_many(
        self, calls: Iterable[Iterable[Any]], *, progress: Progress | None = None, **options: Unpack[CallOptions]
    ) -> list[results.AsyncResult[R]]:
        """Publish one call for each tuple of arguments, with the pipeline kept full: the fast way for many.

        `calls` may be a generator; `progress` is called with the number of calls confirmed so far.
        `options` hold for all of them. Raises `PartlyPublished` when the broker did not take some.
        """
        return bulk.send_many(self.app, self, ((tuple(args), {}) for args in calls), options, progress)

    def apply(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool = False,
        **options: Unpack[CallOptions],
    ) -> results.AsyncResult[R]:
        """Run it here and now, as a worker would but for the broker: with its hooks and signals, its retries (at
        once), its links. The result is ready; `throw` raises what the task raised instead."""
        from amqptasks.tasks import eager

        return eager.apply(self, tuple(args or ()), dict(kwargs or {}), options, throw=throw)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """This call, not made yet: for `link=`, to be sent somewhere, or to be called later."""
        return Signature.of(self.app, self.name, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """As `s`, immutable: it takes no further arguments, such as the value of the task before it."""
        return Signature.of(self.app, self.name, args, kwargs, immutable=True)

    def signature(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Unpack[CallOptions],
    ) -> Signature[R]:
        """As `s`, with options of the call."""
        return Signature.of(self.app, self.name, tuple(args), dict(kwargs or {}), immutable=immutable, **options)

    # While it runs

    @names_checked("retry()")
    def retry(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        *,
        countdown: Duration | None = None,
        eta: Moment | None = None,
        max_retries: int | None = None,
    ) -> NoReturn:
        """End this attempt and run the task again: `raise self.retry(...)` or just `self.retry(...)`.

        `countdown` in seconds or `eta` say when (default: the task's policy), `args` and `kwargs` replace the
        arguments, `exc` (default: the exception being handled) becomes the failure once the retries are used up.
        Outside a worker it raises `exc`, or `Retry`.
        """
        cause = exc or _handled()
        given = {"countdown": countdown, "eta": eta, "max_retries": max_retries}
        given = checked(given, RETRY, "retry()")
        retry = errors.Retry(
            given["countdown"],
            at=given["eta"],
            cause=cause,
            call_args=None if args is None else tuple(args),
            call_kwargs=None if kwargs is None else dict(kwargs),
            max_retries=given["max_retries"],
        )
        try:
            if current_request.get() is None and cause is not None:
                raise cause
            raise retry from cause
        finally:  # else this frame and its exception keep each other, and with them the variables of the task
            del cause, retry

    def replace(self, signature: Signature[Any]) -> NoReturn:
        """End this run and let `signature` take its place: `raise self.replace(other.s(1))`. That runs under this
        call's id, so whoever waits for the result gets its value; links, error callbacks and the rest of a chain follow
        on it, on the last step where it has a chain of its own. It is published and confirmed before this one is
        acknowledged.
        """
        raise errors.Replace(signature)

    def update_state(
        self, task_id: str | None = None, state: str = "PROGRESS", meta: Any = None, *, request: Request | None = None
    ) -> None:
        """Tell whoever waits for the result of the running task how far it is: `result.state` and `result.info`
        become `state` and `meta`, also in the app's result store. Does not wait; of a call with `ignore_result`
        nothing is told.

        `task_id` is Celery's, and can only be the running one's.
        """
        request = request or self.request
        state = checked_state(state)
        if task_id is not None and task_id != request.id:
            raise ConfigurationError(f"update_state tells of the running task, {request.id}, not of {task_id}")
        if not request.is_eager and (request.reply_to is not None or request.ignore_result is False):
            tell_state(self.app, request, state, meta, self.result_expires)

    def AsyncResult(self, task_id: str) -> results.AsyncResult[R]:
        """The result of a call of this task by its id; see `App.AsyncResult`."""
        return self.app.AsyncResult(task_id, self.name)

    def check_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError`, as a call would, when the arguments do not fit the function."""
        if self._checks and self.arguments is not None:
            self.arguments.check(self.name, args, kwargs)


def current_task() -> Task[..., Any] | None:
    """The task that runs here, in this thread or asyncio task; None outside of one."""
    request = current_request.get()
    return None if request is None else request.instance


def _is_async(kind: type[Task[..., Any]], function: Callable[..., Any], name: str) -> bool:
    """Whether a run is awaited: the function is `async def`, or what its class does around it. Raises
    `ConfigurationError` for a generator, whose lines nobody would run."""
    called = function if inspect.isroutine(function) else getattr(function, "func", type(function).__call__)
    if any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in (function, called, kind.run)):
        raise ConfigurationError(
            f"task {name!r} is a generator (it has `yield` in it), and a worker would never run its lines:"
            f" return a list, or make one call for each value with publish_many"
        )
    return any(inspect.iscoroutinefunction(one) for one in (function, called, kind.__call__, kind.run))


def _initialise(task: Task[..., Any]) -> None:
    """Run the class's own `__init__`, which takes nothing but the task itself."""
    kind = type(task)
    initialise: Callable[..., None] = kind.__init__
    try:
        inspect.signature(initialise).bind(task)
    except TypeError as error:
        raise ConfigurationError(
            f"task {task.name!r}: __init__ of {kind.__qualname__} takes no argument but self ({error})"
        ) from None
    initialise(task)


#: Options that belong to one task, and are no attributes of a class of tasks.
_OF_ONE_TASK = frozenset({"name", "bind", "base"})


def _options_of(kind: type) -> dict[str, Any]:
    """The options that a class of tasks has as attributes, those of its bases included."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__[: kind.__mro__.index(Task)]):
        found.update({name: value for name, value in vars(each).items() if name in _CLASS_OPTIONS})
    return found


_CALL_OPTIONS = MessageOptions.__annotations__.keys()
_CLASS_OPTIONS = TaskOptions.__annotations__.keys() - _OF_ONE_TASK


def _handled() -> BaseException | None:
    """The exception that the caller's `except` block is handling."""
    import sys

    return sys.exc_info()[1]
