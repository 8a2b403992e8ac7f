"""`amqptasks dead` on a queue that is larger than memory should be."""

from __future__ import annotations

import subprocess
import sys

import pytest

from amqptasks import App
from amqptasks.dead_letters import queue as dead_letters
from amqptasks.transport import Session
from tests.harness.letters import publish_letters
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY

MEASURED = """
import resource, sys
from amqptasks.cli import main
try:
    main(sys.argv[1:], standalone_mode=False)
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


@pytest.mark.long
def test_ten_thousand_letters_take_no_more_memory_than_a_few(app: App, vhost: Vhost, session: Session) -> None:
    def megabytes(*arguments: str) -> int:
        ended = subprocess.run(
            [sys.executable, "-c", MEASURED, "dead", *arguments, "--broker", vhost.url],
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        return int(ended.stderr.splitlines()[-1])

    body = b'[["' + b"x" * 8000 + b'"], {}, null]'  # 80 MB in all
    publish_letters(app, 10, body)
    few = megabytes("list", "default", "--task", "other.*")
    publish_letters(app, 9990, body)
    assert megabytes("list", "default", "--task", "other.*") < few + 20
    assert megabytes("purge", "default", "--all", "--task", "shop.ship", "--yes") < few + 20
    assert megabytes("replay", "default", "--all", "--exception", "none.*") < few + 20
    wait_for(lambda: dead_letters.count(session, "default.dead") == 5000, message="half is left")
