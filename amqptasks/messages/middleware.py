"""Middleware: code of your own around each publish and around each run.

`App(middleware=[Outer(), Inner()])` names it. The first one is the outermost. A method that a class does not override
costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import aclosing, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from amqptasks.errors import INTERRUPTIONS, ConfigurationError
from amqptasks.messages.headers import refuse_reserved
from amqptasks.options import CALL, checked
from amqptasks.runtime.log_queue import get_logger

if TYPE_CHECKING:
    from amqptasks.messages.request import Request

logger = get_logger(__name__)

#: What a method of a `Middleware` is: lines, one `yield`, lines. The `yield` gives the value of the task.
Around = Generator[None, Any, None]
AroundAsync = AsyncGenerator[None, Any]


class Middleware:
    """Override what you need. Each method has one `yield`. The lines before it run before the publish or the run, those
    after it run afterwards, and what went wrong is raised at the `yield`.

    Methods of one object are called by many threads at once.
    """

    def around_publish(self, request: Request) -> Around:  # noqa: ARG002 - for those who override it
        """Around a call. Change `request.headers` before the `yield` to send a header with it.

        What is raised before the `yield` refuses the call, and the caller gets it. What is raised after the `yield` is
        logged: the broker has the call by then, or its error is raised. `adelay` runs this on the event loop, unless
        `around_publish_async` is overridden. `submit` and `publish_many` run the lines after the `yield` once the call
        is confirmed, `submit` on the thread of its callbacks. A worker runs this for its own retries and followers, on
        the thread of the task. There, the lines after the `yield` run when the message is made; it is published when
        the run is settled.
        """
        yield

    def around_publish_async(self, request: Request) -> AroundAsync:
        """As `around_publish`, for `adelay` and `aapply_async`. Override it with an `async def`."""
        return _awaited(self.around_publish(request))

    def around_run(self, request: Request) -> Around:  # noqa: ARG002 - for those who override it
        """Around each attempt of a task. `request.instance` is the task, and the `yield` gives its value.

        What is raised here counts as if the task had raised it, also after the `yield`: it may be retried. An exception
        of the task is raised at the `yield`. Raise another one to replace it; caught, it stays what it was. An
        `async def` task runs this on its event loop, unless `around_run_async` is overridden.
        """
        yield

    def around_run_async(self, request: Request) -> AroundAsync:
        """As `around_run`, for `async def` tasks. Override it with an `async def`."""
        return _awaited(self.around_run(request))


class Middlewares:
    """All of one app, the outermost first. `publishes` and `runs` say whether any is called at all. Raises
    `ConfigurationError` for what is no middleware."""

    def __init__(self, given: Iterable[Middleware] = ()) -> None:
        all_of_them = tuple(given)
        for one in all_of_them:
            _check(one)
        self._publish = [one for one in all_of_them if _overrides(one, "around_publish", "around_publish_async")]
        self._run = [one for one in all_of_them if _overrides(one, "around_run", "around_run_async")]
        self.publishes, self.runs = bool(self._publish), bool(self._run)

    def publish(self, request: Request) -> Begun:
        """Begin all that is around this publish. Raises what one of them raises, once the outer ones have ended."""
        begun = Begun(request)
        for one in self._publish:
            begun.begin(one.around_publish(request))
        return begun

    def added(self, request: Request) -> dict[str, Any]:
        """The headers that they add to, or change of, a message that is published later: a retry, a replay. Raises what
        they raise, and `ConfigurationError` for headers that cannot be sent."""
        changed = replace(request, headers=dict(request.headers))
        self.publish(changed).end()
        before = request.headers
        added = {name: value for name, value in changed.headers.items() if before.get(name, _NONE) != value}
        check_headers(added, request.task)
        return added

    async def publish_async(self, request: Request) -> BegunAsync:
        """`publish`, for asyncio."""
        begun = BegunAsync(request)
        for one in self._publish:
            await begun.begin(one.around_publish_async(request))
        return begun

    def run(self, request: Request, task: Callable[[], Any]) -> Any:
        """The value of `task`. Raises what it raised, or what was raised around it."""
        begun = Begun(request)
        for one in self._run:
            begun.begin(one.around_run(request))
        try:
            value = task()
        except BaseException as error:
            begun.fail(error)
        begun.succeed(value)
        return value

    async def run_async(self, request: Request, task: Callable[[], Awaitable[Any]]) -> Any:
        """`run`, of an `async def` task."""
        begun = BegunAsync(request)
        for one in self._run:
            await begun.begin(one.around_run_async(request))
        try:
            value = await task()
        except BaseException as error:
            await begun.fail(error)
        await begun.succeed(value)
        return value


NO_MIDDLEWARE = Middlewares()


class Begun:
    """What has begun around one publish or run. It ends once, the innermost first."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._around: list[Around] = []

    def begin(self, around: Around) -> None:
        try:
            _begin(around)
        except BaseException as error:
            self.fail(error)
        self._around.append(around)

    def succeed(self, value: Any) -> None:
        """Raises what the first of them raises; the others end with that."""
        while self._around:
            try:
                _send(self._around.pop(), value)
            except BaseException as error:
                self.fail(error)

    def fail(self, error: BaseException) -> NoReturn:
        """Raises `error`, or what one of them raised in its place."""
        while self._around:
            error = _thrown(self._around.pop(), error)
        raise error

    def end(self, error: BaseException | None = None) -> None:
        """End a publish. What is raised here is logged: it changes nothing about the call."""
        try:
            if error is None:
                self.succeed(None)
            else:
                self.fail(error)
        except INTERRUPTIONS:
            raise
        except Exception as raised:
            _log(self._request, raised, error)


class BegunAsync:
    """`Begun`, for asyncio."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._around: list[AroundAsync] = []

    async def begin(self, around: AroundAsync) -> None:
        try:
            await _begin_async(around)
        except BaseException as error:
            await self.fail(error)
        self._around.append(around)

    async def succeed(self, value: Any) -> None:
        while self._around:
            try:
                await _send_async(self._around.pop(), value)
            except BaseException as error:
                await self.fail(error)

    async def fail(self, error: BaseException) -> NoReturn:
        while self._around:
            error = await _thrown_async(self._around.pop(), error)
        raise error

    async def end(self, error: BaseException | None = None) -> None:
        try:
            if error is None:
                await self.succeed(None)
            else:
                await self.fail(error)
        except INTERRUPTIONS:
            raise
        except Exception as raised:
            _log(self._request, raised, error)


def _log(request: Request, raised: Exception, error: BaseException | None) -> None:
    if raised is not error:
        logger.error(
            "%s[%s] a middleware raised after the publish; the call stays as it is",
            request.task,
            request.id,
            exc_info=raised,
            extra={"action": "middleware_failed", "task_name": request.task, "task_id": request.id},
        )


def check_headers(given: Mapping[str, object], task: str) -> None:
    """Raise `ConfigurationError` for headers of a middleware that cannot be sent."""
    refuse_reserved(given, task)
    checked({"headers": given}, CALL, "a middleware")


def _check(one: object) -> None:
    if not isinstance(one, Middleware):
        raise ConfigurationError(f"middleware takes objects of a subclass of Middleware, not {one!r}")
    for name, has_yield in (
        ("around_publish", inspect.isgeneratorfunction),
        ("around_publish_async", inspect.isasyncgenfunction),
        ("around_run", inspect.isgeneratorfunction),
        ("around_run_async", inspect.isasyncgenfunction),
    ):
        if _overrides(one, name) and not has_yield(getattr(one, name)):
            plain = "`async def`" if name.endswith("_async") else "a plain `def`"
            raise ConfigurationError(f"{type(one).__qualname__}.{name} is not {plain} with a `yield` in it")


def _overrides(one: Middleware, *names: str) -> bool:
    return any(getattr(type(one), name) is not getattr(Middleware, name) for name in names)


async def _awaited(around: Around) -> AroundAsync:
    """A plain method as an asynchronous one."""
    with closing(around):
        _begin(around)
        try:
            value = yield
        except Exception as error:
            _throw(around, error)
            raise
        _send(around, value)


def _begin(around: Around) -> None:
    try:
        next(around)
    except StopIteration:
        raise RuntimeError(_COUNT) from None


def _send(around: Around, value: Any) -> None:
    try:
        around.send(value)
    except StopIteration:
        return
    around.close()
    raise RuntimeError(_COUNT)


def _throw(around: Around, error: BaseException) -> None:
    """Raises what it raises in place of `error`."""
    raised = _thrown(around, error)
    if raised is not error:
        raise raised


def _thrown(around: Around, error: BaseException) -> BaseException:
    """What the exception is after this one has seen it."""
    try:
        around.throw(error)
    except StopIteration:
        return error
    except RuntimeError as raised:
        return error if raised.__cause__ is error else raised  # PEP 479: of a StopIteration
    except BaseException as raised:
        return raised
    around.close()
    return RuntimeError(_COUNT)


async def _begin_async(around: AroundAsync) -> None:
    try:
        await anext(around)
    except StopAsyncIteration:
        raise RuntimeError(_COUNT) from None


async def _send_async(around: AroundAsync, value: Any) -> None:
    try:
        await around.asend(value)
    except StopAsyncIteration:
        return
    async with aclosing(around):
        raise RuntimeError(_COUNT)


async def _thrown_async(around: AroundAsync, error: BaseException) -> BaseException:
    try:
        await around.athrow(error)
    except StopAsyncIteration:
        return error
    except RuntimeError as raised:
        return error if raised.__cause__ is error else raised
    except BaseException as raised:
        return raised
    await around.aclose()
    return RuntimeError(_COUNT)


#: In place of a header that is not there.
_NONE = object()

_COUNT = "a method of a Middleware yields once, in each of its ways"
