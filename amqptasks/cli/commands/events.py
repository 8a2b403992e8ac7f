"""`amqptasks events`: what happens to tasks and workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from amqptasks.cli.support import asking, parameters
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.events.event import Event
    from amqptasks.events.reader import Verifier
    from amqptasks.transport import Link

HELP = """\b
Workers send events with `worker -E`, or once told so: `amqptasks control enable_events`; callers send `task-sent` with
App(events=True). They are kept for a week.

\b
Examples:
  amqptasks events                                  follow live, until Ctrl-C
  amqptasks events --since 1h                       the last hour, and no more
  amqptasks events --since 1h --follow              the last hour, and then live
  amqptasks events --since 2d --task 0199a1b2-...   the life of one task
  amqptasks events --type 'task-failed' --json | jq .exception

\b
Exit status: 0 the past is told, --limit is reached, or Ctrl-C; 2 wrong use; 3 no broker, or no
             event was ever sent to it.
"""

#: Characters of an exception or result in a line for people.
SHOWN = 100


@click.command(epilog=HELP)
@click.option("--follow", is_flag=True, help="Go on as they happen.  [default without --since]")
@click.option(
    "--since", metavar="WHEN", type=parameters.seconds_since_1970, help="2h (ago), or 2026-05-01T12:00 (UTC)."
)
@click.option("--type", "types", metavar="GLOB", multiple=True, help="'task-failed', 'worker-*'; several if repeated.")
@click.option("--task", metavar="ID|GLOB", help="Of this task: its id, or a pattern of names.")
@click.option("--limit", type=click.IntRange(1), help="End after so many.")
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_target
def command(
    target: Target,
    follow: bool,
    since: float | None,
    types: tuple[str, ...],
    task: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Follow what happens to tasks and workers, live or from the past."""
    from amqptasks.events.reader import Verifier

    app = asking.app_of(target)
    with app.session() as session:
        _ = session.capabilities  # a broker that is not there is told at once; one that goes later is waited for
    verifier = Verifier(app.codec.signing)
    link = app.caller.new_link()
    link.start()
    shown = 0
    try:
        for event in _events(link, since, follow, verifier):
            if not _is_wanted(event, types, task):
                continue
            click.echo(json.dumps(event) if as_json else printable(_line(event)))
            shown += 1
            if limit is not None and shown >= limit:
                break
    except KeyboardInterrupt:
        pass  # how following ends
    finally:
        link.stop(5.0)
        if verifier.skipped:
            told = f"amqptasks: left out, as not signed with the keys of this app: {verifier.skipped}"
            click.secho(told, fg="red", err=True)


def _events(link: Link, since: float | None, follow: bool, verifier: Verifier) -> Iterator[Event]:
    from amqptasks.events import reader

    # Waiting for ever in a queue hears no Ctrl-C on every system; half a second does.
    poll = 0.5
    found = (
        reader.live(link, poll, verifier)
        if since is None
        else reader.past(link, since, follow=follow, poll=poll, verifier=verifier)
    )
    return (event for event in found if event is not None)


def _is_wanted(event: Event, types: tuple[str, ...], task: str | None) -> bool:
    if types and not any(fnmatchcase(event["type"], pattern) for pattern in types):
        return False
    return task is None or event.get("uuid") == task or fnmatchcase(str(event.get("name")), task)


def _line(event: Event) -> str:
    moment = datetime.fromtimestamp(event.get("timestamp", time.time())).astimezone()
    words = [moment.strftime("%H:%M:%S.%f")[:-3], f"{event['type']:<16}", str(event.get("hostname", ""))]
    words += [str(event[name]) for name in ("name", "uuid") if event.get(name)]
    if event.get("runtime"):
        words.append(f"in {event['runtime']:.3f} s")
    for name in ("exception", "reason", "result"):
        if event.get(name):
            words.append(_short(str(event[name])))
            break
    if event["type"].startswith("worker-"):
        words.append(f"{event.get('active', 0)} running, {event.get('processed', 0)} done")
    return " ".join(words)


def _short(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
