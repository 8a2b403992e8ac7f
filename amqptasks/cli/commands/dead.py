"""`amqptasks dead`: what could not run, and what becomes of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from amqptasks.cli.support import letters as shown, parameters
from amqptasks.cli.support.dead_letters import all_queues, chosen, filters, opened, unmasked_option, within
from amqptasks.cli.support.failures import FAILED
from amqptasks.cli.support.management import management_option
from amqptasks.cli.support.tables import print_sentence, print_sentences
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.dead_letters import queue as dead_letters
from amqptasks.dead_letters.home import home
from amqptasks.dead_letters.queue import NOWHERE
from amqptasks.dead_letters.replay import Edit
from amqptasks.dead_letters.selection import EVERY, Selection
from amqptasks.errors import ConfigurationError
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.dead_letters.place import Place
    from amqptasks.transport import Session

HELP = """\b
QUEUE is the work queue's name (emails) or its dead-letter queue's (emails.dead). A dead-letter queue that several share
is known by the app's topology (-A); it may be named itself, and then means the letters of all. The queue
amqptasks.delay.lost holds delayed tasks whose target was gone when they were due.

\b
Examples:
  amqptasks dead list emails --broker amqp://guest:guest@localhost/
  amqptasks -A shop dead show payments 019338a1-...
  amqptasks dead replay emails --all --task 'shop.email.*' --rate 50/s
  amqptasks dead purge emails --all --reason expired

\b
Exit status: 0 done; 1 no such queue or letter, or some letters stayed; 2 wrong use; 3 no broker, or it refused.
"""

LIST_HELP = """\b
Examples:
  amqptasks dead list emails --broker amqp://guest:guest@localhost/
  amqptasks dead list                             all queues of dead letters
  amqptasks dead list emails --exception 'Connection*' --since 2h --json
  amqptasks -A shop dead list payments            also where it shares a dead-letter queue
  amqptasks dead list amqptasks.delay.lost        delayed tasks whose target was gone

\b
Exit status: 0 they are listed, or there is none; 1 no such queue; 2 wrong use; 3 no broker, or it refused.
"""

SHOW_HELP = """\b
Examples:
  amqptasks dead show emails 019338a1-...
  amqptasks dead show emails 019338a1-... --json | jq .headers

\b
Exit status: 0 it is shown; 1 no such queue or letter; 3 no broker, or it refused.
"""

REPLAY_HELP = """\b
Examples:
  amqptasks dead replay emails 019338a1-... --set-args '["ada@example.org"]'
  amqptasks dead replay emails --all --task 'shop.email.*' --rate 50/s
  amqptasks dead replay emails --all --to emails.slow --dry-run
  amqptasks dead replay emails --all --json | jq .refused

\b
Exit status: 0 what was meant is sent back, or would be (--dry-run); 1 some stayed, an ID is not there, or no such
             queue; 2 wrong use; 3 no broker, or it refused.
"""

PURGE_HELP = """\b
Examples:
  amqptasks dead purge emails 019338a1-...
  amqptasks dead purge emails --all --reason expired
  amqptasks dead purge emails --all --yes --json

\b
Exit status: 0 what was meant is removed; 1 an ID is not there, no such queue, or you said no; 2 wrong use; 3 no broker,
             or it refused.
"""


@click.group(name="dead", epilog=HELP)
def command() -> None:
    """List, show, replay and purge dead-lettered tasks."""


@command.command("list", epilog=LIST_HELP)
@click.argument("queue", required=False)
@filters
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many of each queue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with everything.")
@unmasked_option
@management_option
@pass_target
def list_command(
    target: Target,
    /,
    queue: str | None,
    limit: int,
    as_json: bool,
    unmasked: bool,
    management_url: str | None,
    **wanted: Any,
) -> None:
    """Who is in there, and why. Without QUEUE, in all queues of dead letters."""
    if queue is not None:
        _list(target, queue, limit, as_json, unmasked, Selection(**wanted))
        return
    names = all_queues(target, management_url)
    for name in names:
        if not as_json:
            click.secho(printable(name), bold=True)
        _list(target, name, limit, as_json, unmasked, Selection(**wanted))
    if not names and not as_json:
        click.echo("No queue of dead letters is there.")


def _list(target: Target, queue: str, limit: int, as_json: bool, unmasked: bool, wanted: Selection) -> None:
    with opened(target, queue) as (session, place, codec, _):
        found = dead_letters.letters(session, place.queue, within(wanted, place), limit, codec)
        if as_json:
            for letter in found:
                click.echo(shown.as_json(letter, None if unmasked else codec.mask))
            return
        waiting = dead_letters.count(session, place.queue)
        count = shown.table(found, None if unmasked else codec.mask)
    others = f"; {waiting} in all, --limit shows more" if waiting > count == limit else ""
    none = f"No such letter: {place.queue} holds {waiting}."
    print_sentence(f"{shown.number(count)} of {place}{others}" if count else none)


@command.command("show", epilog=SHOW_HELP)
@click.argument("queue")
@click.argument("task_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@unmasked_option
@pass_target
def show_command(target: Target, /, queue: str, task_id: str, as_json: bool, unmasked: bool) -> None:
    """Everything about one letter: arguments, headers, traceback."""
    with opened(target, queue) as (session, place, codec, _):
        selection = within(Selection(ids=frozenset([task_id])), place)
        found = list(dead_letters.letters(session, place.queue, selection, codec=codec))
    if not found:
        raise ConfigurationError(_missing([repr(task_id)], place, queue))
    mask = None if unmasked else codec.mask
    click.echo("\n\n".join(shown.as_json(letter, mask) if as_json else shown.in_full(letter, mask) for letter in found))


@command.command("replay", epilog=REPLAY_HELP)
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: queue, count, refused, missing.")
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
    as_json: bool,
    **wanted: Any,
) -> None:
    """Send letters back to their queue as new tasks, with the same ids.

    Each is published, confirmed by the broker, and only then removed here. Stopped at any moment, it loses nothing.
    """
    selection = chosen(ids, every, wanted)
    edit = Edit(set_task, set_args, set_kwargs)
    if len(ids) != 1 and (set_args is not None or set_kwargs is not None):
        raise click.UsageError("--set-args and --set-kwargs change one letter: name its ID")
    with opened(target, queue) as (session, place, codec, middleware):
        selection = within(selection, place)
        if dry_run:
            _dry_run(session, place, selection, to, as_json)
            return
        progress = shown.Progress("replayed", _total(session, place, selection))
        with shown.told_at_the_end(progress, "replayed"):
            result = dead_letters.replay(
                session,
                place.queue,
                selection,
                to=to,
                edit=edit,
                rate=rate,
                progress=progress.advance,
                codec=codec,
                sources=place.sources,
                middleware=middleware,
            )
    if as_json:
        stayed = {name: (count, str(error)) for name, (count, error) in result.refused.items()}
        click.echo(shown.outcome(place.queue, result.count, stayed, result.missing))
    else:
        print_sentence(f"{shown.number(result.count)} of {place} replayed")
        for destination, (refused, error) in result.refused.items():
            why = f"{error}, with --to" if destination == NOWHERE else f"{destination} took none: {error}"
            click.secho(printable(f"amqptasks: {shown.number(refused)} stayed, {why}"), fg="red", err=True)
        if result.missing:
            raise ConfigurationError(_missing(result.missing, place, queue))
    if result.refused or result.missing:
        raise click.exceptions.Exit(FAILED)


@command.command("purge", epilog=PURGE_HELP)
@click.argument("queue")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filters
@click.option("--all", "every", is_flag=True, help="All of them, or with filters all that fit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: queue, count, refused, missing.")
@pass_target
def purge_command(
    target: Target, /, queue: str, ids: tuple[str, ...], every: bool, yes: bool, as_json: bool, **wanted: Any
) -> None:
    """Remove letters for good."""
    selection = chosen(ids, every, wanted)
    if as_json and not yes:
        raise click.UsageError("--json cannot ask: add --yes")
    with opened(target, queue) as (session, place, _, _):
        # What may be a work queue holds tasks that nobody dead-lettered.
        selection = replace(within(selection, place), died=not place.certain)
        if not yes:
            count = dead_letters.count(session, place.queue, selection)
            if not count:
                click.echo(f"Nothing to remove: no letter of {place} fits.")
                return
            click.confirm(f"Remove {shown.number(count)} of {place} for good?", abort=True)
        progress = shown.Progress("removed", _total(session, place, selection), frozenset(ids))
        with shown.told_at_the_end(progress, "removed"):
            removed = dead_letters.purge(session, place.queue, selection, progress.advance)
    if as_json:
        click.echo(shown.outcome(place.queue, removed, {}, progress.missing))
    else:
        print_sentence(f"{shown.number(removed)} of {place} removed")
        if progress.missing:
            raise ConfigurationError(_missing(progress.missing, place, queue))
    if progress.missing:
        raise click.exceptions.Exit(FAILED)


def _total(session: Session, place: Place, selection: Selection) -> int | None:
    """How many are meant; None where only reading them all would tell."""
    if selection == EVERY:
        return dead_letters.count(session, place.queue)
    return len(selection.ids) or None


def _dry_run(session: Session, place: Place, selection: Selection, to: str | None, as_json: bool) -> None:
    count = stay = 0
    missing = set(selection.ids)
    for letter in dead_letters.letters(session, place.queue, selection):
        destination = to or home(letter.queue, letter.delivery)
        missing.discard(letter.id)
        if destination is None:
            stay += 1
        else:
            count += 1
        if not as_json:
            words = f"->  {destination}" if destination else "->  it stays: add --to"
            print_sentences([(letter.id, letter.task or "(no task)", words)])
    if as_json:
        stayed = {NOWHERE: (stay, dead_letters.NO_HOME)} if stay else {}
        click.echo(shown.outcome(place.queue, count, stayed, missing))
    else:
        print_sentence(f"{shown.number(count)} of {place} would be replayed")


def _missing(ids: Collection[str], place: Place, queue: str) -> str:
    of_source = f" of {place.source}" if place.source is not None else ""
    listed = printable(", ".join(sorted(ids)))
    return f"{place.queue} holds no letter {listed}{of_source}: see `amqptasks dead list {queue}`"
