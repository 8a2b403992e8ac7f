"""Topology files: a good one with some of it changed, and texts that are none."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from amqptasks.errors import ConfigurationError, TopologyError
from amqptasks.topology.advice.lints import advise
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.read.loader import load
from amqptasks.transport.capabilities import from_server_properties
from tests.fuzz import values
from tests.fuzz.target import CORPUS, Target
from tests.harness.files import FILES

RELEASES = tuple(from_server_properties({"version": version}) for version in ("3.10.8", "4.0.5", "4.3.0"))

ENVIRONMENT = {"N": "5", "EMPTY": "", "T": "5s", "TEXT": "a: b\n"}

_PIECES = (
    *(
        "version: 1",
        "queues:",
        "exchanges:",
        "  a:",
        "  a: {}",
        "bindings: [{exchange: a}]",
        "- ",
        "? ",
        "!!binary aGk=",
    ),
    *(
        "!!python/object:os.system x",
        "&a",
        "*a",
        "<<: *a",
        "${N}",
        '"${T:-5s}"',
        "${EMPTY}",
        "${",
        "${TEXT}",
        "5s",
        "1e3",
    ),
    *(
        "no",
        "~",
        ".inf",
        "[",
        "]",
        "{",
        "}",
        ":",
        "#",
        "\t",
        "\u2028",
        "\x85",
        "\x00",
        "\ufeff",
        "---",
        "...",
        "'",
        '"',
    ),
    *(
        "|",
        ">",
        "0x" + "f" * 40,
        "9" * 5000,
        "a" * 300,
        "retry: {native: true}",
        "dead_letter: {queue: a}",
        "type: stream",
    ),
    *("template: t", "templates: {t: {template: t}}", "for_each: [a, b]", "{each}", "exact: true", "override: true"),
)


@cache
def _good() -> tuple[str, ...]:
    """Files of the manual and the repository: what people begin with."""
    root = CORPUS.parents[2]
    ready = [file.read_text(encoding="utf-8") for file in sorted((root / "topology").glob("*.yaml"))]
    return tuple(text for text in ready if len(text) < 8000)


@st.composite
def _changed(draw: st.DrawFn) -> str:
    """Some lines or characters of a good file left out, doubled, or replaced."""
    lines = draw(st.sampled_from(_good())).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        column = draw(st.integers(0, len(line)))
        piece = draw(st.sampled_from(_PIECES))
        lines[place : place + 1] = draw(
            st.sampled_from(
                (
                    [],
                    [line, line],
                    [line[:column] + piece + line[column:]],
                    [f"{line.partition(':')[0]}: {piece}"],
                    ["  " + line],
                    [line.strip()],
                    [line[:column]],
                )
            )
        )
        lines = lines or [""]
    return "\n".join(lines) + "\n"


_KEYS = st.sampled_from(
    ("version", "queues", "exchanges", "vhost", "defaults", "templates", "routes", "policies", "users", "delays", "a")
)
_WHOLE = st.one_of(
    FILES,
    st.dictionaries(
        _KEYS, st.one_of(values.JSON, st.dictionaries(values.TEXTS, values.JSON, max_size=2)), max_size=4
    ).map(lambda drawn: {"version": 1, **drawn}),
)


def _as_yaml(value: Any) -> str:
    try:
        return yaml.safe_dump(value, allow_unicode=True)
    except (RecursionError, ValueError):
        return json.dumps(value)


def check(example: dict[str, Any]) -> None:
    given = example["text"]
    with tempfile.TemporaryDirectory(prefix="amqptasks-fuzz-") as folder:
        file = Path(folder, "topology.yaml")
        file.write_bytes(given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass"))
        try:
            topology = load(file, environment=ENVIRONMENT)
        except TopologyError as error:
            if error.file != str(file):
                raise
            return
    for capabilities in RELEASES:
        try:
            list(advise(topology, capabilities))
            expand(topology, capabilities)
            ladder_objects(topology, capabilities)
        except (TopologyError, ConfigurationError):
            continue  # this release cannot have it, which plan and declare say in words


TARGET = Target(
    "loading",
    st.fixed_dictionaries(
        {
            "text": st.one_of(
                _changed(),
                _changed(),
                _WHOLE.map(_as_yaml),
                st.lists(st.sampled_from(_PIECES), max_size=12).map("\n".join),
                st.binary(max_size=60),
                values.TEXTS,
            )
        }
    ),
    check,
    changed=("text",),
)
