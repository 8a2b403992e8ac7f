"""`task.submit()`: confirmed in the background, told by a future; in all else as `delay()`."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Any

import pytest

from amqptasks import App, signals
from amqptasks.errors import Unroutable
from tests.harness.apps import NewApp
from tests.harness.proxy import Proxy
from tests.harness.unique import gets_in, refused
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

NOWHERE: dict[str, Any] = {"exchange": "amqptasks.queues", "routing_key": "nowhere"}


def ready(app: App, queue: str = "default") -> int:
    with app.session() as session:
        state = session.queue_state(queue)
    assert state is not None
    return state.messages


def test_each_future_ends_with_the_result_of_its_own_call(new_app: NewApp) -> None:
    app = new_app()
    add = app.task(name="add", ignore_result=False)(lambda x, y: x + y)
    futures = [add.submit(number, y=1) for number in range(300)]
    results = [future.result(20) for future in futures]
    assert len({result.id for result in results}) == 300
    assert ready(app) == 300, "what a future ended for is in the queue"
    with app.worker():
        assert [result.get(20) for result in results] == list(range(1, 301))


def test_what_is_known_before_it_is_published_is_raised_at_once(new_app: NewApp) -> None:
    app = new_app()
    add = app.task(name="add")(lambda x, y: x + y)
    with pytest.raises(TypeError):
        add.submit(1)
    work = app.task(name="work", unique=True)(lambda word: None)
    first = work.submit("a")
    assert refused(work.submit, "a").holder == first.result(20).id
    assert ready(app) == 1


def test_one_that_no_queue_takes_ends_with_the_error_and_gives_its_claim_back(new_app: NewApp) -> None:
    app = new_app()
    lost = app.task(name="work", unique=True, **NOWHERE)(lambda: None)
    assert isinstance(lost.submit().exception(20), Unroutable)
    assert isinstance(lost.submit().exception(20), Unroutable), "no AlreadyQueued: the claim was given back"
    assert gets_in(lost.apply_async, exchange="amqptasks.queues", routing_key="default")
    assert not gets_in(lost.submit)


def test_what_is_gone_is_declared_again(new_app: NewApp) -> None:
    app = new_app()
    note = app.task(name="note")(lambda: None)
    note.delay()
    with app.session() as session:
        session.delete_queue("default")
    assert note.submit().result(20).id
    assert ready(app) == 1


def test_signals_events_and_callbacks_come_after_the_confirm_and_not_on_the_links_thread(
    new_app: NewApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    note = app.task(name="note")(lambda: None)
    told: list[tuple[str, str, int]] = []

    def tell(what: str) -> None:
        told.append((what, threading.current_thread().name, ready(app)))

    monkeypatch.setattr(app.caller, "tell_sent", lambda *_: tell("event"))

    @signals.after_task_publish.connect
    def published(**_: Any) -> None:
        tell("signal")

    release = threading.Event()

    def called(future: Future[Any]) -> None:
        note.delay()  # a callback may wait for the broker
        tell("callback")
        release.set()

    try:
        note.submit().add_done_callback(called)
        assert release.wait(20)
    finally:
        signals.after_task_publish.disconnect(published)
    names = {name for what, name, _ in told}
    assert len(names) == 1
    assert names.pop().startswith("amqptasks-ending")
    assert [what for what, _, _ in told] == ["event", "signal", "event", "signal", "callback"]
    assert [waiting for _, _, waiting in told] == [1, 1, 2, 2, 2]


def test_it_cannot_be_cancelled_and_close_publishes_what_is_under_way(new_app: NewApp) -> None:
    app = new_app()
    note = app.task(name="note")(lambda number: None)
    futures = [note.submit(number) for number in range(500)]
    assert not futures[-1].cancel()
    app.close(20)
    done, under_way = wait(futures, 20)
    assert not under_way
    assert all(future.exception() is None for future in done)
    assert ready(app) == 500


def test_threads_that_end_calls_go_with_their_app(new_app: NewApp) -> None:
    def ending() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("amqptasks-ending")}

    app, before = new_app(), ending()
    app.task(name="note")(lambda: None).submit().result(20)
    (made,) = ending() - before
    app.close()
    wait_for(lambda: not made.is_alive())


def test_nobody_waits_while_the_broker_is_silent(vhost: Vhost, proxy: Proxy) -> None:
    app = App("shop", proxy.url, ignore_result=True)
    note = app.task(name="note")(lambda number: None)
    note.delay(0)
    proxy.pause()
    futures = [note.submit(number) for number in range(1, 100)]
    assert not any(future.done() for future in futures)
    proxy.resume()
    assert len({future.result(20).id for future in futures}) == 99
    assert vhost.management.ready("default") == 100
    app.close()
