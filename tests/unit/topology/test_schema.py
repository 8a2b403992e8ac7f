"""The JSON Schema says of every good file that it is one, and knows every key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from amqptasks.cli.commands.topology.schema import command
from amqptasks.topology.read.schema import schema, text

ROOT = Path(__file__).parents[3]
READY = sorted((ROOT / "topology").glob("*.yaml"))
MANUAL = (ROOT / "docs" / "topology.md").read_text(encoding="utf-8")
WRONG = Path(__file__).parent / "wrong"

VALIDATOR = Draft202012Validator(schema())


def _problems(content: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(content))]


def test_the_committed_schema_is_in_step_and_is_a_schema():
    assert text() == (ROOT / "topology" / "schema.json").read_text(encoding="utf-8"), (
        "run: amqptasks topology schema > topology/schema.json"
    )
    Draft202012Validator.check_schema(schema())


def test_the_command_prints_it():
    done = CliRunner().invoke(command)
    assert (done.exit_code, json.loads(done.output)) == (0, schema())


@pytest.mark.parametrize("file", READY, ids=lambda file: file.stem)
def test_a_ready_file_fits_and_tells_editors_where_the_schema_is(file: Path):
    content = file.read_text(encoding="utf-8")
    assert _problems(content) == []
    assert content.splitlines()[0] == "# yaml-language-server: $schema=schema.json"


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL))
def test_an_example_of_the_manual_fits(example: str):
    assert _problems(example) == []


def test_a_variable_may_stand_in_place_of_any_value():
    assert _problems("version: 1\nqueues:\n  a: {max_length: '${N}', message_ttl: '${T:-5s}', durable: '${D}'}\n") == []


@pytest.mark.parametrize(
    "name",
    [
        "a-delay-that-is-no-duration",
        "a-filter-too-small",
        "a-fraction-for-a-number",
        "a-jitter-that-is-no-percentage",
        "a-key-with-a-hyphen",
        "a-role-that-is-none",
        "a-policy-without-a-pattern",
        "an-unknown-key-of-a-queue",
        "an-unknown-queue-type",
        "an-unknown-section",
        "queues-as-a-list",
    ],
)
def test_an_editor_sees_what_is_wrong_with_one_value(name: str):
    assert _problems((WRONG / f"{name}.yaml").read_text(encoding="utf-8")) != []


def test_every_key_says_what_it_is_for():
    silent = [
        f"{part}.{key}"
        for part, definition in schema()["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if not value.get("description")
    ]
    assert silent == []
