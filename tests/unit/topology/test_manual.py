"""The manual's examples are topologies, and it names every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amqptasks.topology.model.exchange import BindingPart, ExchangePart
from amqptasks.topology.model.file import FilePart
from amqptasks.topology.model.policy import DefinitionPart, PolicyPart
from amqptasks.topology.model.queue import DeadLetterPart, QueuePart
from amqptasks.topology.model.retry import RetryPart
from amqptasks.topology.model.route import RoutePart
from amqptasks.topology.model.user import PermissionsPart, TopicPermissionPart, UserLimitsPart, UserPart
from amqptasks.topology.model.vhost import VhostLimitsPart, VhostPart
from amqptasks.topology.read.loader import load

READY = Path(__file__).parents[3] / "topology"
MANUAL = (Path(__file__).parents[3] / "docs" / "topology.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL))
def test_an_example_loads(example: str, tmp_path: Path):
    file = tmp_path / "example.yaml"
    file.write_text(example, encoding="utf-8")
    before = [READY / "shop.yaml"] if "override: true" in example else []
    assert load(*before, file).queue_names


@pytest.mark.parametrize(
    "part",
    [
        FilePart,
        ExchangePart,
        QueuePart,
        BindingPart,
        RetryPart,
        DeadLetterPart,
        RoutePart,
        VhostPart,
        VhostLimitsPart,
        PolicyPart,
        DefinitionPart,
        UserPart,
        UserLimitsPart,
        PermissionsPart,
        TopicPermissionPart,
    ],
    ids=lambda part: part.__name__,
)
def test_every_key_is_in_the_manual(part: type[FilePart]):
    assert [key for key in part.model_fields if not re.search(rf"\b{key}\b", MANUAL)] == []
