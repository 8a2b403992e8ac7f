"""The benchmarks: what they judge and how, that every line can be measured, and what becomes of one that fails."""

import argparse
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command, baseline, charts, peers, report, subjects
from benchmarks.figures import Figures, Spread
from benchmarks.floors import FLOORS, verdicts
from benchmarks.gauge import Stuck
from benchmarks.peers.configurations import CONFIGURATIONS
from benchmarks.place import Conditions, Place
from benchmarks.processes import Failed
from benchmarks.subjects import Column, Contestant, Subject

OURS, PIKA = "amqptasks publish_many()", "pika SelectConnection, 500 in flight"


def publishing(*rounds: tuple[float, float]) -> Figures:
    """Client CPU a message of ours and of pika's, by round."""
    figures = Figures()
    for ours, pika in rounds:
        figures.add("publishing", OURS, {"rate": 1.0, "client": ours, "broker": None})
        figures.add("publishing", PIKA, {"rate": 1.0, "client": pika, "broker": None})
    return figures


def test_a_spread_is_least_median_and_greatest_of_the_rounds() -> None:
    figures = publishing((30.0, 1.0), (10.0, 1.0), (20.0, 1.0))
    assert figures.spread("publishing", OURS, "client") == Spread(10.0, 20.0, 30.0)
    assert figures.spread("publishing", OURS, "broker") is None


def test_a_floor_is_missed_below_its_ratio_and_left_out_when_not_measured() -> None:
    figures = Figures()
    figures.add("consuming", "amqptasks, prefork -c 2", {"rate": 399.0})
    assert verdicts(figures) == []
    figures.add("consuming", "Celery prefork -c 2", {"rate": 100.0})
    [verdict] = verdicts(figures)
    assert (verdict.reached, verdict.kept) == (3.99, False)
    assert "MISSED" in report.verdict_lines([verdict])[0]
    figures.add("consuming", "amqptasks, prefork -c 2", {"rate": 401.0})
    assert verdicts(figures)[0].kept


def test_a_rival_counts_with_its_best_setting() -> None:
    figures = Figures()
    figures.add("consuming", "amqptasks, 8 threads", {"rate": 1000.0})
    for label in ("Celery solo", "Celery threads -c 8", "Taskiq, 1 process, async tasks"):
        figures.add("consuming", label, {"rate": 100.0})
    figures.add("consuming", "Dramatiq, 1 process, 8 threads", {"rate": 150.0})
    figures.add("prefetch", "Dramatiq, 1 process, 8 threads, prefetch 16", {"rate": 500.0})
    reached = {verdict.floor.promise: verdict.reached for verdict in verdicts(figures)}
    assert reached["consuming in threads: 3 times any peer with one process, at any prefetch"] == 2.0
    assert reached["consuming in threads: 5 times Dramatiq with 8 threads"] == pytest.approx(6.67, abs=0.01)


def test_what_is_promised_is_measured() -> None:
    """A label that nobody measures would never be judged."""
    labels = {name: {one.label for one in subjects.find(name).contestants} for name in subjects.NAMES}
    for floor in FLOORS:
        assert floor.ours in labels[floor.subjects[0]], floor
        assert set(floor.theirs) <= labels[floor.subjects[0]], floor
        assert floor.column in subjects.find(floor.subjects[0]).columns, floor
    for name, ours, theirs in baseline.PAIRS:
        quick = {one.label for one in subjects.find(name).contestants if one.quick}
        assert {ours, theirs} <= quick


@pytest.mark.parametrize("name", subjects.NAMES)
def test_lines_of_a_table_differ_and_name_known_peers(name: str) -> None:
    contestants = subjects.find(name).contestants
    assert len({one.label for one in contestants}) == len(contestants)
    assert {one.peer for one in contestants} <= set(peers.NAMES)


def test_the_report_says_how_every_peer_is_set_up() -> None:
    assert set(CONFIGURATIONS) == set(peers.NAMES)


@pytest.mark.parametrize("peer", peers.NAMES)
def test_every_client_and_worker_that_is_measured_exists(peer: str) -> None:
    for package in {"ours": [], "taskiq": ["taskiq_aio_pika", "uvloop"], "aiopika": ["aio_pika", "uvloop"]}.get(
        peer, [peer]
    ):
        pytest.importorskip(package)
    found = peers.find(peer)
    for name in (*subjects.DEFAULT, *subjects.MORE, *subjects.GROWTH):
        for one in subjects.find(name).contestants:
            if one.peer != peer or name in ("imports", "waiting"):  # the one names modules, the other pika's client
                continue
            assert not one.client or one.client in found.CLIENTS, one
            assert not one.worker or found.WORKERS[one.worker].preload in found.CLIENTS, one


def test_conditions_reach_a_process_through_its_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conditions = Conditions("burn", body=5, prefetch=7, queue_type="classic", queues=2, spread=True)
    place = Place("amqp://somewhere/", "q", tmp_path / "samples", 42, conditions)
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    assert Place.here() == place
    assert Place.here().filled == ["q", "q-1"]


def test_a_ceiling_is_missed_at_its_limit() -> None:
    figures = Figures()
    figures.add("lateness", "amqptasks", {"p99": 100.0})
    assert not verdicts(figures)[0].kept


def test_cpu_time_is_compared_with_pika_of_the_same_round() -> None:
    figures = publishing((10.0, 5.0), (40.0, 10.0), (90.0, 30.0))
    assert baseline.ratios(figures) == {OURS: 3.0}


@pytest.mark.parametrize(("now", "kept"), [(1.4, True), (1.41, False)])
def test_a_message_may_cost_forty_percent_more_than_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float, kept: bool
) -> None:
    monkeypatch.setattr(baseline, "FILE", tmp_path / "baseline.json")
    assert [one.kept for one in baseline.compare(publishing((1.0, 1.0)))] == [True]  # nothing is committed yet
    baseline.commit(publishing((1.0, 1.0)), {"machine": "this"})
    assert json.loads(baseline.FILE.read_text())["ratios"] == {OURS: 1.0}
    [comparison] = baseline.compare(publishing((now, 1.0)))
    assert comparison.kept is kept


def test_the_table_has_a_row_for_each_contestant_and_says_what_is_unknown() -> None:
    lines = report.tables(publishing((10.0, 5.0), (20.0, 5.0))).splitlines()
    assert lines[0] == "Publishing"
    assert lines[2].startswith(OURS)
    assert "15.0 (10.0 to 20.0)" in lines[2]
    assert lines[2].endswith("-")


def contest(label: str, peer: str, figures: Figures, error: Exception | None) -> None:
    """Two rounds of one contestant that fails as told, beside one that never does."""
    calls: list[str] = []

    def measure(_bench: Any, contestant: Contestant) -> dict[str, float | None]:
        calls.append(contestant.label)
        if error is not None and contestant.label == label:
            raise error
        return {"rate": 1.0}

    subject = Subject("S", "", {"rate": Column("/s")}, (Contestant(label, peer), Contestant("other", "pika")), measure)
    options = argparse.Namespace(quick=False, rounds=2, match=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "find", lambda _name: subject)
        command._measure(None, "publishing", figures, options)  # type: ignore[arg-type]
        assert calls.count("other") == 2
        assert calls.count(label) == (2 if error is None else command.ATTEMPTS)
        assert command._judge_failures(figures) == int(error is not None and peer == "ours")
        if error is not None:
            assert f"{label} failed: {error}" in report.tables(figures)


@pytest.mark.parametrize("error", [Failed("no such module"), Stuck("nothing comes"), ImportError("not installed")])
def test_a_peer_that_fails_is_named_and_the_others_are_measured(error: Exception) -> None:
    contest("Broken", "celery", Figures(), error)


def test_amqptasks_must_not_fail() -> None:
    contest("ours", "ours", Figures(), Stuck("nothing comes"))
    contest("ours", "ours", Figures(), None)


def test_what_is_written_by_hand_stays_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"By hand.\n{report.BEGIN}\nreplaced\n{report.END}\nAlso by hand.\n")
    for name, value in (("FILE", page), ("CHARTS", tmp_path / "charts"), ("MEASURED", tmp_path / "measured.json")):
        monkeypatch.setattr(report, name, value)
    first = publishing((10.0, 5.0))
    first.surroundings = {"publishing": {"date": "first"}}
    report.write(first)
    later = Figures({"imports": {"import pika": [{"milliseconds": 80.0, "modules": 1}]}})
    later.surroundings = {"imports": {"date": "second"}}
    report.write(later)  # of another subject: the first stays
    text = page.read_text()
    assert text.startswith("By hand.\n")
    assert text.endswith("Also by hand.\n")
    assert "replaced" not in text
    assert "- date: first" in text
    assert "- date: second" in text
    assert f"| {OURS} | **1** | **10.0** | - |" in text
    assert "(charts/publishing.svg)" in text
    assert (tmp_path / "charts/publishing.svg").exists()


def test_a_page_without_marks_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="put them back"):
        report.page("By hand.", "figures")


def test_the_page_in_the_repository_has_its_marks() -> None:
    assert "new" in report.page(report.FILE.read_text(), "new")


def test_a_chart_is_svg_with_a_bar_and_a_range_for_each_line() -> None:
    drawn = charts.chart("T", "a<b", 1, [("ours & more", Spread(1.0, 2.0, 4.0), True), ("x", Spread(1, 1, 1), False)])
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")]
    assert widths == [charts.BARS / 2, pytest.approx(charts.BARS / 4, abs=0.1)]
    assert len(list(root.iter(f"{space}line"))) == 1  # of the one whose rounds differ
    assert "ours & more" in [text.text for text in root.iter(f"{space}text")]
