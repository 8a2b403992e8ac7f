"""`python -m benchmarks`: measure, print tables, and fail where a promise is missed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pika.exceptions import AMQPError

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

#: What the quick run measures. With fewer messages the CPU time of 16 threads was a third more or less from run to run.
QUICK_SUBJECTS = ("publishing", "consuming")

#: How long it takes, for the help.
TAKES = "Estimated, on two quiet processors: --quick 3 minutes, none 40 minutes, --full 70, --growth 40."

#: What a contestant's run may end in: its process, its queue, the broker's answer, or that it is not installed.
FAILURES = (Failed, Stuck, AMQPError, ImportError)

#: Who fails once may have met a busy moment; who fails twice has a mistake.
ATTEMPTS = 2


def main(arguments: list[str]) -> int:
    """0 when all promises are kept, 1 when one is missed or ours failed, 2 when nothing could be measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is reaped
    figures = Figures()
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="amqptasks-bench-") as folder, to_measure_on() as broker:
            where = surroundings(broker, options.date)
            say(f"{where['broker']}; {where['machine']}")
            others = Others(broker)
            bench = Bench(broker, Path(folder), options.scale or 1.0)
            for name in _names(options):
                began = time.monotonic()
                _measure(bench, name, figures, options)
                say(f"{name} took {(time.monotonic() - began) / 60:.1f} minutes")
            where["other work"] = f"used {others.share():.0%} of the processors meanwhile"
            where["scale"] = f"{bench.scale:g} of the messages named"
    except (NoBroker, AmqptasksError) as error:
        say(f"benchmarks: {error}")
        return 2
    except KeyboardInterrupt:
        say("benchmarks: interrupted")
        return 130
    figures.surroundings = dict.fromkeys(figures.samples, where)
    say(f"other work {where['other work']}; all took {(time.monotonic() - start) / 60:.0f} minutes")
    print(report.tables(figures), end="\n\n")
    if options.json:
        figures.save(options.json)
    judge = _judge_quick if options.quick else _judge
    return max(judge(figures, options.write), _judge_failures(figures))


def _names(options: argparse.Namespace) -> Sequence[str]:
    if options.only:
        return options.only  # type: ignore[no-any-return]  # argparse has no types
    if options.quick:
        return QUICK_SUBJECTS
    if options.growth:
        return subjects.GROWTH
    return (*subjects.DEFAULT, *subjects.MORE) if options.full else subjects.DEFAULT


def _measure(bench: Bench, name: str, figures: Figures, options: argparse.Namespace) -> None:
    """All contestants once, then all once more: what else the machine does hits them alike."""
    subject = subjects.find(name)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else subject.rounds or ROUNDS)
    for number in range(1, rounds + 1):
        for contestant in subject.contestants:
            if (options.quick and not contestant.quick) or figures.failed(name, contestant.label):
                continue
            if options.match and options.match.casefold() not in contestant.label.casefold():
                continue
            start = time.monotonic()
            try:
                sample = _attempt(bench, subject, contestant)
            except FAILURES as error:
                figures.fail(name, contestant.label, str(error))
                say(f"{name} {number}/{rounds}  {contestant.label} FAILED and is left out from here: {error}")
                for note in getattr(error, "__notes__", ()):
                    say(note)
                continue
            figures.add(name, contestant.label, sample)
            key, column = next(iter(subject.columns.items()))
            value = f"{sample[key] or 0.0:,.{column.digits}f} {column.title}"
            say(f"{name} {number}/{rounds}  {contestant.label}: {value}  ({time.monotonic() - start:.1f} s)")


def _attempt(bench: Bench, subject: subjects.Subject, contestant: subjects.Contestant) -> subjects.Sample:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return subject.measure(bench, contestant)
        except FAILURES as error:
            if attempt == ATTEMPTS:
                raise
            say(f"again: {error}")
    raise AssertionError("the last attempt returns or raises")


def _judge(figures: Figures, write: bool) -> int:
    verdicts = floors.verdicts(figures)
    for line in report.verdict_lines(verdicts):
        print(line)
    if write:
        report.write(figures)
        say(f"written: {report.FILE}")
    return int(not all(verdict.kept for verdict in verdicts))


def _judge_failures(figures: Figures) -> int:
    """A peer that fails is reported; ours must not."""
    ours = {c.label for name in figures.samples for c in subjects.find(name).contestants if c.peer == "ours"}
    return int(any(label in ours for failures in figures.failures.values() for label in failures))


def _judge_quick(figures: Figures, write: bool) -> int:
    comparisons = baseline.compare(figures)
    print("client CPU a message, in multiples of pika's")
    for one in comparisons:
        committed = "new" if one.committed is None else f"committed {one.committed:.2f}"
        print(f"{'kept' if one.kept else 'GREW'}: {one.label}: {one.now:.2f} ({committed})")
    if write:
        baseline.commit(figures, next(iter(figures.surroundings.values())))
        say(f"written: {baseline.FILE}")
        return 0
    return int(not all(one.kept for one in comparisons))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure amqptasks beside Celery, Dramatiq, Taskiq, aio-pika and pika on one broker. Progress goes"
        " to stderr.",
        epilog=TAKES,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--quick", action="store_true", help="amqptasks and pika only; compare CPU time with benchmarks/baseline.json"
    )
    which.add_argument("--full", action="store_true", help=f"also {', '.join(subjects.MORE)}")
    which.add_argument("--growth", action="store_true", help=f"only {', '.join(subjects.GROWTH)}")
    which.add_argument(
        "--only", nargs="+", choices=subjects.NAMES, metavar="SUBJECT", help=f"of {', '.join(subjects.NAMES)}"
    )
    parser.add_argument(
        "--rounds", type=int, help=f"default: {ROUNDS} (1 where that tells all), with --quick {QUICK_ROUNDS}"
    )
    parser.add_argument("--match", metavar="TEXT", help="only lines with TEXT in their label")
    parser.add_argument("--scale", type=float, help="multiply the number of messages; below 1 only to try things out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE too")
    parser.add_argument(
        "--write",
        action="store_true",
        help="put what was measured into docs/performance.md, in place of what it says of the same subjects; or with"
        " --quick into benchmarks/baseline.json",
    )
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="the report's date; default: today")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
