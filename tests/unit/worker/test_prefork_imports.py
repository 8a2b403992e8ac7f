"""The processes of a prefork pool know what their worker knows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from amqptasks.errors import ConfigurationError
from amqptasks.worker.pools.prefork import forker
from amqptasks.worker.pools.prefork.slots import Slots

APP = "from amqptasks import App\napp = App('shop')\n"
TASKS = "from prefork_shop import app\n@app.task\ndef here(): pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "prefork_shop.py").write_text(APP)
    (tmp_path / "prefork_shop_tasks.py").write_text(TASKS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("prefork_shop", "prefork_shop_tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_fresh_prefork_process_imports_the_modules_that_made_its_workers_tasks(folder: Path) -> None:
    wanted = '{"prefork_shop_tasks": ["prefork_shop_tasks.here"]}'
    app = forker.import_app("prefork_shop", "app", wanted, sys.path)
    assert list(app.tasks) == ["prefork_shop_tasks.here"]
    assert forker.imported(app) == wanted


def test_a_fresh_prefork_process_that_lacks_a_task_of_its_worker_says_so(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lacks tasks that its worker has: prefork_shop\.gone"):
        forker.import_app("prefork_shop", "app", '{"prefork_shop_tasks": ["prefork_shop.gone"]}', sys.path)


def test_prefork_slots_tell_a_job_that_began_from_one_that_was_only_taken() -> None:
    slots = Slots()
    slots.begin(3, 7, 1.0)
    slots.end(3)
    assert (slots.has_begun(3, 7), slots.has_begun(3, 8), slots.has_begun(4, 7)) == (True, False, False)
    slots.close()
