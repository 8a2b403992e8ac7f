"""`amqptasks doctor`: is the broker fit for these tasks?"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from amqptasks import dial
from amqptasks.cli.failures import FAILED
from amqptasks.cli.management import find, management_option
from amqptasks.cli.target import Target, pass_target
from amqptasks.errors import ConfigurationError

if TYPE_CHECKING:
    from amqptasks.doctor.examination import Examination

HELP = """\b
With -A it also looks at what the app's topology wants: what is missing or different, queues that nobody consumes,
dead letters that wait. Nothing is changed.

\b
Examples:
  amqptasks doctor --broker amqp://guest:guest@localhost/
  amqptasks -A shop doctor
  amqptasks -A shop doctor --json | jq '.findings[] | select(.level == "wrong")'

\b
Exit status: 0 all is well, 1 something is wrong, 3 no broker, or it lets us not in.
"""


@click.command(epilog=HELP)
@management_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@pass_target
def command(target: Target, management_url: str | None, as_json: bool) -> None:
    """Say what the broker can do, what is wrong, and how to mend it."""
    from amqptasks.brokers.running import shown
    from amqptasks.doctor.examination import examine

    app = target.load_app() if target.app else None
    urls = target.broker_urls()
    if dial.is_memory(urls):
        raise ConfigurationError("memory:// lives within one process, and needs no doctor")
    if app is not None:
        urls = dial.within(urls, app.topology.vhost)
    session = dial.session(urls, app.tls if app is not None else None)
    try:
        found = examine(
            session,
            app.topology if app is not None else None,
            find(management_url, urls[0], app.tls if app is not None else None),
        )
    finally:
        session.close()
    where = ", ".join(map(shown, urls))
    click.echo(_json(found, where) if as_json else _words(found, where))
    if found.wrong:
        raise click.exceptions.Exit(FAILED)


def _json(found: Examination, where: str) -> str:
    return json.dumps(
        {
            "broker": where,
            "product": found.capabilities.product,
            "version": ".".join(map(str, found.capabilities.version)),
            "abilities": found.abilities,
            "objects": found.objects,
            "findings": [dataclasses.asdict(finding) for finding in found.findings],
        }
    )


def _words(found: Examination, where: str) -> str:
    version = ".".join(map(str, found.capabilities.version))
    widest = max(map(len, found.abilities))
    lines = [f"{found.capabilities.product} {version} at {where}", ""]
    lines += [f"  {need:<{widest}}  {how}" for need, how in found.abilities.items()]
    lines.append("")
    if found.objects:
        lines.append(f"Looked at {found.objects} exchanges and queues of the topology.")
    for finding in found.findings:
        lines += [f"{finding.level}: {finding.subject}: {finding.problem}", f"       {finding.mend}"]
    if not found.wrong:
        lines.append("Nothing is wrong.")
    return "\n".join(lines)
