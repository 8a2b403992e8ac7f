"""A call that is confirmed in the background: `task.submit()`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any

from amqptasks import call
from amqptasks.errors import PublishRejected, Unroutable
from amqptasks.options import CallOptions
from amqptasks.results.result import AsyncResult

if TYPE_CHECKING:
    from amqptasks.app import App
    from amqptasks.task import Task


def submit(
    app: App, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions
) -> Future[AsyncResult[Any]]:
    """`call.send` without waiting for the confirm: the future ends with the result, or with a `BrokerError`. What is
    known before that is raised here, an `AlreadyQueued` too: the claim is taken by the caller's thread."""
    made = call.make(app, task, args, kwargs, options)
    ours = made.claim is not None and app.claims.take(made.claim)
    future: Future[AsyncResult[Any]] = Future()
    future.set_running_or_notify_cancel()  # what is on its way cannot be called back
    try:
        ending = app.ending
        published = app.publisher.submit(made.outgoing, made.timeout)
    except BaseException:
        _give_back(app, made, ours)
        raise
    published.add_done_callback(lambda done: _end_on(ending, partial(_end, app, made, ours, done, future)))
    return future


def _end_on(ending: Executor, end: Callable[[], None]) -> None:
    """Not on the link's thread: receivers of signals and the future's callbacks are the user's, and to declare again,
    or to give back a claim, is to wait for the broker."""
    try:
        ending.submit(end)
    except RuntimeError:  # the app was closed, and its link is late: nobody else needs its thread any more
        end()


def _end(app: App, made: call.Call, ours: bool, published: Future[None], future: Future[AsyncResult[Any]]) -> None:
    try:
        try:
            _confirm(app, made, published)
        except BaseException:
            _give_back(app, made, ours)
            raise
        call.tell(app, made)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(made.result)


def _confirm(app: App, made: call.Call, published: Future[None]) -> None:
    try:
        published.result()
    except (Unroutable, PublishRejected) as error:
        if not app.declare_again(error):
            raise
        app.publisher.publish(made.outgoing, made.timeout)


def _give_back(app: App, made: call.Call, ours: bool) -> None:
    if ours and made.claim is not None:
        app.claims.give_back(made.claim)
