"""`amqptasks call` as people type it, with a worker process at the other end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.command import run_command
from tests.harness.vhost import Vhost
from tests.harness.worker_process import WorkerFactory

SHOP = """
from amqptasks import App

app = App("shop")

@app.task
def add(x, y):
    return x + y

@app.task
def echo(value):
    return value

@app.task
def fail(text):
    raise ValueError(text)

class OutOfStock(Exception):
    pass

@app.task
def sell():
    raise OutOfStock("apples", 3)
"""

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(tmp_path: Path, vhost: Vhost) -> Call:
    (tmp_path / "shop.py").write_text(SHOP)
    return lambda *arguments: run_command("-A", "shop", "call", *arguments, url=vhost.url, folder=tmp_path)


@pytest.fixture
def worker(worker_process: WorkerFactory, call: Call) -> None:
    worker_process(SHOP, "-Q", "default", "-c", "2")


#: What is typed, and what is printed.
RESULTS = [
    (("add", "2", "3"), "5"),
    (("add", "-2", "-3.5"), "-5.5"),
    (("add", "ada", " l"), "ada l"),
    (("add", '"2"', "x"), "2x"),
    (("echo", '[1, {"a": null}]'), '[1,{"a":null}]'),
    (("echo", "true"), "true"),
    (("echo", "NaN"), "NaN"),
    (("echo", "12345678901234567890123"), "12345678901234567890123"),
    (("echo", "--kwargs", '{"value": "täxt"}'), "täxt"),
    (("echo", "1", "--countdown", "0.2", "--priority", "3", "--timeout", "20"), "1"),
    (("echo", "1", "--expires", "1h"), "1"),
]


@pytest.mark.usefixtures("worker")
def test_wait_prints_the_result(call: Call) -> None:
    for (name, *arguments), printed in RESULTS:
        ended = call(f"shop.{name}", *arguments, "--wait")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{printed}\n", ""), arguments


@pytest.mark.usefixtures("worker")
def test_what_the_task_raised_goes_to_standard_error_with_its_traceback(call: Call) -> None:
    ended = call("shop.fail", "no stock", "--wait")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("ValueError: no stock\n")
    assert "in fail\n" in ended.stderr
    own = call("shop.sell", "--wait")
    assert own.returncode == 1
    assert "OutOfStock: ('apples', 3)" in own.stderr


@pytest.mark.usefixtures("worker")
def test_json_tells_the_outcome_in_one_object(call: Call) -> None:
    good = json.loads(call("shop.add", "1", "2", "--wait", "--json", "--task-id", "mine").stdout)
    assert {**good, "seconds": None} == {
        "id": "mine",
        "task": "shop.add",
        "status": "SUCCESS",
        "result": 3,
        "seconds": None,
    }
    ended = call("shop.fail", "x", "--wait", "--json")
    bad = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (bad["status"], bad["exception"], bad["message"]) == ("FAILURE", "ValueError", "x")


def test_without_wait_it_prints_the_id_of_a_task_that_is_on_the_broker(call: Call, vhost: Vhost) -> None:
    ended = call("shop.add", "2", "3")
    assert ended.returncode == 0
    assert len(ended.stdout.strip()) == 36
    assert call("shop.add", "1", "1", "--queue", "default", "--json").stdout.startswith('{"id":')
    assert vhost.management.ready("default") == 2


def test_nobody_answering_in_time_is_an_error_with_the_id(call: Call) -> None:
    ended = call("shop.add", "2", "3", "--wait", "--timeout", "0.3", "--task-id", "asked")
    assert ended.returncode == 1
    assert "no result of shop.add asked within 0.3 s" in ended.stderr


#: What is typed, the exit status, and what the error says.
REFUSED = [
    (("shop.ad", "2", "3"), 1, "Did you mean `shop.add`?"),
    (("zzz",), 1, "it knows shop.add, shop.echo, shop.fail, shop.sell"),
    (("shop.add", "2"), 1, "missing a required argument: 'y'"),
    (("shop.add", "2", "3", "--wiat"), 2, "no such option: --wiat. Did you mean --wait?"),
    (("shop.add", "2", "3", "--timeout", "3"), 2, "--timeout is for --wait"),
    (("shop.add", "--kwargs", "[1]"), 2, "is no object"),
    (("shop.add", "--kwargs", "{x"), 2, "is no JSON"),
    (("shop.add", "1", "2", "--eta", "noon"), 2, "'noon' is no time"),
    (("shop.add", "1", "2", "--queue", "nowhere"), 3, "nowhere"),
    (("shop.add", "1", "2", "--eta", "2099-01-01", "--countdown", "3"), 1, "a countdown and an eta"),
    (("shop.add", "1", "2", "--eta", "2099-01-01"), 1, "over the longest"),
]


def test_what_cannot_be_called_is_refused_with_the_mend_and_nothing_is_sent(call: Call, vhost: Vhost) -> None:
    for arguments, status, words in REFUSED:
        ended = call(*arguments)
        assert ended.returncode == status, (arguments, ended.stderr)
        assert words in ended.stderr, arguments
        assert ended.stdout == "", arguments
        assert "Traceback" not in ended.stderr, arguments
    assert vhost.management.ready("default") == 0


def test_a_task_of_another_program_goes_to_a_queue_by_name(call: Call, vhost: Vhost) -> None:
    assert call("billing.close", "2026", "--queue", "default").returncode == 0
    assert vhost.management.ready("default") == 1


def test_a_broker_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP.replace('"shop")', '"shop", publish_timeout=0.5)'))
    ended = run_command(
        "-A", "shop", "call", "shop.add", "1", "2", url="amqp://ada:secret@127.0.0.1:1/", folder=tmp_path
    )
    assert ended.returncode == 3
    assert "amqp://ada:***@127.0.0.1:1/" in ended.stderr
    assert "secret" not in ended.stderr


def test_memory_is_refused_because_nobody_else_could_run_the_task(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    ended = run_command("-A", "shop", "call", "shop.add", "1", "2", url="memory://", folder=tmp_path)
    assert ended.returncode == 1
    assert "memory://" in ended.stderr
