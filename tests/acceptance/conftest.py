"""`shop`: an app with a topology of the test's own, on a fresh virtual host, and its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop, new_shop
from tests.harness.vhost import Vhost


@pytest.fixture
def open_shop(vhost: Vhost, tmp_path: Path) -> Iterator[Callable[[str], Shop]]:
    """`open_shop(TOPOLOGY)`: a `Shop` with this topology, closed after the test."""
    with ExitStack() as stack:
        yield lambda topology: stack.enter_context(new_shop(vhost, tmp_path, topology))
