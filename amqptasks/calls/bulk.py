"""Many calls of one task at once, with the publishing pipeline kept full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from amqptasks import signals
from amqptasks.calls import sent
from amqptasks.calls.call import Alike, Call
from amqptasks.calls.send import errors_of, is_delayed, named_time, not_published, tell_published
from amqptasks.errors import (
    AlreadyQueued,
    BrokerError,
    ConfigurationError,
    PartlyPublished,
    PublishRejected,
    Unroutable,
)
from amqptasks.options import CALL, CallOptions, checked, publish_timeout
from amqptasks.results.result import AsyncResult
from amqptasks.runtime.clock import monotonic
from amqptasks.transport.publisher import Failed, Progress, Publisher

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.tasks.task import Task


def send_many(
    app: App,
    task: Task[..., Any],
    calls: Iterable[tuple[Any, Any]],
    options: CallOptions,
    progress: Progress | None,
) -> list[AsyncResult[Any]]:
    """Publish one call for each args and kwargs in `calls`, with the pipeline kept full. `calls` is drawn no further
    once the broker was away for the `timeout` of a call. Raises `PartlyPublished`, and another `BrokerError` where not
    one call was drawn."""
    options = checked(options, CALL, "publish_many")
    timeout = _opened(app, task, options)
    results: list[AsyncResult[Any]] = []
    watched: dict[int, Call] = {}  # by their place among what is published: somebody waits for how they end
    unsendable: list[tuple[int, BaseException]] = []
    broken: list[Exception] = []
    alike = Alike(app, task, options)

    def outgoings() -> Iterator[Outgoing]:
        for position, (args, kwargs) in enumerate(calls):
            try:
                call = alike.make(args, kwargs)
                if _is_watched(call):
                    _prepare(app, call, timeout)
                    watched[len(results)] = call
            except AlreadyQueued as error:
                unsendable.append((position, error))
                continue
            except BrokerError as error:  # its claim could not be had, nor could that of the next
                unsendable.append((position, error))
                return
            except (ConfigurationError, TypeError) as error:
                if not results:  # nothing is published yet: an option that is wrong is wrong for all
                    raise
                unsendable.append((position, error))
                continue
            results.append(call.result)
            yield call.outgoing

    failed = app.caller.publisher.publish_many(_until_broken(outgoings(), broken), timeout, progress)
    failed = _mended(app, failed, timeout, len(results) - len(failed), progress)
    _end(app, watched, {one.position: one.error for one in failed})
    partly = _partly(len(results), unsendable, failed)
    if broken and partly is not None:
        broken[0].add_note(str(partly))
    for error in (*broken, *([] if partly is None else [partly])):
        raise error
    return results


def _is_watched(call: Call) -> bool:
    """Most are not, and nothing of them is kept."""
    if call.request is None:
        return False
    own = (call.claim, call.around, call.sent)
    return bool(signals.after_task_publish) or any(one is not None for one in own)


def _prepare(app: App, call: Call, timeout: float) -> None:
    """The result store knows of it, and its claim is taken."""
    try:
        sent.record(app, call)
        if call.claim is not None:
            with errors_of(call):
                app.caller.claims.take(call.claim, monotonic() + timeout)
    except BaseException as error:
        not_published(app, call, error)
        raise


def _end(app: App, watched: Mapping[int, Call], errors: Mapping[int, BaseException]) -> None:
    """Tell of those that are published. Those that are not have no claim, and no record that they were sent."""
    for position, call in watched.items():
        error = errors.get(position)
        if error is not None:
            if call.claim is not None:
                app.caller.claims.give_back(call.claim, error)
            not_published(app, call, error)
            continue
        call.end()
        if signals.after_task_publish:
            tell_published(call)


def _opened(app: App, task: Task[..., Any], options: CallOptions) -> float:
    """Seconds that each call may take, once the broker is there and no option is wrong."""
    if "task_id" in options:
        raise ConfigurationError("publish_many makes an id for each call: leave task_id out")
    merged: dict[str, Any] = {**task.call_options, **options}
    delayed = is_delayed(merged)
    if not app.caller.is_ready_for(delayed=delayed):
        app.connections.open(app.connections.deadline(named_time(merged, app.publish_timeout)), delayed=delayed)
    return publish_timeout(merged, app.publish_timeout)


def _partly(
    published: int, unsendable: list[tuple[int, BaseException]], failed: list[Failed]
) -> PartlyPublished | None:
    """The error of all that failed, by its place among the calls; `published` counts what went to the publisher."""
    if not (unsendable or failed):
        return None
    total = published + len(unsendable)
    positions = _positions(total, {position for position, _ in unsendable})
    errors = [*unsendable, *((positions[one.position], one.error) for one in failed)]
    return PartlyPublished(sorted(errors, key=lambda failure: failure[0]), total)


def _mended(app: App, failed: list[Failed], timeout: float, confirmed: int, progress: Progress | None) -> list[Failed]:
    """What failed all the same, once the topology was declared again where something of it was gone."""
    mendable = [one for one in failed if isinstance(one.error, Unroutable | PublishRejected)]
    if not mendable:
        return failed
    try:
        if not app.caller.declare_again(cast("Unroutable | PublishRejected", mendable[0].error), timeout=timeout):
            return failed
    except BrokerError:  # what is told of each call is why it failed
        return failed
    more = None if progress is None else lambda count: progress(confirmed + count)
    others = [one for one in failed if one not in mendable]
    return others + _published_again(app.caller.publisher, mendable, timeout, more)


def _published_again(
    publisher: Publisher, mendable: list[Failed], timeout: float, progress: Progress | None
) -> list[Failed]:
    """Of those, what failed once more, or was not drawn again because the broker was away."""
    drawn = 0

    def outgoings() -> Iterator[Outgoing]:
        nonlocal drawn
        for one in mendable:
            drawn += 1
            yield one.outgoing

    errors = {one.position: one.error for one in publisher.publish_many(outgoings(), timeout, progress)}
    failed = [_failed_twice(one, errors[place]) for place, one in enumerate(mendable) if place in errors]
    return failed + mendable[drawn:]


def _failed_twice(first: Failed, error: BaseException) -> Failed:
    """With the error of the second time. Where the first copy is in doubt, the call is."""
    if isinstance(error, BrokerError) and isinstance(first.error, BrokerError) and first.error.maybe_published:
        error = error.of_call(error.task_id, maybe_published=True)
    return first._replace(error=error)


def _until_broken(outgoings: Iterable[Outgoing], broken: list[Exception]) -> Iterator[Outgoing]:
    """All that come before an error, which is kept for later: they may have claims, so they are to be published."""
    try:
        yield from outgoings
    except Exception as error:
        broken.append(error)


def _positions(total: int, unsendable: set[int]) -> list[int]:
    """Of what was handed to the publisher: which call it was."""
    return [position for position in range(total) if position not in unsendable]
