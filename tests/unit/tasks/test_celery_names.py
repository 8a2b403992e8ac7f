"""What Celery's names do here, each run through a worker: those of which no other file of this folder is."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App, Request, signals
from amqptasks.errors import RemoteError, TaskRejected, TaskRevoked, Terminated, UnknownTask
from amqptasks.messages.reach import Reach
from tests.harness.wait import wait_for

# Options of a task


def runs_of(app: App, error: type[Exception], **options: Any) -> list[float]:
    """When a task that always raises `error` was run, with these options of retries."""
    moments: list[float] = []

    @app.task(name="shop.fail", **options)
    def fail() -> None:
        moments.append(time.monotonic())
        raise error("no line")

    with app.worker(), pytest.raises((error, RemoteError)):
        fail.delay().get(timeout=20)
    return moments


def test_retry_kwargs_say_how_often_and_when(app: App) -> None:
    moments = runs_of(app, OSError, autoretry_for=(OSError,), retry_kwargs={"max_retries": 2, "countdown": 0.2})
    assert len(moments) == 3
    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(moments))


def test_what_is_not_to_be_retried_is_not(app: App) -> None:
    retried = {"autoretry_for": (OSError,), "default_retry_delay": 0}
    assert len(runs_of(app, ConnectionError, dont_autoretry_for=(ConnectionError,), max_retries=2, **retried)) == 1


def test_a_backoff_grows_up_to_its_bound(app: App) -> None:
    moments = runs_of(
        app,
        OSError,
        autoretry_for=(OSError,),
        max_retries=8,
        retry_backoff=0.1,
        retry_backoff_max=0.2,
        retry_jitter=False,
    )
    waited = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(waited) == 8
    assert all(pause >= least for pause, least in zip(waited, (0.1, *[0.2] * 7), strict=True))
    assert sum(waited) < 20.0, "without the bound it would have been 25.5 s"


def test_without_typing_it_is_the_run_that_fails(app: App) -> None:
    strict = app.task(name="shop.strict")(lambda x: x)
    loose: Any = app.task(name="shop.loose", typing=False)(lambda x: x)
    with pytest.raises(TypeError, match=r"shop\.strict\(\): missing a required argument: 'x'"):
        strict.delay()
    with app.worker(), pytest.raises(TypeError, match="missing 1 required positional argument"):
        loose.delay().get(timeout=10)


def test_what_it_throws_is_logged_without_a_traceback(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="shop.pay", throws=(KeyError,))
    def pay(word: str) -> None:
        raise {"expected": KeyError, "not": ValueError}[word](word)

    with caplog.at_level(logging.INFO), app.worker():
        for word, kind in (("expected", KeyError), ("not", ValueError)):
            with pytest.raises(kind):
                pay.delay(word).get(timeout=10)

    ends = [caplog.handler.format(record) for record in caplog.records if "failed in" in record.getMessage()]
    assert ["Traceback" in end for end in ends] == [False, True]


def test_options_of_a_message_hold_for_each_call_of_a_task(app: App) -> None:
    seen: list[Request] = []

    @app.task(
        name="shop.look",
        bind=True,
        queue="other",
        priority=7,
        serializer="json",
        compression="zlib",
        expires=60,
        headers={"tenant": "acme"},
        shadow="look at it",
        time_limit=50,
        soft_time_limit=40,
    )
    def look(self: Any, text: str) -> int:
        seen.append(self.request)
        return len(text)

    app.add_queues(["other"])
    with app.worker(["other"]):
        assert look.delay("x" * 5000).get(timeout=10) == 5000
    (request,) = seen
    assert (request.queue, request.priority, request.headers["tenant"]) == ("other", 7, "acme")
    assert (request.shadow, request.timelimit) == ("look at it", (50, 40))
    assert request.expires is not None
    assert timedelta(0) < request.expires - datetime.now(UTC) <= timedelta(seconds=60)


def test_an_exchange_and_a_routing_key_lead_there(app: App) -> None:
    task = app.task(name="shop.look", exchange="amqptasks.queues", routing_key="default")(lambda: "here")
    with app.worker():
        assert task.delay().get(timeout=10) == "here"


# Options of a call, and the request


def test_ids_of_its_family_can_be_given(app: App) -> None:
    @app.task(name="shop.look", bind=True)
    def look(self: Any) -> list[Any]:
        return [self.request.id, self.request.root_id, self.request.parent_id]

    with app.worker():
        result = look.apply_async(task_id="me", root_id="grandmother", parent_id="mother")
        assert result.get(timeout=10) == ["me", "grandmother", "mother"]


def test_a_reply_goes_where_the_call_says(app: App) -> None:
    task = app.task(name="shop.look")(lambda: 5)
    app.add_queues(["answers"])
    app.declare()
    app.codec.reach = Reach(replies=["ans*"])
    with app.worker(["default"]):
        task.apply_async(reply_to="answers", task_id="asked")
        with app.session() as session:
            wait_for(lambda: session.queue_state("answers").messages == 1)  # type: ignore[union-attr]
            (answer,) = session.take("answers", 1)
            assert (answer.properties.correlation_id, b'"result":5' in answer.body) == ("asked", True)


def test_a_request_has_what_its_message_says(app: App) -> None:
    seen: list[Request] = []
    after = app.task(name="shop.after")(lambda *_: None)

    @app.task(name="shop.look", bind=True)
    def look(self: Any) -> None:
        seen.append(self.request)

    with app.worker():
        eta = datetime.now(UTC) + timedelta(seconds=0.1)
        look.apply_async(eta=eta, link=after.si(), link_error=after.si(), chain=[after.si()], ignore_result=True)
        wait_for(lambda: seen)
    (request,) = seen
    assert request.eta is not None
    assert abs(request.eta - eta) < timedelta(seconds=0.01)
    assert [one["task"] for one in request.callbacks or ()] == ["shop.after"]
    assert [one["task"] for one in request.errbacks or ()] == ["shop.after"]
    assert [one["task"] for one in request.chain or ()] == ["shop.after"]
    assert (request.chord, request.group, request.reply_to) == (None, None, None)


# Errors


def test_a_revoked_task_may_tidy_up(app: App) -> None:
    began, seen = threading.Event(), []

    @app.task(name="shop.long")
    def long() -> None:
        began.set()
        try:
            while True:
                time.sleep(0.01)
        except Terminated as error:
            seen.append(str(error))
            raise

    with app.worker():
        result: Any = long.delay()
        assert began.wait(10)
        app.control.revoke(result.id, terminate=True)
        with pytest.raises(TaskRevoked):
            result.get(timeout=10)
    assert "while it ran" in seen[0]


def test_a_task_that_no_worker_knows_is_told_as_that(app: App) -> None:
    heard: list[BaseException] = []

    @signals.task_unknown.connect
    def told(exc: BaseException, **more: Any) -> None:
        heard.append(exc)

    try:
        with app.worker(), pytest.raises(TaskRejected, match=r"unknown-task: no task 'shop\.absent'"):
            app.send_task("shop.absent").get(timeout=10)
        wait_for(lambda: heard)
    finally:
        signals.task_unknown.disconnect(told)
    assert isinstance(heard[0], UnknownTask)


# Signals


def test_a_hook_that_raises_is_told_as_an_internal_error(app: App) -> None:
    from amqptasks import Task

    class Careless(Task[..., Any]):
        def on_success(self, *_: Any) -> None:
            raise RuntimeError("in the hook")

    heard: list[dict[str, Any]] = []

    @signals.task_internal_error.connect
    def told(**named: Any) -> None:
        heard.append(named)

    try:
        task = app.task(name="shop.look", base=Careless)(lambda x: x)
        with app.worker():
            result: Any = task.delay(3)
            assert result.get(timeout=10) == 3
            wait_for(lambda: heard)
    finally:
        signals.task_internal_error.disconnect(told)
    (named,) = heard
    assert (named["task_id"], named["args"], str(named["exception"])) == (result.id, (3,), "in the hook")
    assert named["request"].task == "shop.look"
    assert "in the hook" in str(named["einfo"])


# The app


def test_tasks_are_discovered_when_a_worker_starts_or_at_once(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, module in (("mail_app", "tasks"), ("pay_app", "jobs"), ("bare_app", None)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        if module is not None:
            source = f"from amqptasks import shared_task\n\n@shared_task(name='{package}.send')\ndef send(): return 1\n"
            (tmp_path / package / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    app.autodiscover_tasks(["mail_app", "bare_app"])
    assert "mail_app.send" not in app.tasks
    app.autodiscover_tasks(lambda: ["pay_app"], related_name="jobs", force=True)
    assert {"mail_app.send", "pay_app.send"} <= app.tasks.keys()
    with app.worker():
        assert app.tasks["mail_app.send"].delay().get(timeout=10) == 1
    for module in ("mail_app", "mail_app.tasks", "pay_app", "pay_app.jobs"):
        sys.modules.pop(module, None)
