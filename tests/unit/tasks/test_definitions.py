"""What may become a task, under which name, and that a second one of a name is refused where it is defined."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App, Task
from amqptasks.errors import ConfigurationError


@pytest.fixture
def app() -> App:
    return App("shop", "memory://definitions")


def audited(function: Any) -> Any:
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def line() -> int:
    return sys._getframe(1).f_lineno


def test_a_second_task_of_a_name_is_refused_with_both_places(app: App) -> None:
    first = line() + 1
    app.task(audited(len))
    with pytest.raises(ConfigurationError) as caught:
        app.task(audited(max))
    second = line() - 1
    assert f"{__file__}:{first}" in str(caught.value)
    assert f"{__file__}:{second}" in str(caught.value)


def test_a_task_of_each_round_of_a_loop_is_refused(app: App) -> None:
    def define_all() -> None:
        for word in ("a", "b"):
            app.task(lambda word=word: word)

    with pytest.raises(ConfigurationError, match="two tasks want the name"):
        define_all()


def test_a_second_task_by_name_is_refused_whatever_its_function(app: App) -> None:
    app.task(name="pay")(len)
    with pytest.raises(ConfigurationError, match="two tasks want the name 'pay'"):
        app.task("pay")(len)


def test_a_task_of_a_reloaded_module_replaces_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop_helpers.py").write_text("def task(app, function): return app.task(function)\n")
    source = (
        "from amqptasks import App\nimport shop_helpers\n"
        "if 'app' not in globals(): app = App('reloaded', 'memory://reloaded')\n"
        "@app.task\ndef pay(): return 'paid'\n"
        "def refund(): return 'refunded'\nshop_helpers.task(app, refund)\n"
    )
    (tmp_path / "shop_reloaded.py").write_text(source)
    module = importlib.import_module("shop_reloaded")
    old = module.pay
    module = importlib.reload(module)
    assert module.app.tasks["shop_reloaded.pay"] is module.pay
    assert module.pay is not old
    (tmp_path / "shop_twice.py").write_text(source + "@app.task\ndef pay(): return 'twice'\n")
    with pytest.raises(ConfigurationError, match=r"shop_twice\.py:4, another at .*shop_twice\.py:8"):
        importlib.import_module("shop_twice")


def test_a_cell_of_a_notebook_replaces_the_task_with_a_warning(app: App, caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, Any] = {"__name__": "__main__", "app": app}
    for word in ("first", "second"):
        cell = f"@app.task\ndef pay(): return {word!r}\n"
        exec(compile(cell, f"<cell {word}>", "exec"), names)
    assert app.tasks["shop.pay"]() == "second"
    assert "task shop.pay is defined again at <cell second>:1" in caplog.text


def test_a_partial_an_object_and_a_name_make_a_task(app: App) -> None:
    def add(x: int, y: int) -> int:
        return x + y

    class Doubler:
        name = "not the task's"

        def __call__(self, x: int) -> int:
            return 2 * x

    partial = app.task(functools.partial(add, 1))
    doubler: Any = app.task(Doubler())
    named = app.task("shop.named")(add)
    assert partial.name == f"{__name__}.add"
    assert partial.apply((2,)).get() == 3
    assert doubler.name == f"{__name__}.Doubler"
    assert doubler.apply((2,)).get() == 4
    assert named.name == "shop.named"


@pytest.mark.parametrize("wrong", [5, None, ["f"], classmethod(len)])
def test_what_is_no_function_makes_no_task(app: App, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="a task is made of a function"):
        app.task(wrong)


def test_a_task_class_with_an_init_of_its_own_works(app: App) -> None:
    class Counting(Task[..., Any]):
        def __init__(self) -> None:
            super().__init__()
            self.seen = [self.name]

    @app.task(base=Counting)
    def count() -> None: ...

    assert count.seen == [count.name]  # type: ignore[attr-defined]


def test_a_task_class_whose_init_wants_arguments_is_refused(app: App) -> None:
    class Wanting(Task[..., Any]):
        def __init__(self, url: str) -> None:
            self.url = url

    with pytest.raises(ConfigurationError, match=r"__init__ of .*Wanting takes no argument but self"):
        app.task(base=Wanting)(len)


def test_a_generator_is_refused_where_its_task_is_defined(app: App) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    class Walker:
        def __call__(self) -> Iterator[int]:
            yield 1

    for function in (numbers, later, Walker(), functools.partial(numbers)):
        with pytest.raises(ConfigurationError, match="is a generator"):
            app.task(function)


async def awaited() -> int:
    return 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [(awaited, "coroutine"), (lambda: (n for n in "ab"), "generator"), (lambda: map(str, "ab"), "map")],
)
def test_a_task_that_returns_what_nobody_runs_fails_once_and_says_so(app: App, value: Any, kind: str) -> None:
    ran = []

    @app.task(autoretry_for=(Exception,), retry_backoff=0, default_retry_delay=0)
    def plain() -> Any:
        ran.append(1)
        return value()

    result = plain.apply()
    assert result.state == "FAILURE"
    assert f"returned a {kind}, so its lines have not run" in str(result.result)
    assert len(ran) == 1


def test_an_async_call_around_a_plain_function_is_awaited(app: App) -> None:
    class Around(Task[..., Any]):
        async def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.run(*args, **kwargs)

    @app.task(base=Around)
    def plain(n: int) -> int:
        return n + 1

    assert plain.is_async
    assert plain.apply((1,)).get() == 2


def test_a_pipe_between_signatures_is_refused(app: App) -> None:
    @app.task
    def step(n: int) -> int:
        return n

    for other in (step.s(), {}):
        with pytest.raises(ConfigurationError, match="makes no chain"):
            step.s(1) | other


def test_a_call_whose_wrapper_adds_an_argument_is_not_refused(app: App) -> None:
    def with_database(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function("database", *args, **kwargs)

        return wrapper

    @app.task
    @with_database
    def injected(database: str, n: int) -> list[Any]:
        return [database, n]

    injected.check_arguments((7,), {})
    assert injected.apply((7,)).get() == ["database", 7]


@pytest.mark.parametrize("state", [5, None, ["x"], "", "x" * 300, "SUCCESS", b"PROGRESS"])
def test_update_state_refuses_a_wrong_state_also_where_nobody_waits(app: App, state: Any) -> None:
    @app.task(bind=True)
    def work(self: Any) -> None:
        self.update_state(state=state)

    with pytest.raises(ConfigurationError, match="state"):
        work.apply(throw=True)


def test_autodiscover_tasks_without_packages_says_what_to_do(app: App) -> None:
    with pytest.raises(ConfigurationError, match="name them"):
        app.autodiscover_tasks()
