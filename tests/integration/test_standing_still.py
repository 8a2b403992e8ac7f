"""A worker that holds messages and does nothing is not ready, then ends with status 6. Its messages run elsewhere."""

from __future__ import annotations

from amqptasks import App
from amqptasks.worker.process.failing import STANDSTILL
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

#: A pool that loses what it is given, and a watchdog for which a second is a tenth of one.
SHOP = """
from amqptasks import App
from amqptasks.worker.node import standstill
from amqptasks.worker.pools.threads import ThreadPool
standstill.LOOK_EVERY = 0.1
ThreadPool.submit = lambda self, jobs: None
app = App("shop")
"""

WITHIN = 30.0


def test_a_worker_that_stands_still_is_not_ready_and_then_ends_with_status_6(
    vhost: Vhost, worker_process: WorkerFactory
) -> None:
    worker = worker_process(SHOP, "-P", "threads", "-c", "1")
    app, ran = App("caller", vhost.url, ignore_result=True), set[int]()
    app.task(name="note")(ran.add)
    for number in range(3):
        app.send_task("note", (number,))

    def told() -> str | None:
        return next((pong.trouble for pong in app.control.ping().values() if not pong.ready), None)

    trouble = wait_for(told, WITHIN, lambda: worker.output)
    assert "it stands still: it holds" in str(trouble)
    assert worker.wait(WITHIN) == STANDSTILL == 6
    assert "it stands still" in worker.output
    with app.worker(["default"]):
        wait_for(lambda: ran == {0, 1, 2}, WITHIN, lambda: f"{ran}")
    app.close()
