"""Replies: in Celery's form both ways, signed, and whatever else comes."""

from __future__ import annotations

import sys
import traceback
import types
from dataclasses import replace
from datetime import UTC, datetime
from unittest import mock
from uuid import UUID

import celery
import orjson
import pytest
from celery.backends.base import Backend
from hypothesis import given, strategies as st
from kombu.serialization import dumps as kombu_dumps

from amqptasks import errors
from amqptasks.control import envelope
from amqptasks.control.envelope import Command
from amqptasks.errors import (
    ConfigurationError,
    RemoteError,
    ResultError,
    TaskRevoked,
)
from amqptasks.events import event
from amqptasks.messages import protocol
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.messages.signing import Signing
from amqptasks.options.retry import RetryPolicy
from amqptasks.results.reply import Outcome, failure, parse, success
from amqptasks.tasks.outcomes import Failure, classify

RETURNED = [None, 5, "text", [1, {"a": 2}], datetime(2030, 1, 1, tzinfo=UTC), UUID(int=3), b"\xff", 2**70]


class Odd(Exception):
    """Its constructor wants other arguments than it hands on."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Outer:
    class Inner(ValueError):
        pass


@pytest.fixture
def backend() -> Backend:
    """Celery's own reader and writer of results, with its JSON serializer."""
    return Backend(celery.Celery(set_as_current=False, result_backend="rpc://"))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("value", RETURNED)
def test_a_value_arrives_as_what_it_was(value: object) -> None:
    assert parse(success("1", value)) == Outcome("SUCCESS", value)


@pytest.mark.parametrize("value", RETURNED)
def test_celery_reads_our_values_and_we_celerys(backend: Backend, value: object) -> None:
    meta = backend.meta_from_decoded(backend.decode(success("1", value)))
    assert (meta["task_id"], meta["status"], meta["result"], meta["children"]) == ("1", "SUCCESS", value, [])
    theirs = backend._get_result_meta(value, "SUCCESS", None, None)
    assert parse(backend.encode(theirs).encode()) == Outcome("SUCCESS", value)


@pytest.mark.parametrize("error", [ValueError("a", 5), KeyError("k"), OSError(2, "gone"), Outer.Inner("in")])
def test_celery_raises_our_exceptions_and_we_celerys(backend: Backend, error: Exception) -> None:
    text = "".join(traceback.format_exception(raised(error)))
    meta = backend.meta_from_decoded(backend.decode(failure("1", error, text)))
    assert (type(meta["result"]), meta["result"].args, meta["traceback"]) == (type(error), error.args, text)
    theirs = backend._get_result_meta(backend.prepare_exception(error), "FAILURE", text, None)
    outcome = parse(kombu_dumps(theirs, serializer="json")[2].encode())
    assert (type(outcome.exception), outcome.exception.args, outcome.traceback) == (type(error), error.args, text)


def test_an_exception_comes_back_as_itself_with_its_remote_traceback() -> None:
    outcome = parse(failure("1", Outer.Inner("in", [1]), "Traceback: there"))
    assert type(outcome.exception) is Outer.Inner
    assert outcome.exception.args == ("in", [1])
    assert outcome.exception.__notes__ == ["Remote traceback:\nTraceback: there"]
    assert (outcome.status, outcome.value, outcome.traceback) == ("FAILURE", None, "Traceback: there")


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("NoSuchError", "builtins"),
        ("Error", "no.such.module"),
        ("system", "os"),
        ("path.join", "os"),
        ("eval", "builtins"),
        ("SystemExit", "builtins"),
        ("KeyboardInterrupt", "builtins"),
        ("int", "builtins"),
        ("test.<locals>.Error", __name__),
        ("Odd", __name__),
        ("", "builtins"),
        ("Error", None),
        ("Error", 5),
    ],
)
def test_whatever_is_no_exception_here_becomes_a_remote_error(backend: Backend, kind: str, module: object) -> None:
    described = {"exc_type": kind, "exc_module": module, "exc_message": ["x", 1]}
    body = backend.encode({"status": "FAILURE", "result": described, "traceback": "there"}).encode()
    error = parse(body).exception
    assert type(error) is RemoteError
    assert error.exception_type == (f"{module}.{kind}" if module else kind)
    assert error.exception_message == "x, 1"
    assert error.remote_traceback == "there"


def test_a_modules_own_getattr_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    trap = types.ModuleType("trap")
    trap.__getattr__ = mock.Mock(side_effect=AssertionError)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "trap", trap)
    body = failure("1", ValueError(), None).replace(b"builtins", b"trap")
    assert type(parse(body).exception) is RemoteError
    trap.__getattr__.assert_not_called()


def test_arguments_that_cannot_be_sent_arrive_as_their_repr() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError

    error = parse(failure("1", ValueError({1}, Silent(), 3), None)).exception
    assert error is not None
    assert error.args[0] == "{1}"
    assert "Silent" in error.args[1]
    assert error.args[2] == 3


@pytest.mark.parametrize("value", [object(), {1, 2}, {"a": [object()]}])
def test_a_result_that_cannot_be_sent_is_a_failure_that_says_so(value: object) -> None:
    outcome = parse(success("1", value))
    assert outcome.status == "FAILURE"
    assert isinstance(outcome.exception, ConfigurationError)
    assert f"a {type(value['a'][0] if isinstance(value, dict) else value).__name__} cannot" in str(outcome.exception)


def test_a_revoked_task_raises_task_revoked_whoever_revoked_it() -> None:
    assert isinstance(parse(failure("1", TaskRevoked("expired"), None, "REVOKED")).exception, TaskRevoked)
    theirs = b'{"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["x"]}}'
    assert isinstance(parse(theirs).exception, TaskRevoked)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"\x80\x04K\x05.", b'{"status": 5}', b'{"result": 1}', b"[" * 9999]
)
def test_a_reply_that_cannot_be_read_is_a_failure(body: bytes) -> None:
    outcome = parse(body)
    assert (outcome.status, type(outcome.exception)) == ("FAILURE", ResultError)


@pytest.mark.parametrize("described", [b"null", b"5", b"{}", b'{"exc_type": 5}', b'"text"'])
def test_an_exception_without_a_type_is_a_remote_error(described: bytes) -> None:
    assert type(parse(b'{"status": "FAILURE", "result": %s}' % described).exception) is RemoteError


@given(st.binary() | st.builds(lambda a: b'{"status": "FAILURE", "result": {"exc_type": %s}}' % a, st.binary()))
def test_parsing_never_raises(body: bytes) -> None:
    outcome = parse(body)
    assert (outcome.exception is not None) == (outcome.status == "FAILURE")


OURS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.AmqptasksError)]


class OfRetry(errors.Retry):
    pass


@pytest.mark.parametrize("kind", [*OURS, OfRetry], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("status", ["FAILURE", "RETRY", "REVOKED"])
def test_no_exception_that_a_reply_names_says_how_the_task_ends_that_waits_for_it(kind: type, status: str) -> None:
    for module in (kind.__module__, "amqptasks"):
        for arguments in ([], ["forged"], [1, 2]):
            described = {"exc_type": kind.__name__, "exc_module": module, "exc_message": arguments}
            outcome = parse(orjson.dumps({"task_id": "1", "status": status, "result": described}))
            assert outcome.exception is not None
            waiting = classify(outcome.exception, RetryPolicy(), Request("shop.wait", "2"))
            assert type(waiting) is Failure, f"{kind} with {arguments}: {waiting}"


SIGNING = Signing({"k": "0123456789abcdef0123456789abcdef"})


def signed(body: bytes, identity: str = "1") -> Properties:
    properties = Properties("application/json", "utf-8", correlation_id=identity)
    SIGNING.sign(properties, body)
    return properties


def test_a_signed_reply_is_read_and_every_other_one_is_a_failure_that_says_so() -> None:
    body = success("1", 5)
    assert parse(body, signed(body), signing=SIGNING).value == 5
    forged: list[tuple[bytes, Properties]] = [
        (body, Properties("application/json", correlation_id="1")),
        (success("1", 6), signed(body)),
        (body, replace(signed(body, "2"), correlation_id="1")),
        (body, replace(signed(body), content_type="application/x-python-serialize")),
    ]
    for said, properties in forged:
        outcome = parse(said, properties, signing=SIGNING)
        assert (outcome.status, type(outcome.exception)) == ("FAILURE", ResultError)
        assert "is not believed" in str(outcome.exception)


def test_a_signed_message_of_another_kind_is_no_reply() -> None:
    task = protocol.encode(Request("shop.pay", "1", ({"status": "SUCCESS", "result": 5},)))
    command = envelope.outgoing(Command("ping", {"status": "SUCCESS"}, id="1"), 1.0)
    told = event.outgoing([event.new("task-succeeded", "w", {"uuid": "1", "result": "SUCCESS"})])
    for body, properties in [task, (command.body, command.properties), (told.body, told.properties)]:
        SIGNING.sign(properties, body)
        assert type(parse(body, properties, signing=SIGNING).exception) is ResultError
