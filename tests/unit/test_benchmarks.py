"""The benchmarks' judgement: floors, and the comparison with the committed figure."""

import json
from pathlib import Path

import pytest

from benchmarks import baseline, report
from benchmarks.figures import Figures, Spread
from benchmarks.floors import verdicts

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
    figures.add("consuming", "amqptasks, 8 threads", {"rate": 499.0})
    assert verdicts(figures) == []
    figures.add("consuming", "Celery prefork -c 2", {"rate": 100.0})
    [verdict] = verdicts(figures)
    assert (verdict.reached, verdict.kept) == (4.99, False)
    assert "MISSED" in report.verdict_lines([verdict])[0]
    figures.add("consuming", "amqptasks, 8 threads", {"rate": 501.0})
    assert verdicts(figures)[0].kept


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
