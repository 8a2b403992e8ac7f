"""`amqptasks dead replay` and `purge` for programs: one JSON object, whatever became of the letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amqptasks import App
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties
from tests.harness.command import run_command
from tests.harness.letters import publish_letters
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for


def test_what_became_of_letters_is_one_object_and_a_status(app: App, vhost: Vhost, tmp_path: Path) -> None:
    def told(*arguments: str) -> tuple[int, dict[str, Any]]:
        ended = run_command("dead", *arguments, "--json", url=vhost.url, folder=tmp_path)
        assert ended.stderr == ""
        return ended.returncode, json.loads(ended.stdout)

    def expected(count: int, *missing: str, refused: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"queue": "default.dead", "count": count, "refused": refused or {}, "missing": list(missing)}

    publish_letters(app, 5)
    gone = {"task": "a", "id": "gone", "x-amqptasks-reason": "failed", "x-amqptasks-queue": "nowhere"}
    app.caller.publisher.publish(
        Outgoing(QUEUES_EXCHANGE, "default.dead", b"[[], {}, null]", Properties(headers=gone)), 10
    )

    assert told("replay", "default", "--all", "--task", "shop.ship", "--dry-run") == (0, expected(2))
    assert told("replay", "default", "task-0", "task-98", "--dry-run") == (0, expected(1, "task-98"))
    wait_for(lambda: vhost.management.ready("default.dead") == 6, message="nothing was done")
    assert told("replay", "default", "task-0", "task-99", "task-98") == (1, expected(1, "task-98", "task-99"))
    assert told("purge", "default", "task-1", "task-98", "--yes") == (1, expected(1, "task-98"))
    assert told("purge", "default", "task-2", "--yes") == (0, expected(1))

    status, refused = told("replay", "default", "--all")
    error = refused["refused"]["nowhere"].pop("error")
    assert (status, refused) == (1, expected(2, refused={"nowhere": {"count": 1}}))
    assert "are not in 'default.dead'" in error
    assert told("purge", "default", "--all", "--yes") == (0, expected(1))
