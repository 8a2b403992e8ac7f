"""The source is named by the words of AMQP, RabbitMQ and Celery. A reader can look over each file and folder."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCE = sorted((REPOSITORY / "amqptasks").rglob("*.py"))

#: Names that nobody would search for, and what the thing is called instead. See the glossary in CONTRIBUTING.md.
INSTEAD = {
    "Steps": "Executor",
    "intake": "dispatcher",
    "Intake": "Dispatcher",
    "consumption": "consumers",
    "Consumption": "Consumers",
    "endings": "completions",
    "Endings": "Completions",
    "departure": "shutdown",
    "Departure": "Shutdown",
    "news": "notifications",
    "Patience": "ConsumerTimeout",
    "Gate": "RevocationBarrier",
    "brood": "children",
    "Brood": "Children",
    "forker": "fork_server",
    "Forker": "ForkServer",
    "upbringing": "child_config",
    "Upbringing": "ChildConfig",
    "bear": "start_child",
    "stillborn": "failed_starts",
    "Bell": "Wakeup",
    "outbox": "confirmed_publisher",
    "Outbox": "ConfirmedPublisher",
    "Conversation": "SessionChannel",
    "Letter": "DeadLetter",
    "mend": "fix",
    "Seen": "Snapshot",
}

#: `tasks.hooks.Steps` is an iterator over calls: steps in the common sense.
STEPS = REPOSITORY / "amqptasks/tasks/hooks.py"

#: Entries of the package, files of a folder beside its own folders, and lines of a file.
MOST_ENTRIES, MOST_FILES, MOST_LINES = 30, 20, 400


def names(tree: ast.AST) -> Iterator[str]:
    """All that a file names itself: classes, functions, arguments, variables, attributes, and what it imports."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield from (*name.split("."), other or "")


def test_the_source_uses_the_words_of_the_field() -> None:
    wrong: dict[str, dict[str, str]] = {}
    for file in SOURCE:
        text = file.read_text()
        found = {name.strip("_") for name in names(ast.parse(text))} | {file.stem}
        if file == STEPS or "hooks.Steps" in text:
            found.discard("Steps")
        if found & INSTEAD.keys():
            wrong[str(file.relative_to(REPOSITORY))] = {name: INSTEAD[name] for name in found & INSTEAD.keys()}
    assert wrong == {}


def test_no_folder_and_no_file_is_larger_than_one_can_look_over() -> None:
    package = REPOSITORY / "amqptasks"
    entries = [entry for entry in package.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES
    folders = Counter(file.parent for file in SOURCE)
    assert {str(folder): count for folder, count in folders.items() if count > MOST_FILES and folder != package} == {}
    long = {str(file): count for file in SOURCE if (count := len(file.read_text().splitlines())) > MOST_LINES}
    assert long == {}
