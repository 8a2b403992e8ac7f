"""`python -m benchmarks`: measure, print tables, and fail where a promise is missed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from amqptasks.errors import AmqptasksError
from benchmarks import baseline, floors, report, subjects
from benchmarks.bench import Bench, say
from benchmarks.broker import to_measure_on
from benchmarks.figures import Figures
from benchmarks.gauge import Stuck
from benchmarks.processes import Failed
from benchmarks.surroundings import Others, surroundings
from tests.harness.nodes import NoBroker

#: Rounds of the full run, and of the quick one, which compares medians with a committed figure.
ROUNDS, QUICK_ROUNDS = 3, 5

#: What the quick run measures, and the part of the messages it does it with.
QUICK_SUBJECTS, QUICK_SCALE = ("publishing", "consuming"), 0.25

#: Who fails once may have met a busy moment; who fails twice has a mistake.
ATTEMPTS = 2


def main(arguments: list[str]) -> int:
    """0 when all promises are kept, 1 when one is missed, 2 when nothing could be measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is reaped
    names = options.only or (QUICK_SUBJECTS if options.quick else subjects.NAMES)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    scale = options.scale or (QUICK_SCALE if options.quick else 1.0)
    figures = Figures()
    try:
        with tempfile.TemporaryDirectory(prefix="amqptasks-bench-") as folder, to_measure_on() as broker:
            where = surroundings(broker, options.date)
            say(f"{where['broker']}; {where['machine']}")
            others = Others(broker)
            bench = Bench(broker, Path(folder), scale)
            for name in names:
                _measure(bench, name, figures, rounds, options.quick)
            where["other work"] = f"used {others.share():.0%} of the processors meanwhile"
    except (NoBroker, AmqptasksError, Failed, Stuck) as error:
        say(f"benchmarks: {error}")
        for note in getattr(error, "__notes__", ()):
            say(note)
        return 2
    except KeyboardInterrupt:
        say("benchmarks: interrupted")
        return 130
    say(f"other work {where['other work']}")
    print(report.tables(figures), end="\n\n")
    if options.json:
        figures.save(options.json, where)
    return (
        _judge_quick(figures, where, options.write) if options.quick else _judge(figures, where, rounds, options.write)
    )


def _measure(bench: Bench, name: str, figures: Figures, rounds: int, quick: bool) -> None:
    """All contestants once, then all once more: what else the machine does hits them alike."""
    subject = subjects.find(name)
    contestants = [contestant for contestant in subject.contestants if contestant.quick or not quick]
    times = min(rounds, subject.rounds or rounds)
    for number in range(1, times + 1):
        for contestant in contestants:
            start = time.monotonic()
            sample = _attempt(bench, subject, contestant)
            figures.add(name, contestant.label, sample)
            key, column = next(iter(subject.columns.items()))
            value = f"{sample[key] or 0.0:,.{column.digits}f} {column.title}"
            say(f"{name} {number}/{times}  {contestant.label}: {value}  ({time.monotonic() - start:.1f} s)")


def _attempt(bench: Bench, subject: subjects.Subject, contestant: subjects.Contestant) -> subjects.Sample:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return subject.measure(bench, contestant)
        except (Failed, Stuck) as error:
            if attempt == ATTEMPTS:
                error.add_note(f"measuring {contestant.label!r}")
                raise
            say(f"again: {error}")
    raise AssertionError("the last attempt returns or raises")


def _judge(figures: Figures, where: dict[str, str], rounds: int, write: bool) -> int:
    verdicts = floors.verdicts(figures)
    for line in report.verdict_lines(verdicts):
        print(line)
    if write:
        report.FILE.write_text(report.markdown(figures, verdicts, where, rounds))
        say(f"written: {report.FILE}")
    return int(not all(verdict.kept for verdict in verdicts))


def _judge_quick(figures: Figures, where: dict[str, str], write: bool) -> int:
    comparisons = baseline.compare(figures)
    print("client CPU a message, in multiples of pika's")
    for one in comparisons:
        committed = "new" if one.committed is None else f"committed {one.committed:.2f}"
        print(f"{'kept' if one.kept else 'GREW'}: {one.label}: {one.now:.2f} ({committed})")
    if write:
        baseline.commit(figures, where)
        say(f"written: {baseline.FILE}")
        return 0
    return int(not all(one.kept for one in comparisons))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure amqptasks beside Celery, Dramatiq and bare pika on one broker. Progress goes to stderr.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="amqptasks and pika only; compare CPU time with benchmarks/baseline.json"
    )
    parser.add_argument("--only", nargs="+", choices=subjects.NAMES, metavar="SUBJECT", help=", ".join(subjects.NAMES))
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--scale", type=float, help="multiply the number of messages; below 1 only to try things out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE too")
    parser.add_argument(
        "--write", action="store_true", help="write docs/performance.md, or with --quick benchmarks/baseline.json"
    )
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="the report's date; default: today")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
