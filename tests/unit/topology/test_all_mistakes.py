"""All mistakes of a file are told at once, and variables, old words and untyped values are read as people mean them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amqptasks.errors import TopologyError
from amqptasks.topology.advice.lints import advise
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.topology.topology import Topology
from amqptasks.transport.capabilities import from_server_properties


def loaded(folder: Path, text: str, **environment: str) -> Topology:
    file = folder / "f.yaml"
    file.write_text(f"version: 1\n{text}")
    return load(file, environment=environment)


def lines(folder: Path, text: str, **environment: str) -> list[int | None]:
    with pytest.raises(TopologyError) as caught:
        loaded(folder, text, **environment)
    assert all(str(error) in str(caught.value) for error in caught.value.errors)
    return [error.line for error in caught.value.errors]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("queues:\n  a: {max_lenght: 5}\n  b: {typ: classic}\n  c: {max_length: many}\n", [3, 4, 5]),
        ("queues:\n  a: {max_length: ${GONE}}\n  b: {typ: classic}\n".replace("${GONE}", '"${GONE}"'), [3, 4]),
        ("queues:\n  a: {bindings: [{exchange: x}]}\n  b: {max_lenght: 5}\nroutes:\n  t: {queue: c}\n", [3, 4, 6]),
        ("queues:\n  a:\n  no: {}\n  a: {}\n  b: {template: t}\n", [4, 5, 6]),
        ("exchanges:\n  e: {typ: topic}\nqueues:\n  a: {bindings: [{exchange: e, routing_key: k, wait: 1}]}\n", [3, 5]),
        ("queues:\n  a: {dead_letter: {queue: b}}\n  b: {dead_letter: {queue: a}}\n  c: {delay: 5s}\n", [3, 5]),
    ],
    ids=["keys-and-types", "a-variable", "references", "names-and-templates", "in-a-list", "a-circle-once"],
)
def test_load_tells_all_mistakes_of_a_file_at_once(text: str, told: list[int], tmp_path: Path):
    assert lines(tmp_path, text) == told


def test_load_tells_the_mistakes_of_two_files(tmp_path: Path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nqueues:\n  a: {typ: x}\n")
    two.write_text("version: 1\nqueues:\n  b: {max_lenght: 5}\n  a:\n")
    with pytest.raises(TopologyError) as caught:
        load(one, two)
    assert [(Path(str(error.file)).name, error.line) for error in caught.value.errors] == [
        ("one.yaml", 3),
        ("two.yaml", 3),
        ("two.yaml", 4),
    ]


def test_load_stops_at_a_hundred_mistakes(tmp_path: Path):
    text = "queues:\n" + "".join(f"  q{number}: {{max_lenght: 5}}\n" for number in range(250))
    with pytest.raises(TopologyError) as caught:
        loaded(tmp_path, text)
    assert len(caught.value.errors) == 101
    assert "150 more mistakes" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["max_length: ${X}", "max_priority: ${X}", "message_ttl: ${X}", "type: ${X}", "dead_letter: {queue: ${X}x}"],
)
def test_a_variable_that_is_set_but_empty_is_an_error_that_names_it(text: str, tmp_path: Path):
    text = text.replace("{queue: ${X}x}", "\n      queue: ${X}x")
    with pytest.raises(TopologyError, match="variable X is set, but empty") as caught:
        loaded(tmp_path, f"queues:\n  a:\n    {text}\n", X="")
    assert "${NAME:-}" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["max_length: ${X:-}", "max_length: ${Y:-}"])
def test_a_variable_may_be_empty_where_the_file_says_so(text: str, tmp_path: Path):
    assert loaded(tmp_path, f"queues:\n  a:\n    {text}\n", X="").queues["a"].max_length is None


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('{max_length: "${MAX}"}', "max_length", 1000),
        ('{max_length: "${NONE:-7}"}', "max_length", 7),
        ('{type: classic, single_active_consumer: "${YES}"}', "single_active_consumer", True),
        ('{delivery_limit: "${MAX}"}', "delivery_limit", 1000),
        ('{arguments: {x-mine: "${MAX}"}}', "arguments", {"x-mine": "1000"}),
    ],
)
def test_a_quoted_variable_is_read_as_its_value_where_no_text_is_wanted(
    text: str, key: str, value: object, tmp_path: Path
):
    topology = loaded(tmp_path, f"queues: {{a: {text}}}\n", MAX="1000", YES="true")
    assert getattr(topology.queues["a"], key) == value


def test_a_variable_of_a_mapping_is_read_as_its_value_too():
    topology = from_mapping({"version": 1, "queues": {"a": {"max_length": "${MAX}"}}}, {"MAX": "5"})
    assert topology.queues["a"].max_length == 5


@pytest.mark.parametrize("value", ['"1000"', '"${MAX} "', '"${MAX}x"', '"$${MAX}"'])
def test_a_quoted_number_that_is_no_variable_stays_an_error(value: str, tmp_path: Path):
    text = f"queues:\n  a: {{max_length: {value}}}\n"
    if value == '"${MAX} "':  # spaces around a variable are nobody's meaning
        assert loaded(tmp_path, text, MAX="5").queues["a"].max_length == 5
    else:
        assert lines(tmp_path, text, MAX="5") == [3]


WORDS = ["country: no", "zip: 0123", "at: 12:30", "flag: on", "n: 1_000", "hex: 0b11", "big: 1e3", "octal: 0o17"]


@pytest.mark.parametrize("word", WORDS)
def test_validate_warns_of_words_that_yaml_1_2_reads_otherwise(word: str, tmp_path: Path):
    text = f"exchanges: {{h: {{type: headers}}}}\nqueues:\n  a:\n    bindings:\n      - exchange: h\n        arguments:\n          {word}\n"  # noqa: E501
    topology = loaded(tmp_path, text)
    found = [one for one in advise(topology, from_server_properties({"version": "4.3.0"})) if one.rule == "old-yaml"]
    assert [one.where[-1] for one in found] == [word.partition(":")[0]]
    assert word.partition(": ")[2] in found[0].problem
    assert topology.old_words[found[0].where].line == 8


@pytest.mark.parametrize("word", ['country: "no"', "n: 1000", "flag: true", "f: 0.5", "t: text", "none: null"])
def test_validate_says_nothing_of_words_that_both_read_alike(word: str, tmp_path: Path):
    text = f"exchanges:\n  a:\n    arguments:\n      {word}\n    durable: yes\n"
    assert loaded(tmp_path, text).old_words == {}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("9223372036854775808", "more than 64 bits"),
        ("-9223372036854775809", "more than 64 bits"),
        (".nan", "is no number that AMQP"),
        (".inf", "is no number that AMQP"),
        ("!!binary aGk=", "binary data"),
        ("[1, {deep: .nan}]", "is no number that AMQP"),
    ],
)
@pytest.mark.parametrize("at", ["queue", "exchange", "binding", "policy"])
def test_load_refuses_arguments_that_amqp_cannot_carry(value: str, problem: str, at: str, tmp_path: Path):
    texts = {
        "queue": f"queues:\n  a:\n    arguments:\n      x-mine: {value}\n",
        "exchange": f"exchanges:\n  a:\n    arguments:\n      mine: {value}\n",
        "binding": f"exchanges: {{h: {{type: headers}}}}\nqueues:\n  a:\n    bindings: [{{exchange: h, arguments: {{k: {value}}}}}]\n",  # noqa: E501
        "policy": f"policies:\n  a:\n    pattern: x\n    definition: {{arguments: {{mine: {value}}}}}\n",
    }
    with pytest.raises(TopologyError, match=problem) as caught:
        loaded(tmp_path, texts[at])
    assert caught.value.line == 5


@pytest.mark.parametrize(
    "argument", [{"x": 0.5}, {"x": [1.25, {"y": -0.0}]}, {"x": None}, {"x": 2**63 - 1}, {"x": -(2**63)}]
)
def test_from_mapping_keeps_arguments_that_amqp_can_carry(argument: dict[str, Any]):
    topology = from_mapping({"version": 1, "queues": {"a": {"arguments": argument}}})
    assert topology.queues["a"].arguments == argument


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("exchanges: {t: {type: topic}}\nqueues:\n  a:\n    bindings:\n      - {exchange: t, routing_key: *.x}\n", "must be quoted"),  # noqa: E501
        ("exchanges: {t: {type: topic}}\nqueues:\n  a:\n    bindings:\n      - exchange: t\n        routing_key: #\n", 'quote "#"'),  # noqa: E501
        ("queues:\n  orders:\n  orders.dead:\n", "dead_letter: {queue: orders.dead}"),
        ("queues:\n  a: {delay: 10s}\n", "countdown"),
        ("queues:\n  a: {countdown: 10s}\n", "countdown"),
        ("queues:\n  a: {arguments: {x-max-lenght: @5}}\n", "must be quoted"),
    ],
)  # fmt: skip
def test_load_hints_at_the_commonest_mistakes(text: str, hint: str, tmp_path: Path):
    with pytest.raises(TopologyError) as caught:
        loaded(tmp_path, text)
    assert hint in str(caught.value)


def test_the_dead_letter_queue_that_the_hint_names_works(tmp_path: Path):
    topology = loaded(tmp_path, "queues:\n  orders: {dead_letter: {queue: orders.dead}}\n  orders.dead:\n")
    assert topology.queues["orders"].dead_letter == "orders.dead"


def test_merge_keys_that_multiply_are_refused_within_a_second(tmp_path: Path):
    levels = "".join(f"  a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 26))
    assert lines(tmp_path, f"templates:\n  a0: &a0 {{max_length: 5}}\n{levels}") != [None]
