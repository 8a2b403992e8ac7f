"""Many calls of one task at once, with the publishing pipeline kept full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from amqptasks import signals
from amqptasks.call import Alike, Call, tell_published
from amqptasks.errors import AlreadyQueued, ConfigurationError, PartlyPublished, PublishRejected, Unroutable
from amqptasks.options import CALL, CallOptions, checked, publish_timeout
from amqptasks.publisher import Progress
from amqptasks.results.result import AsyncResult
from amqptasks.uniqueness import Claim

if TYPE_CHECKING:
    from amqptasks.app import App
    from amqptasks.outgoing import Outgoing
    from amqptasks.task import Task


def send_many(
    app: App,
    task: Task[..., Any],
    calls: Iterable[tuple[Any, Any]],
    options: CallOptions,
    progress: Progress | None,
) -> list[AsyncResult[Any]]:
    """Publish one call for each args and kwargs in `calls`, with the pipeline kept full. Raises `PartlyPublished`."""
    options = checked(options, CALL, "publish_many")
    if "task_id" in options:
        raise ConfigurationError("publish_many makes an id for each call: leave task_id out")
    results: list[AsyncResult[Any]] = []
    heard: list[Call] = []
    unsendable: list[tuple[int, BaseException]] = []
    claims: dict[int, Claim] = {}  # by their place among what is published
    broken: list[Exception] = []
    alike = Alike(app, task, options)

    def outgoings() -> Iterator[Outgoing]:
        for position, (args, kwargs) in enumerate(calls):
            try:
                call = alike.make(args, kwargs)
                if call.claim is not None:
                    app.claims.take(call.claim)
                    claims[len(results)] = call.claim
            except AlreadyQueued as error:
                unsendable.append((position, error))
                continue
            except (ConfigurationError, TypeError) as error:
                if not results:  # nothing is published yet: an option that is wrong is wrong for all
                    raise
                unsendable.append((position, error))
                continue
            results.append(call.result)
            if signals.after_task_publish:
                heard.append(call)
            yield call.outgoing

    timeout = publish_timeout({**task.call_options, **options}, app.publish_timeout)
    publisher = app.publisher
    failed = publisher.publish_many(_until_broken(outgoings(), broken), timeout, progress)
    mendable = [one for one in failed if isinstance(one.error, Unroutable | PublishRejected)]
    if mendable and app.declare_again(cast("Unroutable | PublishRejected", mendable[0].error)):
        again = publisher.publish_many((one.outgoing for one in mendable), timeout)
        repeated = [one._replace(position=mendable[one.position].position) for one in again]
        failed = [one for one in failed if one not in mendable] + repeated
    for one in failed:
        if one.position in claims:
            app.claims.give_back(claims[one.position])
    if heard:
        lost = {one.position for one in failed}
        for position, call in enumerate(heard):
            if position not in lost:
                tell_published(call)
    if broken:
        raise broken[0]
    if unsendable or failed:
        total = len(results) + len(unsendable)
        positions = _positions(total, {position for position, _ in unsendable})
        unsendable += [(positions[one.position], one.error) for one in failed]
        raise PartlyPublished(sorted(unsendable, key=lambda failure: failure[0]), total)
    return results


def _until_broken(outgoings: Iterable[Outgoing], broken: list[Exception]) -> Iterator[Outgoing]:
    """All that come before an error, which is kept for later: they may have claims, so they are to be published."""
    try:
        yield from outgoings
    except Exception as error:
        broken.append(error)


def _positions(total: int, unsendable: set[int]) -> list[int]:
    """Of what was handed to the publisher: which call it was."""
    return [position for position in range(total) if position not in unsendable]
