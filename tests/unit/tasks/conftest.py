"""`app`: one on a memory broker of the test's own, closed after it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from amqptasks import App


@pytest.fixture
def app() -> Iterator[App]:
    created = App("shop", f"memory://{uuid.uuid4().hex}", publish_timeout=5)
    yield created
    created.close()
