"""`amqptasks dead`: what could not run, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from amqptasks import dial
from amqptasks.cli import letters as shown
from amqptasks.cli import parameters
from amqptasks.cli.failures import FAILED
from amqptasks.cli.target import Target, pass_target
from amqptasks.codec import PLAIN, Codec
from amqptasks.dead import queue as dead_letters
from amqptasks.dead.replay import Edit
from amqptasks.dead.replay import target as home
from amqptasks.dead.selection import Selection
from amqptasks.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from amqptasks.transport import Session

HELP = """\b
QUEUE is the work queue's name (emails) or its dead-letter queue's (emails.dead).

\b
Examples:
  amqptasks dead list emails --broker amqp://guest:guest@localhost/
  amqptasks dead list emails --exception 'Connection*' --since 2h --json
  amqptasks dead show emails 019338a1-...
  amqptasks dead replay emails 019338a1-... --set-args '["ada@example.org"]'
  amqptasks dead replay emails --all --task 'shop.email.*' --rate 50/s
  amqptasks dead purge emails --reason expired
"""


@click.group(name="dead", epilog=HELP)
def command() -> None:
    """List, show, replay and purge dead-lettered tasks."""


def filters(decorated: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which letters; they arrive as one `selection`."""
    for option in reversed(
        [
            click.option("--task", metavar="GLOB", help="Task name: 'shop.email.*'."),
            click.option("--exception", metavar="GLOB", help="Exception, with its module or without."),
            click.option("--reason", metavar="GLOB", help="failed, malformed, expired, delivery_limit, ..."),
            click.option(
                "--since",
                metavar="WHEN",
                type=parameters.seconds_since_1970,
                help="2h (ago), or 2026-05-01T12:00 (UTC).",
            ),
            click.option("--until", metavar="WHEN", type=parameters.seconds_since_1970, help="As --since."),
        ]
    ):
        decorated = option(decorated)
    return decorated


@command.command("list")
@click.argument("queue")
@filters
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with everything.")
@pass_target
def list_command(target: Target, /, queue: str, limit: int, as_json: bool, **wanted: Any) -> None:
    """Who is in there, and why."""
    with _opened(target, queue) as (session, name, codec):
        found = dead_letters.letters(session, name, Selection(**wanted), limit, codec)
        if as_json:
            for letter in found:
                click.echo(shown.as_json(letter))
            return
        waiting = dead_letters.count(session, name)
        count = shown.table(found)
    others = f"; {waiting} in all, --limit shows more" if waiting > count == limit else ""
    click.echo(f"{_letters(count)} of {name}{others}" if count else f"No such letter: {name} holds {waiting}.")


@command.command("show")
@click.argument("queue")
@click.argument("task_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_target
def show_command(target: Target, /, queue: str, task_id: str, as_json: bool) -> None:
    """Everything about one letter: arguments, headers, traceback."""
    with _opened(target, queue) as (session, name, codec):
        found = list(dead_letters.letters(session, name, Selection(ids=frozenset([task_id])), codec=codec))
    if not found:
        raise ConfigurationError(f"{name} holds no letter {task_id!r}: see `amqptasks dead list {queue}`")
    click.echo("\n\n".join(shown.as_json(letter) if as_json else shown.in_full(letter) for letter in found))


@command.command("replay")
@click.argument("queue")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filters
@click.option("--all", "every", is_flag=True, help="All of them, or with filters all that fit.")
@click.option("--to", metavar="QUEUE", help="Send them to this queue.  [default: where each came from]")
@click.option("--rate", metavar="N/s", type=parameters.rate, help="At most so many: 50/s, 10/m.")
@click.option("--set-task", metavar="NAME", help="Call another task.")
@click.option("--set-args", metavar="JSON", type=parameters.json_list, help="Other arguments: '[1, \"two\"]'.")
@click.option("--set-kwargs", metavar="JSON", type=parameters.json_object, help="Other keywords: '{\"amount\": 5}'.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent where, and do nothing.")
@pass_target
def replay_command(
    target: Target,
    /,
    queue: str,
    ids: tuple[str, ...],
    every: bool,
    to: str | None,
    rate: float | None,
    set_task: str | None,
    set_args: list[Any] | None,
    set_kwargs: dict[str, Any] | None,
    dry_run: bool,
    **wanted: Any,
) -> None:
    """Send letters back to their queue as new tasks, with the same ids.

    Each is published, confirmed by the broker, and only then removed here. Stopped at any moment, it loses nothing.
    """
    selection = _selection(ids, every, wanted)
    edit = Edit(set_task, set_args, set_kwargs)
    if len(ids) != 1 and (set_args is not None or set_kwargs is not None):
        raise click.UsageError("--set-args and --set-kwargs change one letter: name its ID")
    with _opened(target, queue) as (session, name, codec):
        if dry_run:
            _dry_run(session, name, selection, to)
            return
        progress = shown.Progress("replayed", dead_letters.count(session, name), frozenset(ids))
        with _counted(progress, "replayed"):
            result = dead_letters.replay(
                session, name, selection, to=to, edit=edit, rate=rate, progress=progress.advance, codec=codec
            )
    click.echo(f"{_letters(result.count)} of {name} replayed")
    if not result.refused:
        _complain_of(progress.missing, name)
    for destination, (refused, error) in result.refused.items():
        click.secho(f"amqptasks: {_letters(refused)} stayed, {destination} took none: {error}", fg="red", err=True)
    if result.refused:
        raise click.exceptions.Exit(FAILED)


@command.command("purge")
@click.argument("queue")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filters
@click.option("--all", "every", is_flag=True, help="All of them, or with filters all that fit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_target
def purge_command(target: Target, /, queue: str, ids: tuple[str, ...], every: bool, yes: bool, **wanted: Any) -> None:
    """Remove letters for good."""
    selection = _selection(ids, every, wanted)
    with _opened(target, queue) as (session, name, _):
        if not yes:
            count = dead_letters.count(session, name, selection)
            if not count:
                click.echo(f"Nothing to remove: no letter of {name} fits.")
                return
            click.confirm(f"Remove {_letters(count)} of {name} for good?", abort=True)
        progress = shown.Progress("removed", dead_letters.count(session, name), frozenset(ids))
        with _counted(progress, "removed"):
            removed = dead_letters.purge(session, name, selection, progress.advance)
    click.echo(f"{_letters(removed)} of {name} removed")
    _complain_of(progress.missing, name)


@contextmanager
def _opened(target: Target, queue: str) -> Iterator[tuple[Session, str, Codec]]:
    """A session, the dead-letter queue's name once it is known to be there, and how the app reads what is in it."""
    app = target.load_app() if target.app else None
    urls = target.broker_urls()
    if dial.is_memory(urls):
        raise ConfigurationError("memory:// lives within one process, and this is another: there is nothing to look at")
    name = dead_letters.name_of(queue)
    if app is not None:
        urls = dial.within(urls, app.topology.vhost)
    session = dial.session(urls, app.tls if app is not None else None)
    try:
        if session.queue_state(name) is None:
            raise ConfigurationError(_no_queue(session, name, app.topology.queue_names if app is not None else ()))
        yield session, name, app.codec if app is not None else PLAIN
    finally:
        session.close()


def _no_queue(session: Session, name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    work = name.removesuffix(".dead")
    close = get_close_matches(work, known, 1)
    if close and close[0] != work:
        return f"there is no queue {name!r} on the broker. Did you mean `{close[0]}`?"
    if session.queue_state(work) is not None:
        return f"the queue {work!r} has no dead-letter queue {name!r}"
    hint = f"the app has {', '.join(known)}" if known else "is it this virtual host?"
    return f"there is no queue {name!r} on the broker: {hint}"


def _selection(ids: tuple[str, ...], every: bool, wanted: dict[str, Any]) -> Selection:
    selection = Selection(frozenset(ids), **wanted)
    if not ids and not every:
        raise click.UsageError("which letters? Name their IDs, or say --all, which filters may narrow")
    if ids and every:
        raise click.UsageError("IDs and --all contradict each other: give one of them")
    return selection


def _dry_run(session: Session, name: str, selection: Selection, to: str | None) -> None:
    count = 0
    for letter in dead_letters.letters(session, name, selection):
        count += 1
        click.echo(f"{letter.id}  {letter.task or '(no task)'}  ->  {to or home(letter, name)}")
    click.echo(f"{_letters(count)} of {name} would be replayed")


@contextmanager
def _counted(progress: shown.Progress, verb: str) -> Iterator[None]:
    """However it ends, say how far it came."""
    try:
        with progress:
            yield
    except (BrokerError, KeyboardInterrupt):
        click.echo(f"Interrupted: {_letters(progress.count)} {verb}, the others are where they were", err=True)
        raise


def _complain_of(missing: set[str], name: str) -> None:
    if missing:
        raise ConfigurationError(
            f"{name} holds no letter {', '.join(sorted(missing))}: see `amqptasks dead list {name}`"
        )


def _letters(count: int) -> str:
    return f"{count} letter" if count == 1 else f"{count} letters"
