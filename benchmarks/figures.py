"""What was measured: samples of every round, and their spreads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.subjects import Sample


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and greatest of the rounds."""

    low: float
    middle: float
    high: float


@dataclass(slots=True)
class Figures:
    """Samples by subject and by the contestant's label, one a round."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    #: Why a contestant could not be measured, by subject and label.
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Where and with what each subject was measured.
    surroundings: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def add(self, subject: str, label: str, sample: Sample) -> None:
        self.samples.setdefault(subject, {}).setdefault(label, []).append(sample)

    def fail(self, subject: str, label: str, reason: str) -> None:
        self.samples.setdefault(subject, {}).setdefault(label, [])
        self.failures.setdefault(subject, {})[label] = reason

    def failed(self, subject: str, label: str) -> str | None:
        """Why; None where nothing failed."""
        return self.failures.get(subject, {}).get(label)

    def spread(self, subject: str, label: str, column: str) -> Spread | None:
        """None where that was not measured."""
        values = [
            value
            for sample in self.samples.get(subject, {}).get(label, ())
            if (value := sample.get(column)) is not None
        ]
        return Spread(min(values), median(values), max(values)) if values else None

    def save(self, file: Path) -> None:
        """As JSON, every sample."""
        content = {"surroundings": self.surroundings, "failures": self.failures, "samples": self.samples}
        file.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> Figures:
        """What `save` wrote; nothing measured where there is no such file."""
        content = json.loads(file.read_text()) if file.exists() else {}
        return cls(content.get("samples", {}), content.get("failures", {}), content.get("surroundings", {}))

    def take_over(self, later: Figures) -> None:
        """Replace whole subjects by those of another run."""
        for subject in later.samples:
            self.samples[subject] = later.samples[subject]
            self.failures[subject] = later.failures.get(subject, {})
            self.surroundings[subject] = later.surroundings.get(subject, {})
