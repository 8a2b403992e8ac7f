"""The JSON Schema and the loader say the same of a file: in both directions, for each key, and for whole files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from amqptasks.errors import TopologyError
from amqptasks.topology.model.file import FilePart
from amqptasks.topology.model.part import Part
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.read.schema import schema
from tests.harness.files import FILES

SCHEMA = schema()
WHOLE = Draft202012Validator(SCHEMA)

#: Values that some key takes, and beside each one those that are nearly it.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 5, 15, 16, 255, 256, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 0.5, 1.0),
    *("", " ", "a", "5s", " 5s ", "5 s", "1h 30m", "250ms", "0s", "14d", "7D", "1Y", "3650d", "5", "5x", "-5s", "1e3s"),
    *("10%", "0%", "100%", "101%", "12.5%", "10", "%", "direct", "topic", "x-consistent-hash", "x-own", "quorum"),
    *("classic", "stream", "all", "queues", "exchanges", "drop-head", "reject-publish", "at-least-once", "balanced"),
    *("client-local", "lazy", "default", "exponential", "worker", "publisher", "viewer", "message_id", "failed", "^a$"),
    *("a\nb", "no", "x" * 300),
    *([], ["a"], [""], [1], ["5s"], ["5s", "1h"], [None], [[]], [{}], ["a", "a"]),
    *({}, {"a": None}, {"a": 1}, {"a": {}}, {"a": {"b": [1, None, "x"]}}, {"": 1}, {"queue": "a"}, {"max": "1h"}),
    *({"name": "a"}, {"delays": ["5s"]}, {"exchange": "a"}, {"a": {"exchange": "a"}}, {"queue": {}}, {"write": "^a"}),
    *("SHOP_PASSWORD", {"max_length": 5}),
    *({"a": 2**64}, {"x": 0.5}, {"ttl": "5s"}, {"max_queues": 5}, {"pattern": "^a$", "definition": {"max_length": 5}}),
)


def _parts(part: type[Part]) -> list[type[Part]]:
    return [one for child in part.__subclasses__() for one in (child, *_parts(child))]


KEYS = sorted(
    (part.__name__, key)
    for part in _parts(Part)
    for key in part.model_fields
    if part is FilePart or part.__name__ in SCHEMA["$defs"]
)


def _properties(part: str) -> dict[str, Any]:
    found: dict[str, Any] = (SCHEMA if part == "FilePart" else SCHEMA["$defs"][part])["properties"]
    return found


def _loader_takes(part: str, key: str, value: Any) -> bool:
    """The value alone: what goes together is said of whole files only."""
    model = next(one for one in _parts(Part) if one.__name__ == part)
    adapter: TypeAdapter[Any] = TypeAdapter(model.model_fields[key].rebuild_annotation())
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _schema_takes(part: str, key: str, value: Any) -> bool:
    return Draft202012Validator({**_properties(part)[key], "$defs": SCHEMA["$defs"]}).is_valid(value)


def _holds_parts(part: str, key: str) -> bool:
    """Whether keys are below it that go together, which the schema does not know."""
    return "$ref" in json.dumps(_properties(part)[key])


def _is_whole(value: Any) -> bool:
    """1.0 is an integer to JSON Schema, whatever it says, and a fraction to YAML."""
    return isinstance(value, float) and value.is_integer()


@pytest.mark.parametrize(("part", "key"), KEYS, ids=lambda one: one)
def test_schema_and_loader_take_the_same_values_of_a_key(part: str, key: str) -> None:
    values = [value for value in VALUES if not _is_whole(value) and not (key == "version" and value is True)]
    said = {json.dumps(value): (_loader_takes(part, key, value), _schema_takes(part, key, value)) for value in values}
    lenient = _holds_parts(part, key)
    differ = {
        value: (loader, here) for value, (loader, here) in said.items() if loader > here or loader < here > lenient
    }
    assert not differ, "value: (loader, schema)"
    assert any(loader for loader, _ in said.values()), "no value of the list fits: add one"
    assert not all(here for _, here in said.values())


def test_what_the_loader_takes_fits_the_schema() -> None:
    """Whole files; what the schema refuses, the loader refuses as well."""
    taken = refused = 0

    @settings(max_examples=150, derandomize=True, database=None)
    @given(FILES, st.sampled_from(KEYS), st.sampled_from(VALUES))
    def agreed(file: dict[str, Any], place: tuple[str, str], value: Any) -> None:
        nonlocal taken, refused
        part, key = place
        if part == "FilePart":
            file = {**file, key: value}
        elif part == "QueuePart":
            file = {**file, "queues": {**file["queues"], "more": {key: value}}}
        fits = WHOLE.is_valid(file)
        try:
            from_mapping(file, environment={})
        except TopologyError:
            refused += not fits
        else:
            taken += 1
            assert fits, [error.message for error in WHOLE.iter_errors(file)]

    agreed()
    assert taken > 30
    assert refused > 5
