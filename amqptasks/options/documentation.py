"""The page docs/options.md, made of the descriptions of the options."""

from __future__ import annotations

from collections.abc import Mapping

from amqptasks.options.catalogue import APP, CALL, RETRY, TASK, Option
from amqptasks.options.command_line import COMMAND_LINE
from amqptasks.options.environment import ENVIRONMENT
from amqptasks.options.workers import WORKER

_HEAD = """# Options

This page is made of the descriptions that check the options: run `python -m amqptasks.options > docs/options.md`
after a change. An option that does not exist, and a value that an option does not take, raise `ConfigurationError`
where they are given. A length of time is a number of seconds or a `timedelta`. A moment is a `datetime` or a text in
ISO 8601, in UTC where it names no zone. A truth value is no number, and neither infinity nor NaN is one.
"""

_PARTS: tuple[tuple[str, str, Mapping[str, Option]], ...] = (
    ("Tasks", "Of `@app.task(...)`, of attributes of a class of tasks, and of `App(task_defaults=)`.", TASK),
    (
        "Calls",
        "Of `apply_async`, `send_task`, `publish_many`, `apply` and of signatures. `amqptasks call` checks the same.",
        CALL,
    ),
    ("Retries", "Of `self.retry(...)` in a task that runs.", RETRY),
    ("Apps", "Of `App(...)`.", APP),
    (
        "Workers",
        "Of `amqptasks worker`, with dashes: `--stop-timeout`. `App.worker()` checks the same, and a topology file its"
        " `prefetch`.",
        WORKER,
    ),
    ("Workers, on the command line alone", "Of `amqptasks worker`, with dashes: `--pool-for`.", COMMAND_LINE),
    ("Environment", "Variables of the environment.", ENVIRONMENT),
)


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(_part(*part) for part in _PARTS)])


def _part(title: str, about: str, options: Mapping[str, Option]) -> str:
    rows = [f"| `{name}` | {_value(option)} | {option.default} | {option.line} |" for name, option in options.items()]
    traps = [f"- `{name}`: {option.trap}." for name, option in options.items() if option.trap is not None]
    table = "\n".join(["| option | value | default | meaning |", "|---|---|---|---|", *rows])
    watch = "\n\nWatch out:\n\n" + "\n".join(traps) if traps else ""
    return f"## {title}\n\n{about}\n\n{table}{watch}\n"


def _value(option: Option) -> str:
    return option.kind.wanted.replace("|", "\\|")
