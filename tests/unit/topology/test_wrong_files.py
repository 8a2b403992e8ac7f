"""Every wrong topology file is one error that names file, line, path, problem and mend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amqptasks.errors import TopologyError
from amqptasks.topology.read.loader import from_mapping, load

BASE = "version: 1\nexchanges:\n  tasks: {type: topic}\nqueues:\n  emails:\n"

#: A wrong file each, and beside it, in NAME.error, what is said of it: the whole message, for a message is part of the
#: product.
CORPUS = Path(__file__).parent / "wrong"


@pytest.mark.parametrize("name", sorted(file.stem for file in CORPUS.glob("*.yaml")))
def test_a_wrong_file_is_refused_with_file_line_path_problem_and_hint(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(CORPUS)
    with pytest.raises(TopologyError) as caught:
        load(f"{name}.yaml", environment={})
    error = caught.value
    assert str(error) == (CORPUS / f"{name}.error").read_text(encoding="utf-8").rstrip("\n")
    assert error.file == f"{name}.yaml"
    assert "hunter" not in str(error), "a password is shown"
    if error.path is not None:
        assert error.line is not None


def test_the_corpus_is_large_and_every_message_has_its_file():
    files = {file.stem for file in CORPUS.glob("*.yaml")}
    assert len(files) >= 150
    assert {file.stem for file in CORPUS.glob("*.error")} == files


def test_every_message_says_what_to_write_instead():
    messages = {file.stem: file.read_text(encoding="utf-8") for file in CORPUS.glob("*.error")}
    assert [name for name, message in messages.items() if not re.search(r"\. [^.]", message)] == []


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    with pytest.raises(TopologyError, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(TopologyError, match="directory"):
        load(tmp_path)


def test_a_file_that_nests_or_multiplies_without_end_is_refused(tmp_path: Path):
    deep = tmp_path / "deep.yaml"
    deep.write_text("version: " + "[" * 5000)
    with pytest.raises(TopologyError, match="nested too deeply"):
        load(deep)
    laughs = tmp_path / "laughs.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    laughs.write_text("version: 1\n" + "\n".join(lines))
    with pytest.raises(TopologyError, match="too many values"):
        load(laughs)


def test_what_a_variable_holds_is_never_shown(tmp_path: Path):
    file = tmp_path / "shop.yaml"
    for value in ("retry: {delays: ['${SECRET}']}", "max_length: ${SECRET}", "type: ${SECRET}", "arguments: ${SECRET}"):
        file.write_text(BASE + f"    {value}\n")
        with pytest.raises(TopologyError) as caught:
            load(file, environment={"SECRET": "hunter2"})
        assert "hunter2" not in str(caught.value), value
        assert caught.value.line == 6


def test_an_object_in_two_files_names_both_places(tmp_path: Path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nqueues:\n  emails:\n")
    two.write_text("version: 1\nqueues:\n  other:\n  emails:\n")
    with pytest.raises(TopologyError) as caught:
        load(one, two)
    assert (caught.value.file, caught.value.line, caught.value.path) == (str(two), 4, "queues.emails")
    assert f"{one}:3" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("changes", "line", "path", "problem", "hint"),
    [
        ("queues:\n  emials: {max_length: 5}\n", 4, "queues.emials", "no earlier file declares the queue", "`emails`"),
        ("users:\n  api:\n", 4, "users.api", "no earlier file declares the user", "without `override`"),
        ("queues:\n  emails: {retry: 5}\n", 4, "queues.emails.retry", "must be a mapping", None),
        ("queues:\n  emails: {type: stream}\n", 4, "queues.emails.retry", "a stream cannot have", None),
    ],
)
def test_an_override_changes_what_is_there_and_says_where_it_is_wrong(
    changes: str, line: int, path: str, problem: str, hint: str | None, tmp_path: Path
):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nqueues:\n  emails:\n    retry: {delays: [5s]}\n")
    two.write_text(f"version: 1\noverride: true\n{changes}")
    with pytest.raises(TopologyError) as caught:
        load(one, two)
    assert (caught.value.line, caught.value.path) == (line, path)
    assert problem in caught.value.problem
    assert hint is None or hint in (caught.value.hint or "")
    assert caught.value.file == str(one if "stream" in changes else two), "where the key stands that does not fit"


def test_a_problem_in_the_second_file_names_the_second_file(tmp_path: Path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nqueues: {emails: }\n")
    two.write_text("version: 1\nroutes:\n  a: {queue: email}\n")
    with pytest.raises(TopologyError) as caught:
        load(one, two)
    assert (caught.value.file, caught.value.line) == (str(two), 3)


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({}, "`version` is missing"),
        ({"version": 1, "queues": {1: {}}}, "must be text"),
        ({"version": 1, "queues": {"a": {"type": object()}}}, "must be one of"),
        ({"version": 1, "queues": {"a": {"retry": {"delays": [object()]}}}}, "is no duration"),
        ({"version": 1, "queues": {"a": {"max_length": 2**70}}}, "must be at most"),
        ({"version": 1, "vhost": "${NOWHERE}"}, "NOWHERE is not set"),
    ],
)
def test_a_wrong_mapping_is_refused_without_file_and_line(mapping: dict[str, object], problem: str):
    with pytest.raises(TopologyError) as caught:
        from_mapping(mapping, environment={})
    assert problem in caught.value.problem
    assert (caught.value.file, caught.value.line) == (None, None)
