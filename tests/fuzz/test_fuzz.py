"""A glance of each fuzz target in every run; `make fuzz-long` looks for minutes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.fuzz.target import Run, read, written
from tests.fuzz.targets import TARGETS

#: Examples of each target, besides its corpus: drawn anew, and drawn or kept ones that are changed. Drawing takes most
#: of the time.
DRAWN = 60
CHANGED = 440


@pytest.mark.timeout(600)  # ten seconds each, and on a busy machine minutes
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_from_outside_breaks_its_reader(name: str, record_property: Callable[[str, object], None]) -> None:
    began = time.monotonic()
    run = Run(TARGETS[name])
    run.try_corpus()
    run.generate(DRAWN)
    run.mutate(CHANGED)
    record_property("counted", f"{name}: {run.examples} examples in {time.monotonic() - began:.1f} s")
    assert not run.crashes, run.told()
    assert run.examples >= DRAWN + CHANGED


@pytest.mark.parametrize("name", TARGETS)
def test_each_target_has_a_corpus(name: str) -> None:
    assert len(list(TARGETS[name].corpus())) >= 5


def test_an_example_comes_back_from_its_file() -> None:
    example = {"a": b"\x00\xff", "b": [1, 2.5, None, "\ud800"], "c": {"d": True}}
    assert read(written(example)) == example
