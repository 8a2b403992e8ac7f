"""Publishing while a program ends, in the handler of a signal, and beside a fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.worker_process import REPOSITORY

HEAD = """
import atexit, os, sys, time
from amqptasks import App; from amqptasks.runtime import forks
app = App("shop")
@app.task(name="ok", ignore_result=True)
def ok(n):
    pass
"""

#: Seconds for a program of a few lines, on a busy machine.
ENDS_WITHIN = 60.0


def run(source: str, vhost: Vhost, folder: Path) -> tuple[list[str], str, int]:
    """The lines that the program printed, what it wrote to stderr, and the messages in its queue."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + source],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "AMQPTASKS_BROKER_URL": vhost.url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with App("shop", broker=vhost.url).session() as session:
        state = session.queue_state("default")
    return done.stdout.splitlines(), done.stderr, state.messages if state is not None else 0


def test_delay_in_del_while_the_interpreter_ends_raises_at_once(vhost: Vhost, tmp_path: Path) -> None:
    lines, _, messages = run(
        """
class Last:
    def __del__(self, clock=time.monotonic, send=ok.delay, print=print, Base=BaseException, round=round):
        began = clock()
        try: send(2)
        except Base as error: print(type(error).__name__, error, clock() - began < 2)
ok.delay(1)
last = Last()
""",
        vhost,
        tmp_path,
    )
    (said,) = lines
    assert said.startswith("BrokerUnreachable the program is ending")
    assert said.endswith("True")
    assert messages == 1


@pytest.mark.parametrize("before", ["", "ok.delay(1)"], ids=["the first publish", "a later one"])
def test_delay_in_an_atexit_handler_is_published(vhost: Vhost, tmp_path: Path, before: str) -> None:
    lines, errors, messages = run(f"atexit.register(lambda: (ok.delay(2), print('sent')))\n{before}", vhost, tmp_path)
    assert (lines, errors, messages) == (["sent"], "", 2 if before else 1)


@pytest.mark.parametrize("call", ["ok.delay(1)", "ok.apply_async((1,), countdown=60)", "app.declare()"])
def test_delay_imports_only_while_a_fork_would_wait_for_it(vhost: Vhost, tmp_path: Path, call: str) -> None:
    """A child that is forked by another thread in the middle of an import waits for it for ever."""
    lines, _, _ = run(
        f"""
class Watch:
    def find_spec(self, name, path=None, target=None):
        if not forks.loading._is_owned():
            print(name, flush=True)
sys.meta_path.insert(0, Watch())
{call}
sys.meta_path.pop(0)
""",
        vhost,
        tmp_path,
    )
    assert lines == []
