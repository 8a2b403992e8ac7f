"""`--help` of every command: how it is used, and what its exit status says."""

from __future__ import annotations

from collections.abc import Iterator

import click

from amqptasks.cli import main
from tests.harness.command import refuse_what_does_not_exist


def commands(
    command: click.Command = main, words: tuple[str, ...] = (), parent: click.Context | None = None
) -> Iterator[tuple[str, click.Context]]:
    """All of the tree: how each is called, without the program's name, and a context of it."""
    context = click.Context(command, parent, info_name=words[-1] if words else "amqptasks")
    yield " ".join(words), context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*words, name), context)


def examples(text: str) -> list[str]:
    """The command lines of a help's examples."""
    part = text.partition("Examples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in part.splitlines() if line.strip().startswith("amqptasks ")]


def test_every_command_has_examples_of_itself_and_says_what_its_exit_status_means() -> None:
    seen = []
    for name, context in commands():
        text = context.get_help()
        assert any(f" {name}" in line for line in examples(text)), f"{name}: no example"
        assert "Exit status:" in text, f"{name}: no exit status"
        if isinstance(context.command, click.Group):
            listed = {line.split()[0] for line in text.splitlines() if line.strip()}
            assert set(context.command.list_commands(context)) <= listed, f"{name}: not all its commands"
        seen.append(name)
    assert {"", "dead replay", "topology export", "inspect ping", "control pool_grow", "broker start"} <= set(seen)


def test_every_example_exists_with_its_options() -> None:
    for _, context in commands():
        for line in examples(context.get_help()):
            refuse_what_does_not_exist(line)
