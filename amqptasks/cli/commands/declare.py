"""`amqptasks declare FILE...`: bring a topology to the broker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from amqptasks import dial
from amqptasks.cli.support.failures import CONFLICT, FAILED
from amqptasks.cli.support.management import Nowhere, find, management_option
from amqptasks.cli.support.tables import print_table
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.cli.support.wanted import CommandLine, Planned, objects_of, planned, topology_of
from amqptasks.errors import ConfigurationError
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.amqp.blocking.session import Session as AmqpSession
    from amqptasks.management.client import Management
    from amqptasks.results.address import Streams
    from amqptasks.topology.broker.declare import Change
    from amqptasks.topology.topology import Topology
    from amqptasks.transport import Session

#: What each state of a change is called in the table.
WORDS = {
    "created": "created",
    "changed": "changed",
    "present": "was there",
    "bound": "bound",
    "older": "was there (declared on an older RabbitMQ)",
    "unchecked": "not checked",
    "deleted": "deleted",
    "kept": "kept",
    "migrating": "not touched",
}

#: As many objects of one state are printed one by one; more are counted.
LISTED = 200

HELP = """\b
With the management API the plan is made first (see `amqptasks plan`): nothing at all is done where something cannot be
changed in place, and only what is missing or different is touched. Without it, objects are declared one by one over
AMQP; policies, users, permissions and limits need it.

\b
--prune deletes what is on the broker but not in the files, so name all files of the virtual host, and with --keep the
names that belong to others. A queue that holds messages or has consumers stays, unless --force names it. What clients
keep for themselves stays: auto-delete, exclusive and internal objects, their bindings, and exchanges they are bound to.
A quorum queue is unbound and looked at again before it is deleted: the broker cannot delete it only if empty.

\b
Examples:
  amqptasks declare topology.yaml --broker amqp://guest:guest@localhost/shop
  amqptasks -A shop declare
  amqptasks declare topology.yaml --prune --keep 'legacy.*' --yes
  amqptasks declare topology.yaml --prune --force old-orders    also with what old-orders holds

\b
Exit status: 0 done, also where you answered no; 1 a file is wrong, a queue could not be pruned, or there was no answer
at all (Ctrl-C, or the end of the input without --yes); 3 no broker, or it refused; 4 something exists with other
properties that cannot be changed in place.
"""


@click.command("declare", epilog=HELP)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.option("--no-delays", is_flag=True, help="Leave out the ladder of delay queues.")
@click.option("--prune", is_flag=True, help="Delete what is on the broker but not in the files; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force",
    multiple=True,
    metavar="QUEUE",
    help="With --prune: delete this queue with its messages, and although it has consumers; may be given many times.",
)
@click.option("--keep", multiple=True, metavar="GLOB", help="Names that belong to others; may be given many times.")
@management_option
@pass_target
def command(
    target: Target,
    files: tuple[str, ...],
    as_json: bool,
    no_delays: bool,
    prune: bool,
    yes: bool,
    force: tuple[str, ...],
    keep: tuple[str, ...],
    management_url: str | None,
) -> None:
    """Create and change on the broker what the topology FILEs say, and nothing else.

    Without FILE, the topology of the app (-A). Running it again does no harm.
    """
    if prune and as_json and not yes:
        raise click.UsageError("--prune with --json cannot ask: add --yes")
    tls, results = target.tls, target.result_streams()
    topology = topology_of(target, files)
    urls = dial.within(target.broker_urls(), topology.vhost)
    api = find(target, management_url, topology.vhost)
    found = (
        None
        if isinstance(api, Nowhere)
        else _planned(
            topology,
            api,
            keep,
            not no_delays,
            CommandLine(files, target.app, target.broker),
            results,
            needed=prune or management_url is not None,
        )
    )
    if isinstance(api, Nowhere) or found is None:
        lacking = api if isinstance(api, Nowhere) else "RabbitMQ's management API does not let this user look"
        changes = _over_amqp(topology, dial.session(urls, tls), no_delays, results, prune, as_json, str(lacking))
    else:
        _stop_at_conflicts(found, as_json)
        with _amqp(urls, tls) as session:
            changes = _apply(found, session, api, as_json)
        if prune and found.plan.prunable:
            if not yes:
                _print_table(changes)  # whatever the answer: this much is done
                changes = []
                if not _confirmed(found):
                    click.echo("Nothing was deleted.")
                    return
            with _amqp(urls, tls) as session:  # another one: nobody sends the heartbeats of one while a person reads
                changes += _prune(found, session, api, force, as_json)
    if as_json:
        _print_json(changes)
    else:
        _print_table(changes)
    if any(change.state == "kept" for change in changes):
        raise click.exceptions.Exit(FAILED)


def _planned(
    topology: Topology,
    api: Management,
    keep: Sequence[str],
    delays: bool,
    around: CommandLine,
    results: Streams | None,
    needed: bool,
) -> Planned | None:
    """None where the API does not let this user look, and AMQP will do."""
    from amqptasks.management.client import Unanswered

    try:
        return planned(topology, api, keep, delays, around, results)
    except Unanswered as unanswered:
        if needed or unanswered.status not in (401, 403):
            raise
        click.secho(f"No plan is made: {unanswered}", dim=True, err=True)
        return None


def _over_amqp(
    topology: Topology,
    session: Session,
    no_delays: bool,
    results: Streams | None,
    prune: bool,
    quiet: bool,
    lacking: str,
) -> list[Change]:
    """`lacking` says why the management API is not used, where something needs it."""
    from amqptasks.topology.broker.declare import Change, declare
    from amqptasks.topology.migrate import marks
    from amqptasks.topology.plan import retired

    try:
        objects = objects_of(topology, session.capabilities, not no_delays, results)
        if objects.needs_management or prune:
            asked = "--prune" if prune else "the file has policies, users, permissions, limits or a vhost, and this"
            raise ConfigurationError(f"{asked}: {lacking}")
        moving = marks.under_way([queue.name for queue in objects.queues], session)
        objects = marks.without(objects, moving)
        with _progress("declaring", len(objects), quiet) as advance:
            changes = declare(objects, session, lambda _: advance())
            changes += retired.move(session)
        return changes + [Change("queue", name, "migrating", marks.left_alone(name)) for name in sorted(moving)]
    finally:
        session.close()


def _stop_at_conflicts(found: Planned, as_json: bool) -> None:
    """Nothing has been touched yet."""
    from rich.console import Console

    from amqptasks.cli.support import plans
    from amqptasks.topology.broker.steps import Plan

    conflicts = found.plan.conflicts
    if not conflicts:
        return
    if as_json:
        import orjson

        click.echo(orjson.dumps([plans.as_row(step) for step in conflicts], option=orjson.OPT_INDENT_2).decode())
    plans.show_steps(Plan(tuple(conflicts)), Console(stderr=True, soft_wrap=True, highlight=False))
    click.secho(
        f"amqptasks: nothing was done: {counted(len(conflicts), 'object exists', 'objects exist')} with other"
        " properties, which cannot be changed in place",
        fg="red",
        err=True,
    )
    raise click.exceptions.Exit(CONFLICT)


def _apply(found: Planned, session: AmqpSession, api: Management, quiet: bool) -> list[Change]:
    from rich.console import Console

    from amqptasks.cli.support import plans
    from amqptasks.topology.plan.apply import apply

    total = len(found.plan.changes) + len(found.plan.left)
    with _progress("declaring", total, quiet) as advance:
        changes = apply(found.plan, found.observed, session, api, os.environ, lambda _: advance())
    plans.show_warnings(found.plan, Console(stderr=True, soft_wrap=True, highlight=False))
    return changes


def _confirmed(found: Planned) -> bool:
    """Whether what is to be deleted may go. No answer at all (Ctrl-C, the end of the input) is click's to abort."""
    from rich.console import Console

    from amqptasks.cli.support import plans
    from amqptasks.topology.broker.steps import Plan

    steps = found.plan.prunable
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    plans.show_steps(Plan(tuple(steps)), console, everything=True)
    return click.confirm(f"Delete these {len(steps)} from {found.heading}?", err=True)


def _prune(found: Planned, session: AmqpSession, api: Management, force: Sequence[str], quiet: bool) -> list[Change]:
    from amqptasks.topology.plan.prune import prune

    with _progress("pruning", len(found.plan.prunable), quiet) as advance:
        return prune(found.plan, found.observed, session, api, force, lambda _: advance())


@contextmanager
def _amqp(urls: Sequence[str], tls: object) -> Iterator[AmqpSession]:
    """Not connected yet: its virtual host may have to be made first."""
    from amqptasks.amqp.blocking.session import Session as AmqpSession

    with AmqpSession(urls, ssl=tls) as session:  # type: ignore[arg-type]
        yield session


@contextmanager
def _progress(what: str, total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar that is gone when all is done: the table is what stays."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _print_json(changes: Sequence[Change]) -> None:
    import orjson

    rows: list[dict[str, str]] = []
    for change in changes:
        row: dict[str, str] = {"kind": change.kind, "name": change.name, "state": change.state}
        rows.append(row | ({"reason": change.reason} if change.reason else {}))
    click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())


def _print_table(changes: Sequence[Change]) -> None:
    """The topology's own objects one by one; the ladder, which is always alike, as a line."""
    own = [change for change in changes if not _of_ladder(change)]
    ladder = [change for change in changes if _of_ladder(change)]
    rows: list[tuple[str, str, str]] = []
    styles: list[str | None] = []
    for state, word in WORDS.items():
        alike = [change for change in own if change.state == state]
        if len(alike) > LISTED:
            rows.append(("", counted(len(alike), "object"), word))
            styles.append(None)
            continue
        for change in alike:
            rows.append((change.kind, change.name, f"{word}: {change.reason}" if change.reason else word))
            styles.append("dim" if change.state in ("present", "bound") else None)
    if ladder:
        objects = f"amqptasks.delay.*, amqptasks.due.* ({counted(len(ladder), 'object')})"
        rows.append(("delays", objects, _counted(ladder)))
    if rows:
        print_table(("", "name", ""), rows, styles=styles)
    click.echo(f"{counted(len(changes), 'object')}: {_counted(changes)}" if changes else "Nothing to declare.")


def _of_ladder(change: Change) -> bool:
    from amqptasks.topology.plan.drift import DELAYS

    return change.name.startswith(DELAYS)


def _counted(changes: Sequence[Change]) -> str:
    counts = {word: sum(change.state == state for change in changes) for state, word in WORDS.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
