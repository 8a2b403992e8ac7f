"""The manual's examples are topologies, and it names every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from amqptasks.topology.loader import from_mapping
from amqptasks.topology.model import (
    BindingPart,
    DeadLetterPart,
    ExchangePart,
    FilePart,
    QueuePart,
    RetryPart,
    RoutePart,
)

MANUAL = (Path(__file__).parents[3] / "docs" / "topology.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL))
def test_an_example_loads(example: str):
    assert from_mapping(yaml.safe_load(example)).queue_names


@pytest.mark.parametrize(
    "part",
    [FilePart, ExchangePart, QueuePart, BindingPart, RetryPart, DeadLetterPart, RoutePart],
    ids=lambda part: part.__name__,
)
def test_every_key_is_in_the_manual(part: type[FilePart]):
    assert [key for key in part.model_fields if not re.search(rf"\b{key}\b", MANUAL)] == []
