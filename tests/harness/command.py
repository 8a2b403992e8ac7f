"""`amqptasks ARGUMENTS` as a shell runs it, to its end; or only understood, and not run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from amqptasks.cli import main
from tests.harness.worker_process import REPOSITORY


def run_command(
    *arguments: str, url: str | None, folder: Path, timeout: float = 60, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """In `folder`, with `url` as the environment's broker and `given` as its input."""
    surroundings = {name: value for name, value in os.environ.items() if name != "AMQPTASKS_BROKER_URL"}
    surroundings |= {"PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(folder)}
    if url is not None:
        surroundings["AMQPTASKS_BROKER_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "amqptasks", *arguments],
        cwd=folder,
        env=surroundings,
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


#: What may follow on a command line that is shown: words about it, or more of the shell.
_BEHIND = re.compile(r"  .*| (\||\|\||>|>>) .*")


def refuse_what_does_not_exist(line: str) -> None:
    """Raise click's error for a line `amqptasks ARGUMENTS` whose commands or options do not exist, or that lacks
    arguments."""
    command: click.Command = main
    arguments = shlex.split(_BEHIND.sub("", line))[1:]
    parent = None
    with ExitStack() as stack:
        while True:
            context = command.make_context(command.name or "amqptasks", arguments, parent)
            stack.callback(context.close)  # what a `--broker` put into the environment goes with it
            if not isinstance(command, click.Group):
                return
            _, found, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command, parent = found, context
