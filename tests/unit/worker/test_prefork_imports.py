"""The processes of a prefork pool know what their worker knows."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from amqptasks.errors import ConfigurationError
from amqptasks.worker.pools.prefork import child as child_module, fork_server
from amqptasks.worker.pools.prefork.child import NO_MEMORY, blocking_socket
from amqptasks.worker.pools.prefork.slots import Slots

APP = "from amqptasks import App\napp = App('shop')\n"
TASKS = (
    "from prefork_shop import app\n"
    "for number in range(5000):\n"
    "    app.task(name=f'prefork_shop_tasks.here{number}')(lambda: None)\n"
)


def told(tasks: dict[str, list[str]]) -> int:
    """As `imported` of a worker that has these."""
    descriptor = os.memfd_create("tasks")
    os.write(descriptor, json.dumps(tasks).encode())
    return descriptor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "prefork_shop.py").write_text(APP)
    (tmp_path / "prefork_shop_tasks.py").write_text(TASKS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("prefork_shop", "prefork_shop_tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_fresh_prefork_process_imports_the_modules_that_made_its_workers_tasks(folder: Path) -> None:
    names = [f"prefork_shop_tasks.here{number}" for number in range(5000)]
    app = fork_server.import_app("prefork_shop", "app", told({"prefork_shop_tasks": names}), sys.path)
    # An app also has the shared tasks that other modules of this process made.
    assert [name for name in app.tasks if name.startswith("prefork_shop_tasks.")] == names
    with os.fdopen(fork_server.imported(app)) as file:
        file.seek(0)
        assert json.load(file)["prefork_shop_tasks"] == names


def test_a_fresh_prefork_process_that_lacks_a_task_of_its_worker_says_so(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lacks tasks that its worker has: prefork_shop\.gone"):
        fork_server.import_app("prefork_shop", "app", told({"prefork_shop_tasks": ["prefork_shop.gone"]}), sys.path)


def test_prefork_slots_tell_a_job_that_began_from_one_that_was_only_taken() -> None:
    slots = Slots()
    slots.begin(3, 7, 1.0)
    slots.end(3)
    assert (slots.has_begun(3, 7), slots.has_begun(3, 8), slots.has_begun(4, 7)) == (True, False, False)
    slots.close()


def test_describe_tells_a_status_and_a_reason_for_each_death_of_a_prefork_process() -> None:
    statuses = [0, 3 << 8, NO_MEMORY << 8, signal.SIGKILL]
    assert [fork_server.describe(status) for status in statuses] == [
        "ended by itself with status 0, which says that nothing failed",
        "ended by itself with status 3",
        f"ended by itself with status {NO_MEMORY}: no memory was left",
        "killed by SIGKILL",
    ]


@pytest.mark.parametrize("fails", ["run", "log"])
def test_live_ends_a_prefork_process_that_has_no_memory_with_a_status_whatever_else_fails(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def no_memory(*_args: object, **_settings: object) -> None:
        raise MemoryError

    child = SimpleNamespace(begin=lambda: None, run=no_memory, _app=None)
    if fails == "log":
        monkeypatch.setattr(child_module.logger, "exception", no_memory)
    pid = os.fork()
    if pid == 0:
        try:
            child_module.live(cast("child_module.Child", child))
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == NO_MEMORY


def test_blocking_socket_waits_though_another_process_made_it_without_waiting() -> None:
    ours, its = socket.socketpair()
    its.setblocking(False)
    made = blocking_socket(os.dup(its.fileno()))
    assert os.get_blocking(its.fileno())
    threading.Timer(0.05, ours.send, [b"job"]).start()
    assert made.recvmsg(10)[0] == b"job"
    for end in (ours, its, made):
        end.close()
