"""What is settled here, without a broker."""

from __future__ import annotations

import pytest

from tests.unit.worker.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()
