"""The link's thread: a raise in any of its callbacks loses no task, and what ends it ends the worker's process."""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from pika.adapters.utils import connection_workflow

from amqptasks import App, serializers
from amqptasks.amqp import connection
from amqptasks.amqp.confirmed_publisher import ConfirmedPublisher
from amqptasks.amqp.connection import Connection
from amqptasks.amqp.lease import ChannelLease
from amqptasks.amqp.subscription import Subscription
from amqptasks.amqp.wire.pika_internals import Wire
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.worker.consume.dispatcher import Dispatcher
from amqptasks.worker.process.failing import STANDSTILL
from amqptasks.worker.settle import Settler
from amqptasks.worker.settle.completions import Completions
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

#: Seconds for tasks to run after something broke: a connection comes back within five, on a busy machine.
BACK_WITHIN = 20.0

#: Seconds in which a worker's process has ended that lost its link.
ENDS_WITHIN = 10.0

#: Lines that a worker may write over one fault.
MOST_LINES = 1000

#: Callbacks of the link's thread while tasks come and go, and while a connection breaks and comes back.
RUNNING: list[tuple[type, str]] = [
    (Subscription, "_hand_over"),
    (Subscription, "_add"),
    (Dispatcher, "deliveries"),
    (Dispatcher, "_shares"),
    (Completions, "_settle_finished"),
    (Settler, "settle"),
    (Settler, "finish"),
    (ChannelLease, "_flush_or_gather"),
    (ChannelLease, "_flush"),
    (Wire, "_uncork"),
    (ConfirmedPublisher, "publish"),
    (ConfirmedPublisher, "_on_ack"),
]
RECONNECTING: list[tuple[type, str]] = [
    (Connection, "_on_open"),
    (Connection, "_on_closed"),
    (Connection, "_connect"),
    (Subscription, "_on_channel"),
    (Subscription, "_on_channel_closed"),
    (Subscription, "_end_lease"),
    (Subscription, "start"),
    (ConfirmedPublisher, "connection_opened"),
    (ConfirmedPublisher, "connection_closed"),
    (ConfirmedPublisher, "_on_channel"),
    (Dispatcher, "lost"),
    (Dispatcher, "consuming"),
]


class Once:
    """A method that raises the first time that it is called, once `armed`."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        self.armed = False
        self.raised = 0

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.armed:
                self.armed = False
                self.raised += 1
                raise RuntimeError("broken on purpose")
            return self._original(instance, *arguments, **named)

        return call


def broken(where: tuple[type, str], monkeypatch: pytest.MonkeyPatch) -> Once:
    owner, name = where
    once = Once(getattr(owner, name))
    monkeypatch.setattr(owner, name, once)
    return once


def named(where: tuple[type, str]) -> str:
    return f"{where[0].__name__}.{where[1]}"


@pytest.mark.parametrize("where", RUNNING, ids=named)
def test_a_callback_of_the_link_that_raises_amid_tasks_loses_none(
    where: tuple[type, str], vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, ran = App("once", vhost.url, ignore_result=True), set[int]()
    task = app.task(name="note")(ran.add)
    once = broken(where, monkeypatch)  # before: some are bound when a connection is made
    with app.worker(["default"]) as node:
        once.armed = True
        sender = App("sender", vhost.url, ignore_result=True)
        if where[0] is ConfirmedPublisher:
            task.submit(-1)  # by the worker's own link
        sender.send_task("note", (0,)) if where[0] is not ConfirmedPublisher else None
        wait_for(lambda: once.raised, BACK_WITHIN, "it raises")
        for number in range(1, 20):
            sender.send_task("note", (number,))
        wait_for(lambda: set(range(1, 20)) <= ran, BACK_WITHIN, lambda: f"{ran}, ready: {node.ready}, {node.trouble}")
        wait_for(lambda: not node.held, BACK_WITHIN, lambda: f"{node.held}")
        assert node.failure is None
        sender.close()
    assert vhost.management.ready("default") == 0


@pytest.mark.parametrize("where", RECONNECTING, ids=named)
def test_a_callback_of_the_link_that_raises_while_it_reconnects_loses_no_task(
    where: tuple[type, str], vhost: Vhost, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, ran = App("once", proxy.url, ignore_result=True), set[int]()
    app.task(name="note")(ran.add)
    once = broken(where, monkeypatch)  # before: some are bound when a connection is made
    with app.worker(["default"]) as node:
        once.armed = True
        proxy.cut()
        wait_for(lambda: once.raised, BACK_WITHIN, "it raises")
        sender = App("sender", vhost.url, ignore_result=True)
        for number in range(20):
            sender.send_task("note", (number,))
        wait_for(lambda: set(range(20)) <= ran, BACK_WITHIN, lambda: f"{ran}, ready: {node.ready}, {node.trouble}")
        wait_for(lambda: node.ready, BACK_WITHIN, lambda: f"{node.trouble}")
        assert node.failure is None
        sender.close()


def test_a_connection_for_whose_socket_there_was_no_descriptor_is_tried_again(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    make = socket.socket

    def refused(*arguments: Any, **named: Any) -> socket.socket:
        if threading.current_thread().name == "amqptasks-link" and len(tried) < 2:
            tried.append(arguments)
            raise OSError(errno.EMFILE, "Too many open files")
        return make(*arguments, **named)

    monkeypatch.setattr(connection, "LOOK_EVERY", 0.2)
    app = App("few", vhost.url, ignore_result=True)
    app.declare()
    monkeypatch.setattr(connection_workflow, "socket", SimpleNamespace(**{**vars(socket), "socket": refused}))
    with closing(app):
        assert app.send_task("note", (1,)).id
    assert len(tried) == 2
    assert vhost.management.ready("default") == 1


ENDED = """
import ctypes, os, threading
from amqptasks import App
app = App("ended", ignore_result=True)

def link():
    return next(one for one in threading.enumerate() if one.name == "amqptasks-link" and one is not None)

@app.task(name="descriptors")
def descriptors():
    os.closerange(3, 256)

@app.task(name="loop")
def loop():
    app.connections.link._loop.stop()

@app.task(name="thread")
def thread():
    identity = app.connections.link._thread.ident
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(identity), ctypes.py_object(SystemExit))
    app.connections.link._loop._wakeup.ring(b"!")

@app.task(name="note")
def note(number):
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("how", ["descriptors", "loop"])
def test_what_ends_the_thread_of_the_link_ends_the_worker_and_its_messages_run_elsewhere(
    how: str, worker_process: WorkerFactory, vhost: Vhost
) -> None:
    worker = worker_process(ENDED, "-P", "threads", "-c", "4", "-Q", "default", module="ended")
    ran = set[int]()
    with closing(App("elsewhere", vhost.url, ignore_result=True)) as app:
        app.task(name="note")(ran.add)
        for number in range(3):
            app.send_task("note", (number,))
        wait_for(lambda: vhost.management.ready("default") == 0, BACK_WITHIN, "it holds them")
        app.send_task(how)
        assert worker.wait(ENDS_WITHIN + 5) == STANDSTILL, worker.output
        assert "the worker ends: the thread of the broker's connections has ended" in worker.output
        assert worker.output.count("\n") < MOST_LINES
        app.task(name=how)(lambda: None)
        with app.worker(["default"]):
            wait_for(lambda: ran == {0, 1, 2}, BACK_WITHIN, lambda: f"{ran}")


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    made = App("shop", vhost.url, ignore_result=True)
    yield made
    made.caller.leave()


@pytest.fixture
def endless() -> Iterator[threading.Event]:
    """A serializer whose `loads` does not return before this is set."""
    going_on = threading.Event()

    def loads(_data: object) -> object:
        assert going_on.wait(120)
        return [[], {}, {}]

    serializers.register("endless", json.dumps, loads, "application/x-endless")
    yield going_on
    going_on.set()


def test_loads_of_a_serializer_that_never_returns_holds_up_neither_the_link_nor_other_tasks_with_a_rate_limit(
    vhost: Vhost, endless: threading.Event
) -> None:
    app, ran = App("endless", vhost.url, accept_content=["json", "endless"], ignore_result=True), set[int]()
    task = app.task(name="limited", rate_limit="1000/s")(ran.add)
    with app.worker({"default": 20}) as node:
        for number in range(3):
            task.apply_async((number + 100,), serializer="endless")
        for number in range(5):
            task.delay(number)
        wait_for(lambda: ran == set(range(5)), BACK_WITHIN, lambda: f"{ran}")
        answers = app.control.ping(timeout=5)
        assert [pong.ready for pong in answers.values()] == [True]
        assert len(node.held) == 3
        node.stop()
        assert node.wait(ENDS_WITHIN), "what is being read goes back, and holds up no stop"
    wait_for(lambda: vhost.management.ready("default") == 3, BACK_WITHIN, "they went back")


@pytest.mark.parametrize("argument", ["\ud800", "nested"])
def test_a_lock_whose_key_cannot_be_made_harms_no_other_task_of_the_batch(
    argument: str, app: App, vhost: Vhost
) -> None:
    ran: list[int] = []
    app.task(name="note")(ran.append)
    app.task(name="book", lock="account-{account}")(lambda account: ran.append(-1))
    value = '"\\ud800"' if argument != "nested" else "[" * 1015 + "]" * 1015
    for number in range(50):
        app.send_task("note", (number,))
    properties = Properties(content_type="application/json", headers={"task": "book", "id": "a"})
    with app.session() as session:
        session.publish(Outgoing("amqptasks.queues", "default", f"[[{value}],{{}},{{}}]".encode(), properties))
    with app.worker({"default": 60}):
        wait_for(lambda: set(range(50)) <= set(ran), BACK_WITHIN, lambda: f"{len(ran)} ran")
        wait_for(lambda: -1 in ran or vhost.management.ready("default.dead") == 1, BACK_WITHIN, "it ran, or is dead")


def test_a_delivery_that_raises_on_its_way_in_is_a_dead_letter_and_the_rest_of_its_batch_runs(
    app: App, vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    app.task(name="note")(ran.append)
    original = Dispatcher._watch

    def watch(self: Dispatcher, job: Any, task: Any) -> None:
        if job.delivery.shared_headers["id"] == "bad":
            raise RuntimeError("broken on purpose")
        original(self, job, task)

    monkeypatch.setattr(Dispatcher, "_watch", watch)
    for number in range(20):
        app.send_task("note", (number,), task_id="bad" if number == 7 else None, time_limit=60)
    with app.worker({"default": 30}):
        wait_for(lambda: len(ran) == 19, BACK_WITHIN, lambda: f"{ran}")
        wait_for(lambda: vhost.management.ready("default.dead") == 1, BACK_WITHIN, "the bad one is dead")
    assert 7 not in ran


def test_a_task_that_changes_its_own_request_is_settled_by_what_was_noted_before(app: App, vhost: Vhost) -> None:
    begun: list[str] = []

    @app.task(name="everything", bind=True, ignore_result=False)
    def everything(self: Any) -> int:
        request = self.request
        for name in list(request.__dict__):
            setattr(request, name, object())
        request.callbacks, request.errbacks, request.chain = 5, 5, 5
        begun.append("everything")
        return 1

    @app.task(name="fails", bind=True, max_retries=1, ignore_result=False)
    def fails(self: Any) -> None:
        self.request.retries = self.request.id = self.request.headers = None
        begun.append("fails")
        raise ValueError("x")

    with app.worker(["default"]) as node:
        assert everything.delay().get(timeout=BACK_WITHIN) == 1
        with pytest.raises(ValueError, match="x"):
            fails.delay().get(timeout=BACK_WITHIN)
        wait_for(
            lambda: (node.counts["Success"], node.counts["Failure"]) == (1, 1), BACK_WITHIN, lambda: f"{node.counts}"
        )
        assert not node.held
    assert begun == ["everything", "fails"]
    assert vhost.management.ready("default") == 0


def test_app_close_in_a_task_leaves_the_worker_as_it_is(app: App, vhost: Vhost) -> None:
    ran = set[int]()
    app.task(name="note", ignore_result=True)(ran.add)

    @app.task(name="close")
    def close(number: int) -> int:
        app.send_task("note", (number,), ignore_result=True)
        app.close()
        app.send_task("note", (number + 1,), ignore_result=True)
        return number

    with app.worker(["default"]) as node:
        result = close.delay(1)
        wait_for(lambda: {1, 2} <= ran, BACK_WITHIN, lambda: f"{ran}")
        sender = App("sender", vhost.url, ignore_result=True)
        for number in range(10, 20):
            sender.send_task("note", (number,))
        wait_for(lambda: set(range(10, 20)) <= ran, BACK_WITHIN, lambda: f"{ran}, {node.trouble}")
        sender.close()
        del result
