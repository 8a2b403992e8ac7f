"""One line an event, for people or for machines; nothing of the user's logging is taken over."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from amqptasks import logs
from amqptasks.logs.json_lines import JsonLines
from amqptasks.logs.plain_lines import PlainLines
from amqptasks.messages.request import Request
from amqptasks.tasks.task import current_request


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def configured(
    level: str, form: logs.Form, stream: io.StringIO, *handlers: logging.Handler
) -> Iterator[logging.Logger]:
    """Configured with a root logger as a new process has it, or with `handlers`; pytest has some of its own there."""
    root = logging.getLogger()
    before, root_level, ours = root.handlers, root.level, logging.getLogger("amqptasks").level
    root.handlers = list(handlers)
    try:
        logs.configure(level, form, stream)
        yield root
    finally:
        root.handlers = before
        root.setLevel(root_level)
        logging.getLogger("amqptasks").setLevel(ours)


@pytest.fixture
def running() -> Iterator[Request]:
    request = Request("shop.pay", "6fb0", retries=2, queue="payments")
    token = current_request.set(request)
    yield request
    current_request.reset(token)


def record(message: str = "hello", level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    return logging.getLogger("x").makeRecord("x", level, "f.py", 1, message, (), None, extra=extra)


def test_a_task_logger_names_the_task_that_runs(running: Request, caplog: pytest.LogCaptureFixture) -> None:
    logger = logs.get_task_logger("mine")
    assert logs.get_task_logger("mine") is logger is logging.getLogger("mine")
    assert len(logger.filters) == 1
    with caplog.at_level(logging.INFO):
        logger.info("charged")
    (line,) = caplog.records
    assert (line.task_name, line.task_id, line.queue, line.attempt) == ("shop.pay", "6fb0", "payments", 3)


def test_outside_a_task_its_fields_are_empty(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logs.get_task_logger("mine").info("charged")
    assert (caplog.records[0].task_name, caplog.records[0].task_id) == (None, None)


def test_a_line_of_a_task_says_which_even_from_a_plain_logger(running: Request) -> None:
    out = io.StringIO()
    with configured("info", "plain", out):
        logging.getLogger("some.package").info("connected")
    assert out.getvalue().endswith("connected [task=shop.pay id=6fb0 queue=payments attempt=3]\n")


def test_json_lines_have_the_fields_and_are_one_object_a_line(running: Request) -> None:
    out = io.StringIO()
    with configured("info", "json", out):
        logging.getLogger("shop").info("two\nlines of %s", "text", extra={"amount": 5, "odd": object, 7: "seven"})
        logging.getLogger("shop").error("broke", exc_info=ValueError("boom"))
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["message"] == "two\nlines of text"
    assert (first["level"], first["logger"], first["amount"]) == ("info", "shop", 5)
    assert (first["task"], first["id"], first["queue"], first["attempt"]) == ("shop.pay", "6fb0", "payments", 3)
    assert first["time"].endswith("+00:00")
    assert second["traceback"].endswith("ValueError: boom")
    assert "traceback" not in first


@pytest.mark.parametrize("odd", [2**200, "\ud800", {"a": {"b": float("nan")}}, [object()], {(1, 2): 3}])
def test_no_field_breaks_a_json_line(odd: object) -> None:
    assert json.loads(JsonLines().format(record("m\ud800" if odd == "\ud800" else "m", odd=odd)))["level"] == "info"
    loop: list[object] = []
    loop.append(loop)
    assert "loop" in json.loads(JsonLines().format(record(loop=loop)))


def test_a_message_from_outside_cannot_begin_a_line_of_its_own() -> None:
    line = PlainLines().format(record("no such task 'x\n2030-01-01 CRITICAL \x1b[2J all is lost\u2028'"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def written(stream: io.StringIO) -> str:
        with configured("info", "plain", stream):
            logging.getLogger("shop").error("broke")
        return stream.getvalue()

    assert "\x1b[31m" in written(Terminal())
    assert "\x1b" not in written(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written(Terminal())


def test_handlers_of_the_users_are_left_alone() -> None:
    own, ours = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(own)
    logging.getLogger().setLevel("WARNING")
    with configured("info", "json", ours, handler) as root:
        logging.getLogger("amqptasks.worker").info("ready")
        logging.getLogger("shop").info("not asked for")
        assert root.handlers == [handler]
    assert (own.getvalue(), ours.getvalue()) == ("ready\n", "")


def test_a_level_leaves_out_what_is_below() -> None:
    out = io.StringIO()
    with configured("warning", "plain", out):
        logging.getLogger("shop").info("quiet")
        logging.getLogger("shop").warning("loud")
    assert out.getvalue().count("\n") == 1


def test_the_level_changes_of_what_it_was_given_to() -> None:
    out, own = io.StringIO(), io.StringIO()
    with configured("info", "plain", out):
        logs.change_level(logging.ERROR)
        logging.getLogger("shop").warning("quiet")
        logging.getLogger("amqptasks.worker").warning("quiet")
        logs.change_level(logging.DEBUG)
        logging.getLogger("shop").debug("loud")
        logging.getLogger("amqptasks.worker").debug("loud")
        assert logs.current_level() == logging.DEBUG
    assert (out.getvalue().count("quiet"), out.getvalue().count("loud")) == (0, 2)
    logging.getLogger().setLevel("WARNING")
    with configured("info", "plain", out, logging.StreamHandler(own)):
        logs.change_level(logging.DEBUG)
        logging.getLogger("shop").info("not asked for")
        logging.getLogger("amqptasks.worker").debug("asked for")
    assert own.getvalue() == "asked for\n"


@pytest.mark.parametrize("own_root", [False, True])
def test_a_handler_of_the_user_keeps_its_level(own_root: bool) -> None:
    """It may send a mail for each error."""
    mails, out = io.StringIO(), io.StringIO()
    mailing = logging.StreamHandler(mails)
    mailing.setLevel(logging.ERROR)
    with configured("info", "plain", out, *([mailing] if own_root else [])) as root:
        if not own_root:
            root.addHandler(mailing)
        logs.change_level(logging.DEBUG)
        logging.getLogger("amqptasks.worker").info("ready")
        logging.getLogger("amqptasks.worker").error("broken")
        root.removeHandler(mailing)
    assert mails.getvalue() == "broken\n"


def test_a_copy_of_a_process_that_was_set_up_stays_as_it_is() -> None:
    out, other = io.StringIO(), io.StringIO()
    with configured("info", "plain", out) as root:
        logging.getLogger("amqptasks").setLevel("WARNING")  # the user's own choice
        logs.configure("debug", "json", other)
        assert len(root.handlers) == 1
        logging.getLogger("amqptasks.worker").info("ready")
        logging.getLogger("shop").info("bought")
    assert (out.getvalue().count("\n"), other.getvalue()) == (1, "")
