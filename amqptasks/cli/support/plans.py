"""A plan for eyes and for programs; `plan` and `declare` print it alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from amqptasks.cli.support import decisions
from amqptasks.topology.plan.drift import DELAYS
from amqptasks.transport.entities import Exchange, Queue
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from amqptasks.cli.support.wanted import Planned
    from amqptasks.topology.broker.steps import Action, Difference, Plan, Step

#: The sign and colour of each action; colours are lost where the output is no terminal, the signs are not.
SIGNS: dict[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "remove": ("x", "yellow"),
    "conflict": ("!", "red"),
    "drift": ("-", "magenta"),
    "leave": ("=", "dim"),
}

#: What the last line calls them.
COUNTED: dict[Action, str] = {
    "create": "to create",
    "change": "to change in place",
    "remove": "to remove",
    "conflict": "that cannot be changed in place",
    "drift": "on the broker but not in the file",
    "leave": "as they should be",
}

#: As many steps of one kind and action are listed one by one, unless all are asked for.
LISTED = 40


def show(planned: Planned, where: str, everything: bool = False, prune: bool = False) -> None:
    """Print it to standard output; with `prune` as what `declare --prune` would do."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    _line(console, f"{planned.heading} at {where}")
    console.print()
    show_steps(planned.plan, console, everything)
    show_warnings(planned.plan, console)
    told = planned.decisions if everything else planned.notable
    if told:
        _line(console, "What the file's words become on this broker:")
        decisions.show(told, console)
    elif planned.decisions:
        _line(console, "What the file's words became on this broker, and why: see --all", "dim")
    if everything and planned.plan.clients_own:
        _line(console, f"Clients' own, left alone: {', '.join(planned.plan.clients_own)}", "dim")
    _line(console, summary(planned.plan, prune))


def show_steps(plan: Plan, console: Console, everything: bool = False) -> None:
    """One step a line, and what differs below it."""
    for group in _grouped(plan, everything):
        shown = group if everything or len(group) <= LISTED else group[:LISTED]
        for step in shown:
            _show_step(step, console)
        if len(shown) < len(group):
            sign, style = SIGNS[group[0].action]
            _line(console, f"  {sign} {len(group) - len(shown)} more of kind {group[0].kind}: see --all", style)


def summary(plan: Plan, prune: bool = False) -> str:
    """With `prune` what is on the broker but not in the file is something to do."""
    counts = {action: sum(step.action == action for step in plan.steps) for action in COUNTED}
    text = ", ".join(f"{counts[action]} {words}" for action, words in COUNTED.items() if counts[action])
    if not plan.empty or (prune and plan.prunable):
        return f"{text}."
    return f"Nothing to do: {text}." if text else "Nothing to do."


def as_json(planned: Planned, where: str, everything: bool = False) -> str:
    """`leave` steps only where everything is asked for; a drifted object is shown as it is on the broker."""
    import orjson

    plan = planned.plan
    found = {
        "broker": where,
        "version": ".".join(map(str, planned.observed.capabilities.version)),
        "vhost": planned.observed.vhost,
        "empty": plan.empty,
        "summary": {action: sum(step.action == action for step in plan.steps) for action in COUNTED},
        "steps": [as_row(step) for step in plan.steps if everything or step.action != "leave"],
        "warnings": [
            {"subject": warning.subject, "problem": warning.problem, "mend": warning.fix} for warning in plan.warnings
        ],
        "decisions": decisions.as_rows(planned.decisions),
        "clients_own": list(plan.clients_own),
    }
    return orjson.dumps(found, option=orjson.OPT_INDENT_2, default=str).decode()


def as_row(step: Step) -> dict[str, object]:
    return {
        "kind": step.kind,
        "name": step.name,
        "action": step.action,
        "differences": [
            {"key": difference.key, "wanted": difference.wanted, "current": difference.current}
            for difference in step.differences
        ],
        "reason": step.reason,
        "ways_out": list(step.ways_out),
    }


def _grouped(plan: Plan, everything: bool) -> Iterable[Sequence[Step]]:
    """Steps of one kind and action together, in the order of the plan; of the delays one group, which is a line."""
    groups: dict[tuple[str, str], list[Step]] = {}
    delays: dict[str, list[Step]] = {}
    for step in plan.steps:
        if step.action == "leave" and not everything and step.reason is None:
            continue
        if step.action in ("create", "leave") and not everything and step.name.startswith(DELAYS):
            delays.setdefault(step.action, []).append(step)
        else:
            groups.setdefault((step.action, step.kind), []).append(step)
    yield from groups.values()
    for steps in delays.values():
        yield [_folded(steps)]


def _folded(steps: Sequence[Step]) -> Step:
    return replace(
        steps[0], entity=None, name=f"and {len(steps):,} more for delays: amqptasks.delay.*, amqptasks.due.*"
    )


def _show_step(step: Step, console: Console) -> None:
    sign, style = SIGNS[step.action]
    kind = f"{step.kind} " if step.entity is not None else ""
    said = ", ".join(part for part in (_properties(step), step.reason) if part)
    _line(console, f"  {sign} {kind}{step.name}{f'  ({said})' if said else ''}", style)
    for difference in step.differences:
        _line(console, f"      {_told(difference)}", "dim" if step.action == "leave" else style)
    for number, way in enumerate(step.ways_out, start=1):
        _line(console, f"      {number}. {way}", "dim")


def _properties(step: Step) -> str:
    """What a thing that is to be created will be."""
    entity = step.entity
    if step.action != "create" or not isinstance(entity, Exchange | Queue):
        return ""
    arguments = dict(entity.arguments)
    kind = entity.type if isinstance(entity, Exchange) else arguments.pop("x-queue-type", "")
    return ", ".join([str(kind), *(f"{key} {_value(value)}" for key, value in arguments.items())])


def _told(difference: Difference) -> str:
    return f"{difference.key}: {_value(difference.current)} on the broker, {_value(difference.wanted)} in the file"


def _value(value: object) -> str:
    from amqptasks.topology.broker.identity import spelled

    return "nothing" if value is None else value if isinstance(value, str) and value else spelled(value) or "{}"


def show_warnings(plan: Plan, console: Console) -> None:
    for warning in plan.warnings:
        _line(console, f"warning: {warning.subject}: {warning.problem}", "yellow")
        _line(console, f"         {warning.fix}", "dim")


def _line(console: Console, text: str, style: str = "") -> None:
    """Names may hold [ ], which is no markup here, and line breaks and control characters, which are escaped."""
    from rich.text import Text

    console.print(Text(printable(text), style=style))
