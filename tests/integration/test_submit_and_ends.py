"""What becomes of submitted calls when something ends: the app, the program, the task that made them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import BrokerUnreachable, Unroutable
from tests.harness.apps import NewApp
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY

NOWHERE: dict[str, Any] = {"exchange": "amqptasks.queues", "routing_key": "nowhere"}

BEGINNING = """
import sys, threading
from amqptasks import App
app = App("shop", sys.argv[1], ignore_result=True)
@app.task(name="note")
def note(number): ...
def told(future):
    print(threading.current_thread().name, future.exception(), flush=True)
"""


def run(url: str, ending: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program of its own, to its end."""
    program = folder / "program.py"
    program.write_text(BEGINNING + ending)
    surroundings = {name: value for name, value in os.environ.items() if name != "AMQPTASKS_BROKER_URL"}
    return subprocess.run(
        [sys.executable, str(program), url],
        env=surroundings | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ready(app: App, queue: str = "default") -> int:
    with app.session() as session:
        state = session.queue_state(queue)
    return 0 if state is None else state.messages


# The program


def test_a_program_that_ends_without_closing_its_app_has_published(vhost: Vhost, tmp_path: Path) -> None:
    done = run(vhost.url, "for number in range(200): note.submit(number)", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert vhost.management.ready("default") == 200


def test_it_waits_for_callbacks_and_what_they_submit(vhost: Vhost, tmp_path: Path) -> None:
    ending = "note.submit(1).add_done_callback(lambda _: note.submit(2).add_done_callback(told))"
    done = run(vhost.url, ending, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "amqptasks-ending None\n"
    assert vhost.management.ready("default") == 2


@pytest.mark.long
def test_it_says_what_it_has_waited_for_in_vain(vhost: Vhost, tmp_path: Path) -> None:
    ending = """
note.submit(0).result(20)
app.publish_timeout = 0.1
never = threading.Event()
note.submit(1).add_done_callback(lambda _: never.wait())
"""
    done = run(vhost.url, ending, tmp_path)
    assert done.returncode == 0
    assert "1 submitted call has not ended" in done.stderr


def test_a_thread_that_goes_on_after_the_main_one_submits_as_before(vhost: Vhost, tmp_path: Path) -> None:
    ending = """
note.submit(0).result(20)
def server():
    threading.main_thread().join()
    note.submit(1).add_done_callback(told)
    note.submit(2).result(20)
    app.close()
threading.Thread(target=server).start()
"""
    done = run(vhost.url, ending, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "amqptasks-ending None\n", "on the thread of its own, not on the link's"
    assert vhost.management.ready("default") == 3


def test_closing_at_exit_ends_them_too(vhost: Vhost, tmp_path: Path) -> None:
    ending = """
import atexit
atexit.register(app.close)
for number in range(100): note.submit(number).add_done_callback(told)
"""
    done = run(vhost.url, ending, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "amqptasks-ending None\n" * 100
    assert vhost.management.ready("default") == 100


# The app


def test_closing_sends_the_events_of_what_was_under_way_and_opens_nothing_anew(new_app: NewApp) -> None:
    app = new_app(events=True)
    note = app.task(name="note")(lambda number: None)
    note.delay(0)
    emitter = app.caller.emitter(app.caller.hostname)
    before = {thread for thread in threading.enumerate() if thread.name == "amqptasks-link"}
    futures = [note.submit(number) for number in range(300)]
    app.close(20)
    assert all(future.exception(0) is None for future in futures)
    assert (emitter.sent, emitter.dropped) == (301, 0)
    after = {thread for thread in threading.enumerate() if thread.name == "amqptasks-link"}
    wait_for(lambda: not any(thread.is_alive() for thread in before | after))
    assert not app.connections.is_open


def test_what_callbacks_publish_while_it_closes_is_published(new_app: NewApp) -> None:
    app = new_app()
    note = app.task(name="note")(lambda number: None)
    futures = [note.submit(number) for number in range(50)]
    for future in futures:
        future.add_done_callback(lambda _: note.delay(0))
    app.close(20)
    assert not app.connections.is_open
    assert ready(app) == 100


def test_a_callback_may_close_the_app(new_app: NewApp) -> None:
    app = new_app()
    note = app.task(name="note")(lambda number: None)
    submitted, closed = threading.Event(), threading.Event()

    def close(_: Future[Any]) -> None:
        assert submitted.wait(20)  # a call that begins while the app closes may be refused
        app.close(20)
        closed.set()

    note.submit(0).add_done_callback(close)
    later = [note.submit(number) for number in range(100)]
    submitted.set()
    assert closed.wait(20)
    for future in later:
        assert future.exception(20) is None
    assert ready(app) == 101


def test_what_the_broker_has_not_confirmed_in_time_ends_with_the_close(vhost: Vhost, proxy: Proxy) -> None:
    app = App("shop", proxy.url, ignore_result=True)
    note = app.task(name="note")(lambda number: None)
    note.delay(0)
    proxy.pause()
    future = note.submit(1)
    app.close(0.2)
    assert isinstance(future.exception(20), BrokerUnreachable)
    proxy.resume()


def test_without_a_broker_the_first_call_says_so_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and not listened to
        taken.bind(("127.0.0.1", 0))
        app = App("shop", f"amqp://127.0.0.1:{taken.getsockname()[1]}", publish_timeout=0.5)
        note = app.task(name="note")(lambda: None)
        with pytest.raises(BrokerUnreachable):
            note.submit()
        app.close()


# The task


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_task_whose_call_was_not_published_has_not_succeeded(new_app: NewApp, kind: str) -> None:
    app = new_app()
    lost = app.task(name="lost", **NOWHERE)(lambda: None)

    def submits() -> None:
        lost.submit()

    async def submits_async() -> None:
        lost.submit()

    function = submits_async if kind == "async" else submits
    task: Any = app.task(name="parent", ignore_result=False)(function)
    with app.worker(), pytest.raises(Unroutable):
        task.delay().get(20)


def test_a_task_that_asked_how_its_call_ended_decides_itself(new_app: NewApp) -> None:
    app = new_app()
    lost = app.task(name="lost", **NOWHERE)(lambda: None)
    task = app.task(name="parent", ignore_result=False)(lambda: type(lost.submit().exception(20)).__name__)
    with app.worker():
        assert task.delay().get(20) == "Unroutable"


def test_what_a_task_that_fails_has_submitted_is_told_where_it_is_lost(
    new_app: NewApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app()
    lost = app.task(name="lost", **NOWHERE)(lambda: None)

    def parent() -> None:
        lost.submit()
        raise ValueError("its own")

    task = app.task(name="parent", ignore_result=False)(parent)
    with app.worker(), pytest.raises(ValueError, match="its own"):
        task.delay().get(20)
    (line,) = [record for record in caplog.records if getattr(record, "action", "") == "submitted_lost"]
    assert "no queue takes routing key 'nowhere'" in line.getMessage()


def test_what_was_confirmed_is_kept_no_longer_than_that(new_app: NewApp) -> None:
    app = new_app()
    note = app.task(name="note", queue="default")(lambda: None)
    left: list[int] = []

    def parent() -> None:
        for _ in range(50):
            note.submit().result(20)
        left.append(len(task.request.submitted or ()))

    task = app.task(name="parent", ignore_result=False)(parent)
    with app.worker():
        task.delay().get(20)
    assert left == [0]
