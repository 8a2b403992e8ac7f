"""Classes of tasks: options as attributes, hooks in Celery's order with Celery's arguments, `__call__` around a run."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks import App, Reject, Retry, Task
from amqptasks.errors import ConfigurationError, UnknownOption
from amqptasks.messages.exception_info import ExceptionInfo
from tests.harness.wait import wait_for

#: What happened, in order: the hook's name and what matters of its arguments.
Notes = list[tuple[Any, ...]]


class Noting(Task[..., Any]):
    """Notes what it is told."""

    notes: Notes

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.notes.append(("before_start", task_id, args, kwargs))

    def on_success(self, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.notes.append(("on_success", retval, self.request.id == task_id))

    def on_retry(
        self, exc: BaseException, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> None:
        self.notes.append(("on_retry", str(exc), "Traceback" in str(einfo)))

    def on_failure(
        self, exc: BaseException, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> None:
        self.notes.append(("on_failure", str(exc), einfo.type))

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: ExceptionInfo | None,
    ) -> None:
        self.notes.append(("after_return", status, str(retval), einfo is not None))


@pytest.fixture
def notes() -> Notes:
    Noting.notes = []
    return Noting.notes


def test_hooks_are_called_in_celerys_order(app: App, notes: Notes) -> None:
    @app.task(name="shop.add", base=Noting)
    def add(x: int, y: int = 1) -> int:
        notes.append(("run",))
        return x + y

    with app.worker():
        result = add.delay(2, y=3)
        assert result.get(timeout=5) == 5
        wait_for(lambda: len(notes) == 4, message="the last hook")
    assert notes == [
        ("before_start", result.id, (2,), {"y": 3}),
        ("run",),
        ("on_success", 5, True),
        ("after_return", "SUCCESS", "5", False),
    ]


def test_hooks_of_a_retry_and_of_a_failure(app: App, notes: Notes) -> None:
    @app.task(name="shop.fail", base=Noting, autoretry_for=(OSError,), max_retries=1, default_retry_delay=0)
    def fail() -> None:
        raise OSError("no line")

    with app.worker():
        with pytest.raises(OSError, match="no line"):
            fail.delay().get(timeout=5)
        wait_for(lambda: len(notes) == 6, message="the last hook")
    assert [note[0] for note in notes] == [
        "before_start",
        "on_retry",
        "after_return",
        "before_start",
        "on_failure",
        "after_return",
    ]
    assert notes[1] == ("on_retry", "no line", True)
    assert notes[2] == ("after_return", "RETRY", "no line", True)
    assert notes[4] == ("on_failure", "no line", OSError)
    assert notes[5] == ("after_return", "FAILURE", "no line", True)


def test_a_retry_without_an_exception_is_told_as_what_it_is(app: App, notes: Notes) -> None:
    @app.task(name="shop.again", base=Noting, bind=True)
    def again(self: Any) -> int:
        if not self.request.retries:
            raise Retry(0)
        return 1

    with app.worker():
        assert again.delay().get(timeout=5) == 1
    assert ("on_retry", "retry in 0 s", False) in notes


@pytest.mark.parametrize("hook", ["on_success", "after_return"])
def test_a_hook_that_raises_changes_nothing(app: App, hook: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the hook is broken")

    kind = type("Broken", (Task,), {hook: broken})

    @app.task(name="shop.fine", base=kind)
    def fine() -> str:
        return "fine"

    with app.worker():
        assert fine.delay().get(timeout=5) == "fine"
        wait_for(lambda: "a hook raised" in caplog.text, message="it is logged")
    assert "the hook is broken" in caplog.text


def test_before_start_is_part_of_the_attempt(app: App) -> None:
    class Refusing(Task[..., Any]):
        def before_start(self, *_: Any) -> None:
            raise PermissionError("not today")

    @app.task(name="shop.refused", base=Refusing)
    def refused() -> None:
        pytest.fail("it ran")

    with app.worker(), pytest.raises(PermissionError, match="not today"):
        refused.delay().get(timeout=5)


def test_hooks_of_an_async_task_may_be_async(app: App) -> None:
    notes: list[str] = []

    class Asynchronous(Task[..., Any]):
        async def before_start(self, *_: Any) -> None:
            notes.append("before")

        async def on_success(self, *_: Any) -> None:
            notes.append(f"success of {self.request.id}")

        def after_return(self, *_: Any) -> None:
            notes.append("after")

    @app.task(name="shop.aadd", base=Asynchronous)
    async def aadd(x: int, y: int) -> int:
        return x + y

    with app.worker():
        result: Any = aadd.delay(2, 3)
        assert result.get(timeout=5) == 5
        wait_for(lambda: len(notes) == 3, message="the last hook")
    assert notes == ["before", f"success of {result.id}", "after"]


def test_an_async_hook_of_a_plain_task_is_said_to_be_wrong(app: App, caplog: pytest.LogCaptureFixture) -> None:
    class Mixed(Task[..., Any]):
        async def on_success(self, *_: Any) -> None: ...

    @app.task(name="shop.plain", base=Mixed)
    def plain() -> int:
        return 1

    with app.worker():
        assert plain.delay().get(timeout=5) == 1
        wait_for(lambda: "cannot be async" in caplog.text, message="it is logged")


def test_a_class_may_do_something_around_each_run(app: App) -> None:
    class Doubled(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * self.run(*args, **kwargs)

    @app.task(name="shop.three", base=Doubled)
    def three() -> int:
        return 3

    assert three() == 6
    with app.worker():
        assert three.delay().get(timeout=5) == 6


def test_attributes_of_a_class_are_options_and_the_decorator_beats_them(app: App) -> None:
    class Patient(Task[..., Any]):
        autoretry_for = (OSError,)
        max_retries = 9
        retry_backoff = 2
        priority = 3
        unrelated = "kept"

    @app.task(base=Patient)
    def first() -> None: ...

    @app.task(base=Patient, max_retries=1)
    def second() -> None: ...

    assert first.retry_policy.autoretry_for == (OSError,)
    assert (first.max_retries, first.retry_policy.retry_backoff) == (9, 2.0)
    assert first.options["priority"] == 3
    assert "unrelated" not in first.options
    assert second.max_retries == 1
    assert second.retry_policy.max_retries == 1


def test_what_an_app_says_counts_least() -> None:
    class Own(Task[..., Any]):
        priority = 5

    app = App("shop", "memory://unused", task_class=Own, task_defaults={"max_retries": 8, "priority": 1, "queue": "q"})

    @app.task
    def plain() -> None: ...

    assert isinstance(plain, Own)
    assert plain.max_retries == 8
    assert plain.options["priority"] == 5
    assert plain.options["queue"] == "q"
    with pytest.raises(UnknownOption, match="max_retries"):
        App("shop", "memory://unused", task_defaults={"max_retry": 8})  # type: ignore[typeddict-unknown-key]


def test_a_base_that_is_no_task_is_refused(app: App) -> None:
    with pytest.raises(ConfigurationError, match="give a subclass"):
        app.task(base=dict)(lambda: None)


def test_a_rejected_task_calls_no_hook_of_an_end_that_it_had_not(app: App, notes: Notes) -> None:
    @app.task(name="shop.reject", base=Noting)
    def reject() -> None:
        raise Reject("no")

    from amqptasks.errors import TaskRejected

    with app.worker(), pytest.raises(TaskRejected, match="no"):
        reject.delay().get(timeout=5)
    assert [note[0] for note in notes] == ["before_start"]
