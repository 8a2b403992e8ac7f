"""log_queue: no thread of ours waits for a log handler or a reader, and no logging call of ours raises."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amqptasks import App, logs
from amqptasks.messages.delivery import Alike, Likeness
from amqptasks.messages.properties import Properties
from amqptasks.runtime import log_queue
from amqptasks.worker.job import report
from amqptasks.worker.job.job import Job
from tests.harness.wait import wait_for

PACKAGE = Path(log_queue.__file__).parents[1]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger without pytest's handlers, as in a process of ours in which a worker has begun."""
    found = logging.getLogger()
    before, level = found.handlers, found.level
    found.handlers = []
    found.setLevel(logging.INFO)
    log_queue.begin()
    try:
        yield found
    finally:
        log_queue.end()
        found.handlers = before
        found.setLevel(level)
        report._Fast.until = 0.0


class Stuck(logging.Handler):
    """Handles nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.handled: list[str] = []
        self.threads: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.go_on.wait(20.0)
        self.handled.append(record.getMessage())
        self.threads.add(threading.current_thread().name)


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(f"no room for {record.getMessage()}")


def succeeded(number: int) -> Job:
    headers: dict[str, object] = {"task": "shop.add", "id": "x"}
    likeness = Likeness(Properties(headers=headers))
    job = Job(
        Alike("default", 1, "", "", False, likeness, f"id-{number}", b"", None),  # type: ignore[arg-type]
        App("shop", "memory://").topology.work_queue("default"),
    )
    job.runtime = 0.25
    return job


def test_every_logger_of_the_package_comes_from_get_logger() -> None:
    """A plain logger would run the handlers of others on the thread that owns the connections."""
    plain = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "logger = logging.getLogger(" in path.read_text("utf-8") and path.parent.name not in ("log_queue", "logs")
    ]
    assert not plain, "write `logger = get_logger(__name__)`, from amqptasks.runtime.log_queue"


def test_get_logger_keeps_the_class_of_a_logger_of_the_users() -> None:
    class Own(logging.Logger):
        def shout(self) -> str:
            return "!"

    logging.setLoggerClass(Own)
    try:
        made = logging.getLogger("amqptasks.made_by_the_user")
    finally:
        logging.setLoggerClass(logging.Logger)
    found = log_queue.get_logger("amqptasks.made_by_the_user")
    assert found is made
    assert made.shout() == "!"  # type: ignore[attr-defined]


def test_a_stuck_log_handler_holds_nobody_up_and_gets_all_records_in_order(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    stuck = Stuck()
    root.addHandler(stuck)
    began = time.monotonic()
    for number in range(100):
        log_queue.get_logger("amqptasks.worker.x").warning("line %d", number)
    assert time.monotonic() - began < 5.0
    stuck.go_on.set()
    wait_for(lambda: len(stuck.handled) == 100)
    assert stuck.handled == [f"line {number}" for number in range(100)]
    assert threading.current_thread().name not in stuck.threads


def test_a_log_handler_that_raises_reaches_nobody_and_takes_no_line_from_ours(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    root.addHandler(Raising())
    out = io.StringIO()
    ours = logs.Lines(out)
    root.addHandler(ours)
    log_queue.get_logger("amqptasks.worker.x").error("lost its way")
    assert log_queue.flush(5.0)
    assert "lost its way" in out.getvalue()
    log_queue.end()  # without a worker the handlers run at once, and raise as little
    try:
        log_queue.get_logger("amqptasks.worker.x").error("again")
    finally:
        log_queue.begin()


@pytest.mark.parametrize("form", ["plain", "json"])
def test_the_line_of_a_success_is_the_same_from_the_queue_as_from_a_record(root: logging.Logger, form: str) -> None:
    root.handlers = []  # pytest puts its own there before each test

    def written(*, foreign: bool) -> str:
        out = io.StringIO()
        root.handlers = []
        logs.configure("info", form, out)  # type: ignore[arg-type]
        if foreign:
            root.addHandler(logging.Handler())
        report._Fast.until = 0.0
        report.succeeded(succeeded(7))
        assert log_queue.flush(5.0)
        return out.getvalue()

    quick, slow = written(foreign=False), written(foreign=True)
    if form == "json":
        one, other = json.loads(quick), json.loads(slow)
        one.pop("time"), other.pop("time")
        assert one == other
    else:
        assert re.sub(r"^\S+ \S+ ", "", quick) == re.sub(r"^\S+ \S+ ", "", slow)
        assert "shop.add[id-7] succeeded in 0.250 s [queue=default attempt=1]" in quick


def test_a_log_whose_reader_does_not_read_drops_lines_and_says_so_afterwards(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    reader, descriptor = os.pipe()
    with os.fdopen(descriptor, "w") as stream:
        logs.configure("info", "plain", stream)
        (ours,) = root.handlers
        assert isinstance(ours, logs.Lines)
        ours._thread._most = 500
        began = time.monotonic()
        for number in range(3000):
            report.succeeded(succeeded(number))
        assert time.monotonic() - began < 10.0
        assert log_queue.dropped() > 0
        assert not log_queue.flush(0.2)  # bounded, whoever does not read
        read = b""
        os.set_blocking(reader, False)

        def all_is_said() -> bool:
            nonlocal read
            try:
                while chunk := os.read(reader, 1 << 16):
                    read += chunk
            except BlockingIOError:
                pass
            return read.count(b"succeeded in") + log_queue.dropped() >= 3000 and b"were dropped" in read

        wait_for(all_is_said)
        assert log_queue.flush(5.0)
    told = sum(map(int, re.findall(rb"(\d+) log lines were dropped", read)))
    assert told == log_queue.dropped()
    os.close(reader)


def test_a_reader_that_reads_gets_every_line(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    reader, descriptor = os.pipe()
    read: list[bytes] = []

    def collect() -> None:
        while chunk := os.read(reader, 1 << 16):
            read.append(chunk)

    thread = threading.Thread(target=collect)
    thread.start()
    with os.fdopen(descriptor, "w") as stream:
        logs.configure("info", "plain", stream)
        job = succeeded(1)
        for _ in range(20_000):
            report.succeeded(job)
        assert log_queue.flush(20.0)
    thread.join(5.0)
    os.close(reader)
    assert b"".join(read).count(b"succeeded in") == 20_000
    assert log_queue.dropped() == 0


def test_a_stream_that_is_closed_costs_its_lines_and_nothing_else(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    out = io.StringIO()
    logs.configure("info", "plain", out)
    out.close()
    log_queue.get_logger("amqptasks.worker.x").error("nobody reads it")
    assert log_queue.flush(5.0)
    assert log_queue.dropped() == 1


def test_a_log_text_is_cut(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    out = io.StringIO()
    logs.configure("info", "plain", out)
    log_queue.get_logger("amqptasks.task").error("x" * 100_000, exc_info=ValueError("y" * 200_000))
    assert log_queue.flush(5.0)
    assert len(out.getvalue()) < 80_000
    assert "characters are left out" in out.getvalue()


def test_a_record_keeps_the_context_in_which_it_was_logged(root: logging.Logger) -> None:
    root.handlers = []  # pytest puts its own there before each test
    from amqptasks.messages.request import Request, current_request

    out = io.StringIO()
    logs.configure("info", "plain", out)
    token = current_request.set(Request("shop.pay", "6fb0", queue="payments"))
    log_queue.get_logger("amqptasks.worker.x").info("charged")
    current_request.reset(token)
    assert log_queue.flush(5.0)
    assert out.getvalue().endswith("charged [task=shop.pay id=6fb0 queue=payments attempt=1]\n")


FORKS = """
import os
from amqptasks.runtime.log_queue.log_thread import LogThread
seen = []
thread = LogThread("test-log", seen.extend)
thread.put("parent")
assert thread.flush(5.0)
child = os.fork()
if not child:
    seen.clear()
    thread.put("child")
    os._exit(0 if thread.flush(5.0) and seen == ["child"] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_has_a_log_thread_of_its_own() -> None:
    """In an interpreter of its own: this one has threads of other tests."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "0"


def test_the_log_line_of_a_success_costs_a_fraction_of_a_record(root: logging.Logger) -> None:
    """Measured as a ratio in one thread's CPU time: machines differ."""

    root.handlers = []  # pytest puts its own there before each test

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            self.format(record)

    with open(os.devnull, "w") as nowhere:
        logs.configure("info", "plain", nowhere)
        (ours,) = root.handlers
        job, plain = succeeded(1), logging.Logger("plain", logging.INFO)
        plain.addHandler(Counting())

        def cost(what: object, times: int = 3000) -> float:
            began = time.thread_time()
            for _ in range(times):
                what()  # type: ignore[operator]
            return (time.thread_time() - began) / times

        line = min(cost(lambda: report.succeeded(job)) for _ in range(5))
        record = min(cost(lambda: plain.info("%s[%s] succeeded", "shop.add", "id")) for _ in range(5))
    assert line < record / 3, f"{line * 1e6:.1f} µs for a line, {record * 1e6:.1f} for a record"
    root.removeHandler(ours)
