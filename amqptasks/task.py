"""A task: a function with a name, options, and ways to have it run elsewhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, Unpack

from amqptasks import call, errors
from amqptasks.errors import ConfigurationError
from amqptasks.moments import aware
from amqptasks.options import CallOptions, TaskOptions
from amqptasks.request import Request
from amqptasks.retry import RETRY_OPTIONS, RetryPolicy

if TYPE_CHECKING:
    from amqptasks.app import App
    from amqptasks.publisher import Progress
    from amqptasks.results.result import AsyncResult

P = ParamSpec("P")
R = TypeVar("R")

#: The request that this thread, or this asyncio task, is running.
current_request: ContextVar[Request | None] = ContextVar("amqptasks_request", default=None)


class Task(Generic[P, R]):
    """Made by `@app.task`; calling it calls the function.

    `name` is what travels in messages, `options` what the decorator was given, `retry_policy` read from them.
    """

    def __init__(self, app: App, function: Callable[..., R], name: str, options: TaskOptions) -> None:
        if options.get("acks_late") is False:
            raise ConfigurationError(
                f"task {name!r} has acks_late=False: a worker that dies would lose it. Leave the option out"
            )
        self.app = app
        self.name = name
        self.options = options
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.retry_policy = RetryPolicy.from_options(options)
        #: True when the task says itself how it is retried; else its queue's `retry:` counts.
        self.has_retry_policy = not RETRY_OPTIONS.isdisjoint(options)
        self.throws = tuple(options.get("throws", ()))
        self._bound = bool(options.get("bind"))
        self._arity = _arity(function, bound=self._bound) if options.get("typing", True) else None
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(self, *args, **kwargs) if self._bound else self.function(*args, **kwargs)

    @property
    def request(self) -> Request:
        """The request being run here. Outside a worker it is an empty one, with the id `""`."""
        return current_request.get() or Request(self.name, "")

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Have it run by a worker. Returns once the broker has stored the call; raises `BrokerError` if it cannot."""
        return call.send(self.app, self, args, kwargs, CallOptions())

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """As `delay`, with the options of a call: countdown, eta, expires, priority, queue, task_id, ... Raises
        `UnknownOption`, `NoRoute`, `BrokerError`."""
        return call.send(self.app, self, tuple(args), dict(kwargs or {}), options)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """`delay` for asyncio: the loop goes on while the broker confirms."""
        return await call.send_async(self.app, self, args, kwargs, CallOptions())

    async def aapply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        return await call.send_async(self.app, self, tuple(args), dict(kwargs or {}), options)

    def publish_many(
        self, calls: Iterable[Iterable[Any]], *, progress: Progress | None = None, **options: Unpack[CallOptions]
    ) -> list[AsyncResult[R]]:
        """Publish one call for each tuple of arguments, with the pipeline kept full: the fast way for many.

        `calls` may be a generator; `progress` is called with the number of calls confirmed since its last call.
        `options` hold for all of them. Raises `PartlyPublished` when the broker did not take some.
        """
        return call.send_many(self.app, self, ((tuple(args), {}) for args in calls), options, progress)

    def retry(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | None = None,
        max_retries: int | None = None,
    ) -> NoReturn:
        """End this attempt and run the task again: `raise self.retry(...)` or just `self.retry(...)`.

        `countdown` in seconds or `eta` say when (default: the task's policy), `args` and `kwargs` replace the
        arguments, `exc` (default: the exception being handled) becomes the failure once the retries are used up.
        Outside a worker it raises `exc`, or `Retry`.
        """
        cause = exc or _handled()
        if eta is not None:
            countdown = max(0.0, (aware(eta) - datetime.now(UTC)).total_seconds())
        retry = errors.Retry(
            countdown,
            cause=cause,
            call_args=None if args is None else tuple(args),
            call_kwargs=None if kwargs is None else dict(kwargs),
            max_retries=max_retries,
        )
        if current_request.get() is None and cause is not None:
            raise cause
        raise retry from cause

    def check_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError`, as a call would, when the arguments do not fit the function."""
        if self._arity is not None:
            self._arity.check(self.name, args, kwargs)


class _Arity:
    """Checks arguments against a signature: the common case by counting, all others by binding."""

    def __init__(self, signature: inspect.Signature) -> None:
        self._signature = signature
        parameters = signature.parameters.values()
        plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._required = sum(p.default is p.empty for p in plain)
        self._most = len(plain)
        self._needs_keywords = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)

    def check(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not kwargs and not self._needs_keywords and self._required <= len(args) <= self._most:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None


def _arity(function: Callable[..., Any], *, bound: bool) -> _Arity | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none to look at
        return None
    if bound:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    return _Arity(signature)


def _handled() -> BaseException | None:
    """The exception that the caller's `except` block is handling."""
    import sys

    return sys.exc_info()[1]
