"""An option that does not exist is refused, with what was probably meant."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from amqptasks import App, Task
from amqptasks.cli.commands.worker import command as worker_command
from amqptasks.errors import ConfigurationError, UnknownOption
from amqptasks.messages.signing import Signing
from amqptasks.options import CALL, ELSEWHERE, TASK, WORKER, CallOptions, TaskOptions, checked, publish_timeout
from amqptasks.options.catalogue import APP
from amqptasks.options.command_line import COMMAND_LINE
from amqptasks.options.documentation import page
from amqptasks.options.environment import ENVIRONMENT, variable
from amqptasks.topology.model.queue import QueuePart


def test_known_options_pass() -> None:
    of_task = {"queue": "emails", "max_retries": 3, "autoretry_for": (OSError,)}
    of_call = {"countdown": 5, "priority": 9, "task_id": "x", "timeout": 3}
    assert checked(of_task, TASK, "task 'a'") == of_task
    assert checked(of_call, CALL, "apply_async() of 'a'") == of_call
    assert checked({}, CALL, "apply_async() of 'a'") == {}


@pytest.mark.parametrize(
    ("option", "known", "meant"),
    [
        ("max_retrys", TASK, "max_retries"),
        ("que", TASK, "queue"),
        ("contdown", CALL, "countdown"),
        ("taskid", CALL, "task_id"),
    ],
)
def test_a_misspelt_option_is_refused_with_a_suggestion(option: str, known: Any, meant: str) -> None:
    with pytest.raises(UnknownOption) as raised:
        checked({option: 1}, known, "task 'shop.send'")
    assert str(raised.value) == f"task 'shop.send' has no option {option!r}; did you mean {meant!r}?"


def test_an_option_like_no_other_is_answered_with_the_whole_list() -> None:
    with pytest.raises(UnknownOption, match=r"no option 'zzz'; known are: chain, compression, countdown, .*timeout"):
        checked({"zzz": 1, "queue": "q"}, CALL, "call")


def test_an_option_of_a_call_is_none_of_a_task() -> None:
    with pytest.raises(UnknownOption, match="countdown"):
        checked({"countdown": 1}, TASK, "task 'a'")


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_name_that_celery_has_and_we_do_not_is_answered_with_what_to_do(name: str) -> None:
    assert name not in TaskOptions.__annotations__.keys() | CallOptions.__annotations__.keys()
    with pytest.raises(UnknownOption) as raised:
        checked({name: 1}, CALL, "a call")
    assert str(raised.value) == f"a call has no option {name!r}; {ELSEWHERE[name]}"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 30.0),
        ({"timeout": 5, "retry": False}, 5.0),
        ({"retry": False}, 4.0),
        ({"retry": True}, 30.0),
        ({"retry_policy": {"max_retries": None}}, 30.0),
        ({"retry_policy": {"max_retries": 0}}, 4.0),
        ({"retry_policy": {"max_retries": 3}}, 16.6),
        (
            {"retry_policy": {"max_retries": 3, "interval_start": 1, "interval_step": 2, "interval_max": 4}},
            24.0,
        ),
    ],
)
def test_a_number_of_tries_is_the_time_that_they_take(options: dict[str, Any], seconds: float) -> None:
    assert publish_timeout(options, 30.0) == pytest.approx(seconds)


def test_the_options_that_are_described_are_those_that_the_types_name() -> None:
    assert TASK.keys() == TaskOptions.__annotations__.keys()
    assert CALL.keys() == CallOptions.__annotations__.keys()


#: Values that an option of its kind does not take, whatever it is named.
WRONG: dict[str, list[Any]] = {
    "countdown": ["5", -1, float("nan"), float("inf"), 1e12, True, [1], timedelta(days=-1)],
    "eta": ["soon", 5, date(2030, 1, 1), "2030-13-01", ""],
    "expires": ["soon", -1, float("nan"), True, [], timedelta(days=9999)],
    "priority": ["5", 256, -1, 1.0, True],
    "queue": [5, "", "q" * 256, b"q", "half \ud800"],
    "exchange": [5, b"e"],
    "timeout": [None, 0, -1, float("inf"), "3", True, 1e9],
    "time_limit": ["60", 0, -1, float("inf"), True],
    "headers": [5, {"mine": {1, 2}}, {5: 1}, {"mine": 2**64}, [("a", 1)]],
    "ignore_result": [None, 1, "yes"],
    "link": [5, {"args": []}],
    "task_id": [5, "", "x" * 256],
    "unique": [5, "no argument", "{0}"],
    "unique_for": [0, "5", 1e9],
    "retry_policy": [{"max_retrys": 1}, {"max_retries": "3"}, {"interval_start": -1}, 5],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_an_option_of_a_call_refuses_a_value_of_the_wrong_type_or_range(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^a call: {name}\b"):
        checked({name: value}, CALL, "a call")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_limit", "60"),
        ("soft_time_limit", [1]),
        ("max_retries", "3"),
        ("max_retries", True),
        ("max_retries", 2**63),
        ("default_retry_delay", "5"),
        ("autoretry_for", "OSError"),
        ("throws", (ValueError, "x")),
        ("throws", int),
        ("retry_backoff", "1"),
        ("retry_jitter", 1),
        ("acks_late", "no"),
        ("bind", 1),
        ("pool", "gevent"),
        ("rate_limit", "fast"),
        ("lock", 5),
        ("name", 5),
        ("queue", 5),
        ("max_concurrency", 0),
        ("throttle_for", 0),
        ("retry_kwargs", {"countdown": "5"}),
        ("max_snoozes", -1),
    ],
)
def test_an_option_of_a_task_is_refused_where_the_task_is_defined(name: str, value: Any) -> None:
    app = App("shop", "memory://options")
    with pytest.raises(ConfigurationError, match=rf"task '.*': {name}\b|task 5"):
        app.task(**{"name": "shop.it", name: value})(len)
    with pytest.raises(ConfigurationError, match=rf"task_defaults: {name}\b|no option"):
        App("shop", "memory://options", task_defaults={name: value})  # type: ignore[misc]


def test_a_class_of_tasks_with_a_wrong_option_is_refused() -> None:
    class Limited(Task[..., Any]):
        time_limit = "60"

    app = App("shop", "memory://options")
    with pytest.raises(ConfigurationError, match=r"class .*Limited: time_limit is '60': give seconds above 0"):
        app.task(base=Limited)(len)


def test_timedeltas_iso_texts_and_one_class_are_taken() -> None:
    found = checked(
        {"time_limit": timedelta(minutes=1), "throws": ValueError, "expires": "2090-01-01T00:00"}, TASK, "task 'a'"
    )
    assert found == {"time_limit": 60.0, "throws": (ValueError,), "expires": datetime(2090, 1, 1, tzinfo=UTC)}
    call = {"countdown": timedelta(seconds=2), "eta": None, "expires": timedelta(hours=1), "timeout": 3}
    assert checked(call, CALL, "a call") == {"countdown": 2.0, "eta": None, "expires": 3600.0, "timeout": 3}
    assert checked({"eta": datetime(2030, 1, 1)}, CALL, "a call")["eta"] == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_queue_with_a_routing_key_is_refused_where_the_task_is_defined() -> None:
    app = App("shop", "memory://options", task_defaults={"queue": "a"})
    with pytest.raises(ConfigurationError, match="give one or the other"):
        app.task(name="shop.it", routing_key="b")(len)


@pytest.mark.parametrize(
    "options", [{"publish_timeout": float("inf")}, {"publish_timeout": "3"}, {"ignore_result": 1}, {"serializer": 5}]
)
def test_an_option_of_an_app_of_the_wrong_type_is_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"App: {next(iter(options))} is"):
        App("shop", "memory://options", **options)


@pytest.mark.parametrize("options", [{"countdown": "5"}, {"eta": "soon"}, {"max_retries": "3"}])
def test_retry_refuses_a_wrong_option_where_it_is_called(options: Any) -> None:
    app = App("shop", "memory://options")

    @app.task(bind=True)
    def again(self: Any) -> None:
        self.retry(**options)

    with pytest.raises(ConfigurationError, match=rf"retry\(\): {next(iter(options))} is"):
        again.apply(throw=True)


def test_a_signature_refuses_a_wrong_option_where_it_is_set() -> None:
    app = App("shop", "memory://options")
    signature = app.signature("shop.it")
    for make in (lambda: signature.set(countdown="5"), lambda: app.signature("shop.it", priority="5")):  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"a signature: (countdown|priority) is '5'"):
            make()


def test_the_page_of_options_is_made_of_their_descriptions() -> None:
    page_file = Path(__file__).resolve().parents[2] / "docs" / "options.md"
    assert page_file.read_text() == page(), "run `python -m amqptasks.options > docs/options.md`"


def test_each_option_of_an_app_that_is_described_is_one_of_its_parameters() -> None:
    assert APP.keys() <= inspect.signature(App).parameters.keys()


@pytest.mark.parametrize(
    ("name", "meant"), [("publish_timout", "publish_timeout"), ("brocker", "broker"), ("Topology", "topology")]
)
def test_a_misspelt_option_of_an_app_is_refused_with_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(UnknownOption, match=rf"^App has no option '{name}'; did you mean '{meant}'\?$"):
        App("shop", **{name: 1})  # type: ignore[arg-type]


def test_an_app_and_retry_keep_their_signatures() -> None:
    assert "publish_timeout" in inspect.signature(App).parameters
    assert list(inspect.signature(Task.retry).parameters)[-3:] == ["countdown", "eta", "max_retries"]


def test_a_misspelt_option_of_retry_and_of_a_worker_in_a_program_is_refused_with_a_suggestion() -> None:
    app = App("shop", "memory://options")

    @app.task(bind=True)
    def again(self: Any) -> None:
        self.retry(countdwon=5)

    with pytest.raises(UnknownOption, match=r"retry\(\) has no option 'countdwon'; did you mean 'countdown'"):
        again.apply(throw=True)
    with pytest.raises(UnknownOption, match="did you mean 'concurrency'"):
        app.worker(concurency=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": "4"},
        {"pool": "gevent"},
        {"stop_timeout": float("nan")},
        {"queues": {"default": 0}},
        {"queues": {"default": 65536}},
    ],
)
def test_a_worker_in_a_program_refuses_a_wrong_option(options: Any) -> None:
    name = "prefetch" if "queues" in options else next(iter(options))
    app = App("shop", "memory://options")
    with pytest.raises(ConfigurationError, match=rf"^App.worker\(\): {name} is"), app.worker(**options):
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [("concurrency", "0"), ("prefetch", "65536"), ("time_limit", "nan"), ("stop_timeout", "soon"), ("processes", "-1")],
)
def test_the_command_of_a_worker_refuses_what_the_description_of_its_option_does_not_take(
    name: str, value: str
) -> None:
    flag = f"--{name.replace('_', '-')}"
    result = CliRunner().invoke(worker_command, [flag, value])
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert WORKER[name].kind.wanted.removesuffix(", or None") in said


def test_each_option_of_a_worker_that_is_described_is_one_of_the_command_with_that_help_and_default() -> None:
    options = {parameter.name: parameter for parameter in worker_command.params}
    for name, option in (WORKER | COMMAND_LINE).items():
        parameter = options[name]
        assert isinstance(parameter, click.Option)
        assert parameter.help is not None
        assert option.line[1:] in parameter.help, name
        default = parameter.get_default(click.Context(worker_command))
        if isinstance(default, str | int | float) and not parameter.is_flag:
            assert option.default in {str(default), f"{default:g}" if not isinstance(default, str) else ""}, name


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("-Q", ",", "names no queue"),
        ("-Q", "emails:0", "has 'emails:0' in it: give a whole number from 1 up to 65,535"),
        ("-Q", "emails:99999999", "has 'emails:99999999' in it"),
        ("-Q", "x" * 256, "give a text of 1 to 255 bytes"),
        ("--pool-for", "emails=thread", "with the pool prefork, threads or solo"),
        ("--pool-for", "=threads", "is not of the form QUEUE=POOL"),
        ("--autoscale", "8", "is not of the form MAX,MIN"),
        ("--autoscale", "99999999999,1", "has '99999999999' in it: give a whole number from 1 up to 10,000"),
        ("--autoscale", "4,0", "has '0' in it"),
    ],
)
def test_the_command_of_a_worker_says_what_is_wrong_with_a_text_of_several_values(
    flag: str, value: str, said: str
) -> None:
    result = CliRunner().invoke(worker_command, [flag, value])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("queues", " emails:100, reports,a:b ", {"emails": 100, "reports": None, "a:b": None}),
        ("pool_for", "a=b=threads", ("a=b", "threads")),
        ("autoscale", "2, 8", (8, 2)),
    ],
)
def test_a_text_of_several_values_is_read_as_its_description_says(name: str, text: str, value: object) -> None:
    assert COMMAND_LINE[name].kind.read(text) == value


@pytest.mark.parametrize("prefetch", [0, 65536])
def test_a_prefetch_in_a_topology_file_has_the_bounds_of_its_description(prefetch: int) -> None:
    with pytest.raises(ValidationError, match="prefetch"):
        QueuePart.model_validate({"prefetch": prefetch})
    with pytest.raises(ConfigurationError, match="prefetch is"):
        checked({"prefetch": prefetch}, WORKER, "a worker")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AMQPTASKS_BROKER_URL", "redis://:secret@localhost/0"),
        ("AMQPTASKS_BROKER_URL", "amqp://a;http://user:secret@b"),
        ("AMQPTASKS_MANAGEMENT_URL", "amqp://user:secret@b:15672"),
        ("AMQPTASKS_SIGNING_KEYS", "secret" * 100_000),
    ],
)
def test_a_variable_with_a_wrong_value_is_refused_and_never_shown(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError, match=f"^the environment: {name} ") as raised:
        variable(name)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("AMQPTASKS_BROKER_ULR", "AMQPTASKS_BROKER_URL"),
        ("AMQPTASKS_BROKERURL", "AMQPTASKS_BROKER_URL"),
        ("amqptasks_broker_url", "AMQPTASKS_BROKER_URL"),
        ("AMQPTASKS_MANAGMENT_URL", "AMQPTASKS_MANAGEMENT_URL"),
        ("AMQPTASKS_SIGNING_KEY", "AMQPTASKS_SIGNING_KEYS"),
    ],
)
def test_a_misspelt_variable_is_refused_where_the_right_one_is_not_set(
    misspelt: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(misspelt, "amqp://localhost")
    with pytest.raises(UnknownOption, match=f"no option '{misspelt}'; did you mean '{meant}'"):
        variable(meant)
    monkeypatch.setenv(meant, "http://localhost" if "MANAGEMENT" in meant else "amqp://localhost")
    assert variable(meant) is not None


def test_a_variable_of_another_program_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AMQPTASKS_TEST_MANAGEMENT_URL", "x")
    monkeypatch.setenv("AMQPTASKS_TEST_URL", "x")
    assert [variable(name) for name in ENVIRONMENT] == [None] * len(ENVIRONMENT)
    assert App("shop").broker == ["amqp://guest:guest@localhost:5672/"]


def test_the_environments_address_and_keys_are_read_by_their_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPTASKS_BROKER_URL", "redis://localhost")
    with pytest.raises(ConfigurationError, match="AMQPTASKS_BROKER_URL begins with 'redis': give an address"):
        App("shop")
    monkeypatch.delenv("AMQPTASKS_SIGNING_KEYS", raising=False)
    monkeypatch.setenv("AMQPTASKS_SIGNING_KEY", "k=x")
    with pytest.raises(UnknownOption, match="AMQPTASKS_SIGNING_KEYS"):
        Signing.from_environment()
