"""Asking workers and telling them, on a real broker."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from amqptasks import App, streams
from amqptasks.amqp.blocking.session import Session
from amqptasks.control.envelope import CLOCKS_DIFFER
from amqptasks.control.places import EXCHANGE
from amqptasks.errors import ConfigurationError, Nacked
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport.entities import Binding, Queue
from tests.harness.proxy import Proxy
from tests.harness.vhost import Broker, Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory
from tests.integration.asking import ANSWERS_WITHIN, SOURCE, Told, name


@pytest.fixture
def told(vhost: Vhost) -> Iterator[Told]:
    made = Told(vhost.url)
    yield made
    made.barrier.set()
    made.app.close()


def test_a_worker_answers_although_every_slot_is_taken(told: Told) -> None:
    with told.app.worker(["default"], concurrency=1) as node:
        told.hold(1)
        began = time.monotonic()
        pong = told.app.control.ping(timeout=ANSWERS_WITHIN)
        assert time.monotonic() - began < ANSWERS_WITHIN, "it waited for its timeout, although all had answered"
        assert name(pong) == node.name
        assert pong[node.name].ready
        assert pong.complete
        told.barrier.set()


def test_a_solo_worker_answers_while_its_task_runs(vhost: Vhost, told: Told, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-P", "solo", "-n", "alone")
    told.send("hold", 60)
    worker.wait_for_line("holding")
    assert told.app.control.ping(timeout=ANSWERS_WITHIN)["alone"].ready
    assert [task.name for task in told.app.control.active(timeout=ANSWERS_WITHIN)["alone"]] == ["hold"]


def test_what_runs_and_what_waits_is_told_apart(told: Told) -> None:
    with told.app.worker(["default"], concurrency=1) as node:
        running = told.send("hold", "first")
        assert told.holding.acquire(timeout=10)
        waiting = told.send("hold", "second")
        wait_for(lambda: len(node.queues["default"].held) == 2)
        control = told.app.control
        active = control.active()[node.name]
        assert [(task.id, task.name, task.args, task.queue) for task in active] == [
            (running.id, "hold", "('first',)", "default")
        ]
        assert active[0].pool == "threads"
        assert active[0].started == pytest.approx(time.time(), abs=30)
        assert [task.id for task in control.reserved()[node.name]] == [waiting.id]
        assert [task.id for task in control.query(waiting.id)[node.name]] == [waiting.id]
        stats = control.stats()[node.name]
        assert (stats.running, stats.held, stats.pools["threads"]) == (1, 2, {"size": 1, "running": 1})
        assert stats.memory > 2**20
        told.barrier.set()


@pytest.mark.parametrize(
    ("pool", "task"), [("prefork", "hold"), ("threads", "hold"), ("solo", "hold"), ("threads", "ahold")]
)
def test_what_a_worker_holds_is_shown_with_its_arguments_and_the_process_that_runs_it(
    told: Told, worker_process: WorkerFactory, pool: str, task: str
) -> None:
    options = ("-P", pool, "-c", "1", "--async-concurrency", "1", "--prefetch", "10")
    worker = worker_process(SOURCE, "-n", "one", *options)
    told.send(task, 60)
    worker.wait_for_line("holding")
    control = told.app.control
    (active,) = control.active(timeout=ANSWERS_WITHIN)["one"]
    assert (active.args, active.kwargs) == ("(60,)", "{}")
    if pool == "prefork":
        (fork_server,) = psutil.Process(worker.pid).children()
        assert [active.pid] == [child.pid for child in fork_server.children()]
    else:
        assert active.pid == worker.pid

    short = told.send(task, 61)
    long = told.send(task, "long" * 5000)
    packed = told.send(task, "packed" * 500, compression="zlib")
    waiting = wait_for(lambda: len(found := control.reserved(timeout=ANSWERS_WITHIN)["one"]) == 3 and found)
    assert {one.id: (one.args, one.kwargs, one.pid) for one in waiting} == {
        short.id: ("(61,)", "{}", None),
        long.id: (None, None, None),
        packed.id: (None, None, None),
    }
    assert [one.args for one in control.query(short.id, timeout=ANSWERS_WITHIN)["one"]] == ["(61,)"]
    worker.signal(signal.SIGQUIT)
    worker.wait()


def test_a_worker_tells_how_it_is_set_up(told: Told, vhost: Vhost) -> None:
    with told.app.worker({"default": 7}, concurrency=2) as node:
        control = told.app.control
        assert control.registered()[node.name] == ("hold", "note")
        queue = control.active_queues()[node.name][0]
        assert (queue.name, queue.prefetch, queue.consuming, queue.type) == ("default", 7, True, "quorum")
        assert control.conf()[node.name]["prefetch"] == {"default": 7}
        report = control.report()[node.name]
        assert "RabbitMQ" in report
        assert "guest:guest" not in report
        assert "guest:guest" not in str(control.stats()[node.name].broker)


def test_a_virtual_host_may_have_any_digits_in_its_name(broker: Broker) -> None:
    """The code of a refusal is one, a name that looks like it is none."""
    with new_vhost(broker, "test-403") as vhost:
        made = Told(vhost.url)
        with made.app.worker(["default"]) as node:
            assert name(made.app.control.ping(timeout=ANSWERS_WITHIN)) == node.name
            assert node.control.trouble is None
        made.app.close()


def test_nobody_there_is_an_answer_at_once(told: Told) -> None:
    began = time.monotonic()
    answers = told.app.control.ping(timeout=30)
    assert time.monotonic() - began < 10
    assert (dict(answers), answers.missing, answers.complete) == ({}, (), True)


@pytest.mark.long
def test_a_worker_that_hangs_is_named_and_one_that_was_killed_is_not(told: Told, worker_process: WorkerFactory) -> None:
    hung, killed = worker_process(SOURCE, "-n", "hung"), worker_process(None, "-n", "killed")
    with told.app.worker(["default"]) as node:
        control = told.app.control
        assert sorted(control.ping(timeout=ANSWERS_WITHIN)) == sorted(["hung", "killed", node.name])
        killed.kill()
        hung.signal(signal.SIGSTOP)
        try:
            wait_for(lambda: "killed" not in control.ping(timeout=0.5).missing, 10)
            answers = control.ping(timeout=1.0)
            assert (list(answers), answers.missing, answers.complete) == ([node.name], ("hung",), True)
        finally:
            hung.signal(signal.SIGCONT)
        assert "hung" in control.ping(timeout=ANSWERS_WITHIN)
        assert hung.terminate() == 0
        assert control.ping("hung", timeout=0.5).missing == ("hung",), "asked for by name"
        assert control.ping(timeout=ANSWERS_WITHIN).missing == (), "it said goodbye"


def test_one_queue_that_takes_no_command_hides_nobodys_answer(told: Told, session: Session) -> None:
    """As that of a worker that dies in this moment: the broker nacks what all others got."""
    full = Queue("full", arguments={"x-queue-type": "classic", "x-max-length": 0, "x-overflow": "reject-publish"})
    with told.app.worker(["default"]) as node:
        session.declare_queue(full)
        session.bind(Binding(EXCHANGE.name, full.name, ""))
        with pytest.raises(Nacked):
            session.publish(Outgoing(EXCHANGE.name, "", b"{}", Properties()))
        assert name(told.app.control.ping(timeout=ANSWERS_WITHIN)) == node.name
        assert told.app.control.pool_grow(1, timeout=ANSWERS_WITHIN)[node.name] == node.concurrency


def test_no_silence_of_the_broker_is_taken_for_the_end_of_the_list_of_workers(
    told: Told, worker_process: WorkerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.reader, "SILENCE", 0.0)  # no patience at all
    hung = worker_process(SOURCE, "-n", "hung")
    with told.app.worker(["default"]) as node:
        hung.signal(signal.SIGSTOP)
        try:
            answers = told.app.control.ping(timeout=1.0)
            assert (list(answers), answers.missing, answers.complete) == ([node.name], ("hung",), True)
        finally:
            hung.signal(signal.SIGCONT)


def test_a_command_is_for_those_it_names(told: Told, worker_process: WorkerFactory) -> None:
    worker_process(SOURCE, "-n", "web-1")
    worker_process(None, "-n", "web-2")
    worker_process(None, "-n", "mail-1")
    control = told.app.control
    assert sorted(control.ping("web-*")) == ["web-1", "web-2"]
    assert sorted(control.ping(["mail-1", "web-2"])) == ["mail-1", "web-2"]
    assert sorted(control.ping("self")) == ["mail-1", "web-1", "web-2"]


def test_processes_of_one_command_have_names_of_their_own(told: Told, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-n", "web@%n", "--processes", "2", "-c", "1", ready=False)
    worker.wait_for_line("is ready", 40, count=2)
    host = socket.gethostname().partition(".")[0]
    names = [f"web-0@{host}", f"web-1@{host}"]
    wait_for(lambda: sorted(told.app.control.ping(timeout=ANSWERS_WITHIN)) == names, 20, "each answers for itself")


def test_a_hung_worker_does_not_do_later_what_it_was_told_before(told: Told, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-n", "hung")
    assert "hung" in told.app.control.ping(timeout=ANSWERS_WITHIN)
    worker.signal(signal.SIGSTOP)
    assert told.app.control.shutdown(timeout=1.0).missing == ("hung",)
    time.sleep(CLOCKS_DIFFER)  # until the command is too late on any clock
    worker.signal(signal.SIGCONT)
    wait_for(lambda: "hung" in told.app.control.ping(timeout=ANSWERS_WITHIN), 20)
    assert worker.status is None
    worker.wait_for_line("too late for the command shutdown")


def test_a_worker_answers_again_after_its_connection_broke(proxy: Proxy, vhost: Vhost) -> None:
    served, asking = Told(proxy.url), Told(vhost.url)
    try:
        with served.app.worker(["default"]) as node:
            assert name(asking.app.control.ping()) == node.name
            proxy.cut()
            wait_for(lambda: list(asking.app.control.ping(timeout=0.5)) == [node.name], 20)
    finally:
        asking.app.close()


def test_a_command_that_makes_no_sense_is_refused_with_words(told: Told) -> None:
    with told.app.worker(["default"]) as node:
        control = told.app.control
        assert "does not know the command" in control.ask("dance").errors[node.name]
        assert "does not consume 'other'" in control.pause("other").errors[node.name]
        assert "from 1 to" in control.pool_shrink(100).errors[node.name]
        assert "no task 'nobody'" in control.time_limit("nobody", 1).errors[node.name]
        assert "start it with -P prefork" in control.autoscale(4, 2).errors[node.name]
        assert "no level 'loud'" in control.log_level("loud").errors[node.name]
        with pytest.raises(ConfigurationError, match="revoke what"):
            control.revoke()


def test_a_queue_is_paused_and_goes_on(told: Told) -> None:
    with told.app.worker(["default"]) as node:
        control = told.app.control
        control.pause("default")
        wait_for(lambda: not node.queues["default"].consuming)
        assert control.active_queues()[node.name][0].paused
        assert control.ping()[node.name].ready, "a pause that was asked for is no trouble"
        told.send("note", 1)
        assert told.ran == []
        control.resume("default")
        wait_for(lambda: told.ran == [1])


def test_queues_are_added_and_cancelled(told: Told) -> None:
    with told.app.worker(["default"]) as node:
        control = told.app.control
        assert control.add_consumer("other")[node.name] == "consumes other"
        wait_for(lambda: node.queues["other"].consuming, 20)
        told.app.send_task("note", ["here"], queue="other")
        wait_for(lambda: told.ran == ["here"])
        control.cancel_consumer("other")
        assert [queue.name for queue in control.active_queues()[node.name]] == ["default"]


def test_a_pool_grows_and_shrinks(told: Told) -> None:
    with told.app.worker({"default": 10}, concurrency=1) as node:
        told.hold(1)
        assert told.app.control.pool_grow(2)[node.name] == 3
        told.hold(2)
        assert told.app.control.stats()[node.name].running == 3
        assert told.app.control.pool_shrink(2)[node.name] == 1
        told.barrier.set()


def test_a_worker_that_grew_holds_as_much_as_it_can_run(told: Told) -> None:
    with told.app.worker(["default"], concurrency=2) as node:
        assert node.queues["default"].prefetch == 4
        assert told.app.control.pool_grow(6)[node.name] == 8
        told.hold(8)
        assert told.app.control.stats()[node.name].running == 8
        assert told.app.control.active_queues()[node.name][0].prefetch == 16
        told.app.control.pool_shrink(6)
        wait_for(lambda: node.queues["default"].prefetch == 4)
        told.barrier.set()


def test_a_time_limit_is_set_while_the_worker_runs(told: Told) -> None:
    seen: list[str] = []

    @told.app.task(name="loop")
    def loop() -> None:
        try:
            while True:
                time.sleep(0.01)
        except Exception as error:
            seen.append(type(error).__name__)
            raise

    with told.app.worker(["default"]):
        told.app.control.time_limit("loop", 20, 0.2)
        told.send("loop")
        wait_for(lambda: seen == ["SoftTimeLimitExceeded"], 20)


def test_shutdown_stops_a_worker(told: Told, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-n", "stopping")
    assert told.app.control.shutdown()["stopping"] == "stopping"
    assert worker.wait() == 0


async def _asked(told: Told) -> Any:
    return await told.app.control.awaited("ping")


def test_asking_does_not_block_an_event_loop(told: Told) -> None:
    import asyncio

    with told.app.worker(["default"]) as node:
        assert asyncio.run(_asked(told))[node.name].ready


def test_a_task_that_waits_in_the_ladder_is_counted_by_when_it_is_due(told: Told) -> None:
    told.send("note", 1, countdown=100)
    told.send("note", 2, countdown=100)
    told.send("note", 3, countdown=3000)
    wait_for(lambda: [one.count for one in told.app.control.scheduled()] == [2, 1])
    within = [one.within for one in told.app.control.scheduled()]
    assert 100 <= within[0] <= 200
    assert 3000 <= within[1] <= 6000


# -- Revoking


def test_without_the_right_to_make_a_queue_a_worker_works_and_says_so_once(
    vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    management = vhost.management
    App("declares", vhost.url).declare()
    user = f"few-{vhost.name}"
    management.request("PUT", "users", user, body={"password": "few", "tags": ""})
    try:
        rights = {"configure": "^$", "write": "^(amqptasks|default|$).*", "read": "^(default|amqptasks).*"}
        management.request("PUT", "permissions", vhost.name, user, body=rights)
        worker = worker_process(SOURCE, broker_url=vhost.url.replace("guest:guest", f"{user}:few"))
        told = Told(vhost.url)
        told.send("note", "works")
        worker.wait_for_line("ran works")
        assert worker.output.count("no remote control") == 1
        told.app.close()
    finally:
        management.request("DELETE", "users", user)
