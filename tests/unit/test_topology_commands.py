"""`amqptasks topology`: commands that need no broker."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amqptasks.cli import main
from tests.harness.worker_process import REPOSITORY

SHOP = str(REPOSITORY / "topology" / "shop.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["topology", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("form", "beginning"),
    [("mermaid", "flowchart LR"), ("dot", "digraph"), ("svg", "<svg"), ("html", "<!doctype html>"), ("json", "{")],
)
def test_a_graph_is_drawn_in_each_format(form: str, beginning: str) -> None:
    done = run("graph", SHOP, "--format", form)
    assert done.exit_code == 0
    assert done.stdout.startswith(beginning)
    assert "emails.dead" in done.stdout


def test_the_ending_of_the_output_says_the_format(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    assert run("graph", SHOP, "-o", str(file)).exit_code == 0
    assert "queue:emails" in {node["id"] for node in json.loads(file.read_text())["nodes"]}
    assert run("graph", SHOP, "-o", str(tmp_path / "shop.png")).exit_code == 2


def test_a_graph_without_a_file_or_an_app_is_a_usage_error() -> None:
    assert run("graph").exit_code == 2


def test_a_folder_that_is_not_there_is_one_line() -> None:
    done = run("graph", SHOP, "-o", "/nowhere/at/all.svg")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "/nowhere/at/all.svg cannot be written" in done.stderr


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_definitions_are_readable_for_their_owner_alone(before: int | None, tmp_path: Path) -> None:
    """They hold hashes of passwords; whoever could read the file that was there must not read these."""
    file = tmp_path / "shop.json"
    if before is not None:
        file.write_text("old")
        file.chmod(before)
    assert run("definitions", SHOP, "-o", str(file)).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["queues"]
    assert list(tmp_path.iterdir()) == [file]


def test_whoever_had_the_old_file_open_does_not_see_the_new_definitions(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text("old")
    with file.open() as opened:
        assert run("definitions", SHOP, "-o", str(file)).exit_code == 0
        assert opened.read() == "old"


def test_definitions_behind_a_link_are_written_where_it_leads(tmp_path: Path) -> None:
    link, file = tmp_path / "link.json", tmp_path / "shop.json"
    link.symlink_to(file)
    assert run("definitions", SHOP, "-o", str(link)).exit_code == 0
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """As root a new file would take the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text)
        assert run("definitions", SHOP, "-o", str(pipe)).exit_code == 0
        assert json.loads(read.result(10))["queues"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("place", ["/nonexistent/x.json", "/proc/nothing.json"])
def test_definitions_that_cannot_be_written_are_one_line(place: str) -> None:
    done = run("definitions", SHOP, "-o", place)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"{place} cannot be written" in done.stderr


def test_route_tells_the_rule_and_its_line() -> None:
    done = run("route", SHOP, "shop.email.reset")
    assert done.exit_code == 0
    assert "shop.email.reset (exact, " in done.stdout
    assert f"{SHOP}:41)" in done.stdout
    assert "'email.#' -> emails" in done.stdout
    assert "not 'payment.*' -> audit" in done.stdout


def test_route_of_a_message_that_reaches_nothing_ends_with_1_and_says_what_is_bound() -> None:
    done = run("route", SHOP, "--exchange", "tasks", "--routing-key", "payment.x.y")
    assert done.exit_code == 1
    assert "nearest    payment.*" in done.stdout


def test_route_answers_machines_too() -> None:
    found = json.loads(run("route", SHOP, "shop.order.placed", "--json").stdout)
    assert [arrival["queue"] for arrival in found["arrivals"]] == ["stock", "audit"]


def test_a_routing_key_alone_is_for_the_one_exchange_that_compares_keys() -> None:
    alone = run("route", SHOP, "--routing-key", "email.reset")
    named = run("route", SHOP, "--exchange", "tasks", "--routing-key", "email.reset")
    assert (alone.exit_code, alone.stdout) == (0, named.stdout)
    assert run("route", SHOP, "--routing-key", "nothing.takes.it").exit_code == 1
    records = json.loads(run("route", SHOP, "--routing-key", "email.reset", "--json").stdout)
    assert [record["destination"]["exchange"] for record in records] == ["tasks"]


def test_a_routing_key_alone_may_be_for_one_that_delays_and_then_compares(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "version: 1\nexchanges:\n  later: {type: x-delayed-message, delayed_type: topic}\n  all: {type: fanout}\n"
        "queues:\n  q: {bindings: [{exchange: later, routing_key: 'k.*'}, {exchange: all}]}\n"
        "  p: {bindings: [{exchange: later, routing_key: other}]}\n"
    )
    records = json.loads(run("route", str(file), "--routing-key", "k.1", "--json").stdout)
    assert [record["destination"]["exchange"] for record in records] == ["later"]
    assert [arrival["queue"] for arrival in records[0]["arrivals"]] == ["q"]
    assert run("route", str(file), "--routing-key", "nothing.takes.it").exit_code == 1


def test_a_routing_key_alone_is_tried_at_every_exchange_where_several_compare(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "version: 1\nexchanges:\n  first: {type: topic}\n  second: {}\n  all: {type: fanout}\n"
        "  inner: {internal: true}\n"
        "queues:\n  q: {bindings: [{exchange: first, routing_key: k}, {exchange: all}]}\n"
        "  p: {bindings: [{exchange: second, routing_key: other}]}\n"
    )
    done = run("route", str(file), "--routing-key", "k")
    assert done.exit_code == 0
    blocks = done.stdout.split("\n\n")
    assert [block.split("\n")[0].split() for block in blocks] == [
        ["message", "first", "k"],
        ["message", "second", "k"],
        ["message", "all", "k"],
    ]
    assert ["queue      none" in block for block in blocks] == [False, True, False]
    records = json.loads(run("route", str(file), "--routing-key", "k", "--json").stdout)
    assert [[arrival["queue"] for arrival in record["arrivals"]] for record in records] == [["q"], [], ["q"]]
    file.write_text("version: 1\nqueues:\n  q:\n")
    done = run("route", str(file), "--routing-key", "k")
    assert done.exit_code == 2
    assert "--exchange" in done.stderr


@pytest.mark.parametrize("words", [[], ["a", "b"], ["a", "--exchange", "tasks"], ["a", "--routing-key", "k"]])
def test_route_wants_one_task_or_one_exchange(words: list[str]) -> None:
    assert run("route", SHOP, *words).exit_code == 2


def test_validate_is_silent_about_the_shop_on_the_newest_release() -> None:
    done = run("validate", SHOP)
    assert (done.exit_code, done.stdout) == (0, "2 exchanges, 6 queues: nothing to say\n")


def test_validate_ends_with_2_for_a_warning_and_names_its_line() -> None:
    done = run("validate", SHOP, "--release", "3.10")
    assert done.exit_code == 2
    assert f"{SHOP}:27: warning: queues.reports.consumer_timeout" in done.stdout
    findings = json.loads(run("validate", SHOP, "--release", "3.10", "--json").stdout)["findings"]
    assert [(one["severity"], one["place"]) for one in findings] == [("warning", f"{SHOP}:27"), ("note", f"{SHOP}:13")]


def test_notes_count_where_it_is_strict(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("version: 1\nqueues:\n  lonely:\n")
    assert run("validate", str(file)).exit_code == 0
    assert run("validate", str(file), "--strict").exit_code == 2


def test_a_topology_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("version: 1\nqueues: {q: }\nroutes:\n  a: {queue: p}\n")
    assert run("validate", str(file)).exit_code == 1
    done = run("validate", str(file), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["findings"][0]["place"] == f"{file}:4"


def test_a_release_that_is_none_is_refused() -> None:
    assert run("validate", SHOP, "--release", "latest").exit_code == 2


def test_simulate_tells_each_hop_with_its_time() -> None:
    done = run("simulate", SHOP, "shop.payment.charge", "7", "--fail", "1")
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:3] == ["0s", "published", "tasks"]
    assert ["1s", "24ms", "queued", "payments"] in [line[:4] for line in lines]


def test_simulate_answers_machines_too() -> None:
    hops = json.loads(run("simulate", SHOP, "else", "--expire", "--json").stdout)
    assert [(hop["what"], hop["place"]) for hop in hops][-1] == ("rests", "default")


def test_simulate_refuses_an_exchange_that_the_broker_in_memory_does_not_have_and_names_it(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "version: 1\nexchanges:\n  shares: {type: x-consistent-hash}\n"
        "queues:\n  q: {bindings: [{exchange: shares, weight: 1}]}\nroutes:\n  t: {exchange: shares}\n"
    )
    done = run("simulate", str(file), "t")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "exchange 'shares' is of type x-consistent-hash, and such exchanges cannot be simulated" in done.stderr
    assert run("route", str(file), "t").exit_code == 0


@pytest.mark.parametrize("words", [[], [SHOP], [SHOP, "t", "--countdown", "2030-01-01"]])
def test_simulate_wants_a_task_and_a_duration(words: list[str]) -> None:
    assert run("simulate", *words).exit_code == 2
