"""Revoking tasks, on a real broker: those that wait, those that run, those to come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pika
import pytest

from amqptasks.control import places
from amqptasks.errors import TaskRevoked
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory
from tests.integration.asking import SOURCE, Told, name

#: Records of a stream that take a worker some tenths of a second to read.
MANY_RECORDS = 10_000


@pytest.fixture
def told(vhost: Vhost) -> Iterator[Told]:
    made = Told(vhost.url)
    yield made
    made.barrier.set()
    made.app.close()


def test_a_revoked_task_goes_to_the_dead_letters_and_its_caller_is_told(told: Told, vhost: Vhost) -> None:
    with told.app.worker(["default"], concurrency=1):
        told.hold(1)
        waiting = told.send("note", 1)
        answers = told.app.control.revoke(waiting.id)
        assert answers[name(answers)] == {"dropped": 1, "terminated": 0}, "it was in this worker's prefetch"
        with pytest.raises(TaskRevoked, match="by its id"):
            waiting.get(10)
        told.barrier.set()
    assert told.ran == ["0"]
    assert vhost.management.ready("default.dead") == 1


def test_what_waits_in_a_worker_that_no_command_reached_is_dropped_all_the_same(told: Told) -> None:
    with told.app.worker(["default"], concurrency=1) as node:
        told.hold(1)
        waiting = told.send("note", 1)
        wait_for(lambda: len(node.queues["default"].held) == 2)
        assert dict(told.app.control.revoke(waiting.id, destination="another worker")) == {}
        with pytest.raises(TaskRevoked, match="by its id"):
            waiting.get(10)
        told.barrier.set()
    assert told.ran == ["0"]


def test_what_was_revoked_during_an_outage_does_not_begin_before_that_is_read(
    told: Told, vhost: Vhost, proxy: Proxy
) -> None:
    served = Told(proxy.url)
    with closing(served.app), served.app.worker(["default"]) as node:
        proxy.refuse()
        wait_for(lambda: not node.ready)
        with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
            channel = connection.channel()
            for _ in range(MANY_RECORDS):
                channel.basic_publish(places.REVOKED.exchange.name, "", b"{}")
        revoked, other = told.send("note", "revoked"), told.send("note", "other")
        assert dict(told.app.control.revoke(revoked.id)) == {}
        proxy.accept()
        with pytest.raises(TaskRevoked, match="by its id"):
            revoked.get(20)
        assert other.get(20) is None
    assert served.ran == ["other"]


def test_streams_of_control_are_never_empty(told: Told) -> None:
    """Not even those whose maker died before it wrote the first record."""
    with told.app.session() as session:
        for stream in (places.NODES, places.REVOKED):
            stream.prepare(session)
        places.prepare(session, has_streams=True)

        def written(name: str) -> bool:
            state = session.queue_state(name)
            return state is not None and state.messages > 0

        wait_for(lambda: written(places.NODES.name) and written(places.REVOKED.name))


@pytest.mark.long
def test_a_revoked_countdown_does_not_run_after_the_worker_was_killed_and_started_again(
    told: Told, worker_process: WorkerFactory, vhost: Vhost
) -> None:
    worker = worker_process(SOURCE)
    revoked, other = told.send("note", "revoked", countdown=3), told.send("note", "other", countdown=3)
    told.app.control.revoke(revoked.id)
    worker.kill()
    again = worker_process(None)
    again.wait_for_line("ran other", 20)
    wait_for(lambda: vhost.management.ready("default.dead") == 1)
    assert "ran revoked" not in again.output
    with pytest.raises(TaskRevoked):
        revoked.get(10)
    assert other.get(10) is None


def test_what_is_revoked_while_no_worker_is_there_does_not_run(told: Told, worker_process: WorkerFactory) -> None:
    told.app.declare()
    revoked, other = told.send("note", "revoked"), told.send("note", "other")
    assert dict(told.app.control.revoke([revoked.id])) == {}
    worker = worker_process(SOURCE)
    worker.wait_for_line("ran other")
    with pytest.raises(TaskRevoked):
        revoked.get(10)
    assert "ran revoked" not in worker.output
    assert other.get(10) is None


def test_tasks_are_revoked_by_name_until_now_and_by_header(told: Told) -> None:
    with told.app.worker(["default"], concurrency=1):
        told.hold(1)
        before = told.send("note", "before")
        stamped = told.send("note", "stamped", headers={"tenant": "acme"})
        told.app.control.revoke(headers={"tenant": "acme"})
        told.app.control.revoke(task="no*")
        after = told.send("note", "after")
        told.barrier.set()
        for result in (before, stamped):
            with pytest.raises(TaskRevoked):
                result.get(10)
        assert after.get(10) is None
    assert told.ran == ["0", "after"]


def test_a_revocation_can_be_taken_back(told: Told, worker_process: WorkerFactory) -> None:
    told.app.declare()
    task = told.send("note", "after all")
    told.app.control.revoke(task.id)
    told.app.control.restore(task.id)
    worker_process(SOURCE).wait_for_line("ran after all")


def test_what_runs_is_ended_when_that_was_asked_for(told: Told) -> None:
    seen: list[str] = []

    @told.app.task(name="loop")
    def loop() -> None:
        seen.append("began")
        try:
            while True:
                time.sleep(0.01)
        finally:
            seen.append("tidied up")

    with told.app.worker(["default"]):
        running = told.send("loop")
        wait_for(lambda: seen == ["began"])
        answers = told.app.control.revoke(running.id)
        assert answers[name(answers)] == {"dropped": 0, "terminated": 0}
        answers = told.app.control.revoke(running.id, terminate=True)
        assert answers[name(answers)] == {"dropped": 0, "terminated": 1}
        with pytest.raises(TaskRevoked, match="while it ran"):
            running.get(10)
        assert seen == ["began", "tidied up"]
