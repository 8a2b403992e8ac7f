"""`amqptasks doctor`: is the broker fit for these tasks?"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from amqptasks import dial
from amqptasks.cli.support.failures import FAILED
from amqptasks.cli.support.management import Nowhere, find, management_option
from amqptasks.cli.support.parameters import duration
from amqptasks.cli.support.tables import sentences, width
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import ConfigurationError
from amqptasks.untrusted.numbers import counted
from amqptasks.untrusted.printable import printable_lines

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.doctor.examination import Examination
    from amqptasks.doctor.finding import Finding
    from amqptasks.topology.ask.time_limits import TimeLimit

HELP = """\b
With -A it also looks at what the app's topology wants: what is missing or different, and whether its tasks may run
longer than the broker waits for them. What only the management API tells is left out without it, and named. Nothing is
changed.

\b
Checks, for --only and --without:
  {checks}

\b
Examples:
  amqptasks doctor --broker amqp://guest:guest@localhost/shop
  amqptasks -A shop doctor
  amqptasks doctor --only alarms --only nodes          for a probe
  amqptasks -A shop doctor --strict                    in CI: fails for what is only good to know, too
  amqptasks -A shop doctor --json | jq -r '.findings[] | select(.level == "wrong") | .mend'

\b
Exit status: 0 all is well, 1 something is wrong (with --strict: or good to know), 2 wrong use, 3 no broker, or it lets
us not in.
"""


class DoctorCommand(click.Command):
    """Names the checks where it is asked for help: they are known to code that need not be loaded before."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from amqptasks.doctor.check import CHECKS

        names = [check.name for check in CHECKS]
        half = len(names) // 2
        self.epilog = HELP.format(checks="\n  ".join((", ".join(names[:half]) + ",", ", ".join(names[half:]))))
        super().format_epilog(ctx, formatter)


def _known(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG001
    from amqptasks.doctor.check import CHECKS
    from amqptasks.topology.topology import did_you_mean

    known = tuple(check.name for check in CHECKS)
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no check {name!r}: {did_you_mean(name, known, ', '.join(known))}", ctx)
    return names


@click.command(cls=DoctorCommand)
@management_option
@click.option(
    "--only", multiple=True, metavar="CHECK", callback=_known, help="Only this check; may be given many times."
)
@click.option("--without", multiple=True, metavar="CHECK", callback=_known, help="Not this check; many times, too.")
@click.option(
    "--consumer-timeout",
    type=duration,
    metavar="DURATION",
    help="What rabbitmq.conf has as consumer_timeout (`2h`), which no API tells.  [default: RabbitMQ's own, 30m]",
)
@click.option("--strict", is_flag=True, help="Status 1 also for what is only good to know.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@pass_target
def command(
    target: Target,
    management_url: str | None,
    only: tuple[str, ...],
    without: tuple[str, ...],
    consumer_timeout: float | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Say what the broker can do, what is wrong, and how to mend it."""
    from amqptasks.amqp.address import parameters
    from amqptasks.dev.brokers.running import shown
    from amqptasks.doctor.check import chosen
    from amqptasks.doctor.examination import Patient, examine

    app = target.load_app() if target.app else None
    urls = target.broker_urls()
    if dial.is_memory(urls):
        raise ConfigurationError("memory:// lives within one process, and needs no doctor")
    vhost = app.topology.vhost if app is not None else None
    urls = dial.within(urls, vhost)
    session = dial.session(urls, target.tls)
    try:
        api = find(target, management_url, vhost)
        patient = Patient(
            session,
            str(parameters(urls[0]).virtual_host),
            None if isinstance(api, Nowhere) else api,
            app.topology if app is not None else None,
            target.app,
            {} if app is None else _time_limits(app),
            consumer_timeout,
            "; ".join(api.tried) if isinstance(api, Nowhere) else "",
        )
        found = examine(patient, chosen(only, without))
    finally:
        session.close()
    where = ", ".join(map(shown, urls))
    click.echo(_json(found, where) if as_json else printable_lines(_words(found, where), ""))
    if found.wrong or (strict and found.findings):
        raise click.exceptions.Exit(FAILED)


def _time_limits(app: App) -> dict[str, TimeLimit]:
    from amqptasks.topology.ask.time_limits import time_limits

    app.import_tasks()
    return time_limits(((name, task.options) for name, task in app.tasks.items()), app.router, app.topology)


def _json(found: Examination, where: str) -> str:
    return json.dumps(
        {
            "broker": where,
            "product": found.capabilities.product,
            "version": ".".join(map(str, found.capabilities.version)),
            "abilities": dict(found.abilities),
            "figures": dict(found.figures),
            "objects": found.objects,
            "findings": [_row(finding) for finding in found.findings],
            "left_out": dict(found.left_out),
        }
    )


def _words(found: Examination, where: str) -> str:
    version = ".".join(map(str, found.capabilities.version))
    lines = [f"{found.capabilities.product} {version} at {where}", ""]
    lines += [line for _, line in sentences([(f"  {need}", how) for need, how in found.abilities.items()], width())]
    lines.append("")
    if found.figures:
        lines.append(", ".join(counted(count, what.removesuffix("s")) for what, count in found.figures.items()) + ".")
    if found.objects:
        lines.append(
            f"Looked at {counted(found.objects, 'exchange or queue', 'exchanges and queues')} of the topology."
        )
    for finding in found.findings:
        lines += [f"{finding.level}: {finding.subject}: {finding.problem}", f"       {finding.fix}"]
    if found.left_out:
        lines.append(f"Not looked at, or not at everything: {', '.join(found.left_out)}.")
    if not found.wrong:
        lines.append("Nothing is wrong.")
    return click.unstyle("\n".join(lines))


def _row(finding: Finding) -> dict[str, str]:
    """A finding in JSON. Programs read its keys, so they stay as they are."""
    row = dataclasses.asdict(finding)
    return {"mend" if name == "fix" else name: value for name, value in row.items()}
