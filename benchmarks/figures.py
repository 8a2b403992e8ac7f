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

    def add(self, subject: str, label: str, sample: Sample) -> None:
        self.samples.setdefault(subject, {}).setdefault(label, []).append(sample)

    def spread(self, subject: str, label: str, column: str) -> Spread | None:
        """None where that was not measured."""
        values = [
            value
            for sample in self.samples.get(subject, {}).get(label, ())
            if (value := sample.get(column)) is not None
        ]
        return Spread(min(values), median(values), max(values)) if values else None

    def save(self, file: Path, surroundings: Mapping[str, str]) -> None:
        """As JSON, every sample."""
        file.write_text(json.dumps({"surroundings": surroundings, "samples": self.samples}, indent=2) + "\n")
