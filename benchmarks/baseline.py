"""The committed figure of `--quick`: our CPU time a message, against that of pika by hand in the same round.

A ratio to pika carries over from one machine to another; microseconds do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figures
from benchmarks.subjects import Sample

FILE = Path(__file__).with_name("baseline.json")

#: A figure may grow by so much before the quick run fails; between two runs on one machine it moves by a fifth.
GROWTH = 1.4

#: What is compared: subject, ours, and the pika that does the same.
PAIRS = (
    ("publishing", "amqptasks delay(), one caller", "pika BlockingConnection, confirmed"),
    ("publishing", "amqptasks delay(), 16 threads", "pika SelectConnection, 500 in flight"),
    ("publishing", "amqptasks adelay(), 500 in flight", "pika SelectConnection, 500 in flight"),
    ("publishing", "amqptasks publish_many()", "pika SelectConnection, 500 in flight"),
    ("consuming", "amqptasks, 8 threads", "pika, one thread, coalesced acks"),
    ("consuming", "amqptasks, prefork -c 2", "pika, one thread, coalesced acks"),
    ("consuming", "amqptasks, async tasks", "pika, one thread, coalesced acks"),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`now` and `committed` are multiples of pika's CPU time; `committed` is None for what is new."""

    label: str
    now: float
    committed: float | None

    @property
    def kept(self) -> bool:
        return self.committed is None or self.now <= self.committed * GROWTH


def ratios(figures: Figures) -> dict[str, float]:
    """By our label: the median of the rounds' ratios. Each is of two runs soon after each other, so that a machine
    that is slower for a minute slows both."""
    found = {}
    for subject, ours, theirs in PAIRS:
        measured = figures.samples.get(subject, {})
        if ours not in measured or theirs not in measured:
            continue
        rounds = zip(measured[ours], measured[theirs], strict=True)
        found[ours] = median(_client(mine) / _client(yours) for mine, yours in rounds)
    return found


def _client(sample: Sample) -> float:
    value = sample["client"]
    assert value, "a client's CPU time can always be had, and is never nothing"
    return value


def compare(figures: Figures) -> list[Comparison]:
    committed = json.loads(FILE.read_text())["ratios"] if FILE.exists() else {}
    return [Comparison(label, now, committed.get(label)) for label, now in ratios(figures).items()]


def commit(figures: Figures, surroundings: Mapping[str, str]) -> None:
    """Write the figures of this run as those to be kept; what was not measured stays as it was."""
    earlier = json.loads(FILE.read_text())["ratios"] if FILE.exists() else {}
    rounded = {label: round(ratio, 3) for label, ratio in ratios(figures).items()}
    content = {"surroundings": surroundings, "ratios": {**earlier, **rounded}}
    FILE.write_text(json.dumps(content, indent=2) + "\n")
