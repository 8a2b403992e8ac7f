"""Middleware in worker processes with each pool, and around a replay."""

from __future__ import annotations

import pytest

from amqptasks import App
from tests.harness.command import run_command
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SHOP = """
from amqptasks import App, Middleware

class Marks(Middleware):
    def __init__(self, name):
        self.name = name

    def around_publish(self, request):
        request.headers["marks"] = str(request.headers.get("marks", "")) + self.name
        yield

    def around_run(self, request):
        request.seen = getattr(request, "seen", "") + self.name
        value = yield
        if value == "refuse" and self.name == "b":
            raise LookupError("refused afterwards")

app = App("shop", middleware=[Marks("a"), Marks("b")])

@app.task(name="plain", bind=True, max_retries=1, default_retry_delay=0, autoretry_for=(LookupError,))
def plain(self, word):
    return _told(self.request, word)

@app.task(name="async", bind=True, max_retries=1, default_retry_delay=0, autoretry_for=(LookupError,))
async def awaited(self, word):
    return _told(self.request, word)

def _told(request, word):
    if word == "refuse" and not request.retries:
        return word
    return f"{word} {request.retries} {request.seen} {request.headers.get('marks')}"
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "async"])
def test_middleware_runs_in_each_pool_and_around_its_retries(
    pool: str, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    worker_process(SHOP, "-P", "threads" if pool == "async" else pool, "-c", "2", module="shop")
    task = "async" if pool == "async" else "plain"
    app = App("sender", vhost.url)
    said = [app.send_task(task, (word,)).get(timeout=20) for word in ("go", "refuse")]
    app.close()
    assert said == ["go 0 ab None", "refuse 1 ab ab"]


def test_middleware_is_around_a_replay(vhost: Vhost, worker_process: WorkerFactory) -> None:
    app = App("sender", vhost.url)
    worker = worker_process(SHOP, "-c", "1", module="shop")
    gone = app.send_task("gone", headers={"marks": "0", "mine": 1})
    wait_for(lambda: vhost.management.ready("default.dead") == 1, 20, "it is a dead letter")
    app.close()
    worker.terminate()
    ended = run_command("dead", "-A", "shop", "replay", "default", gone.id, url=vhost.url, folder=worker_process.folder)
    assert (ended.returncode, ended.stdout) == (0, "1 letter of default.dead replayed\n")
    with app.session() as session:
        (again,) = session.take("default", 1)
        session.ack(again)
    assert again.properties.headers is not None
    assert (again.properties.headers["marks"], again.properties.headers["mine"]) == ("0ab", 1)
