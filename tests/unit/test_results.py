"""Replies in Celery's form both ways, and those who wait for them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import traceback
import types
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
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
    ReplyLost,
    ResultError,
    ResultTimeout,
    TaskRevoked,
)
from amqptasks.events import event
from amqptasks.messages import protocol
from amqptasks.messages.body import Reader
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.messages.signing import Signing
from amqptasks.options.retry import RetryPolicy
from amqptasks.results.replies import MOST_UNREAD, Replies
from amqptasks.results.reply import Outcome, failure, parse, success
from amqptasks.results.result import MOST_IN_A_LOOP, AsyncResult
from amqptasks.serializers import Serializer, json
from amqptasks.tasks.outcomes import Failure, classify
from tests.harness.wait import wait_for

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


def delivery(body: bytes, correlation_id: str | None = "1") -> Delivery:
    return Delivery("q", 1, "", "q", False, Properties(correlation_id=correlation_id), body, mock.Mock())


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


class Reporting(Exception):
    """Tells which thread made it."""

    made_in: list[int] = []  # noqa: RUF012

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.made_in.append(threading.get_ident())


def test_the_users_exception_is_made_by_who_asks_not_by_the_link() -> None:
    replies = Replies()
    result = replies.register("1")
    body = failure("1", Reporting("x"), None)
    Reporting.made_in.clear()
    link = threading.Thread(target=lambda: replies.reply(delivery(body)))
    link.start()
    link.join()
    with pytest.raises(Reporting):
        result.get(timeout=10)
    assert Reporting.made_in == [threading.get_ident()]


class Slow(dict[str | None, Serializer]):
    """Serializers, by content type, that tell which thread read with them."""

    def __init__(self) -> None:
        super().__init__()
        self.read_in: list[int] = []

    def get(self, content_type: str | None, default: Any = None) -> Any:
        self.read_in.append(threading.get_ident())
        return json.SERIALIZER


@pytest.mark.parametrize("ask", ["get", "status", "result", "traceback", "ready", "await"])
def test_a_reply_is_read_by_the_thread_that_asks_for_the_result_and_not_by_the_link(ask: str) -> None:
    accept = Slow()
    replies = Replies(Reader(accept))
    result = replies.register("1")
    link = threading.Thread(target=lambda: replies.reply(delivery(success("1", 5))))
    link.start()
    link.join()
    assert accept.read_in == []
    if ask == "await":
        asyncio.run(_awaited(result))
    else:
        said = getattr(result, ask)
        if callable(said):
            said()
    assert accept.read_in == [threading.get_ident()]
    assert result.get(timeout=0) == 5
    assert len(replies) == 0


async def _awaited(result: AsyncResult[Any]) -> object:
    return await result


def test_a_large_reply_is_not_read_in_the_event_loops_thread() -> None:
    accept = Slow()
    replies = Replies(Reader(accept))
    result = replies.register("1")
    replies.reply(delivery(success("1", "x" * (MOST_IN_A_LOOP + 1))))
    value = asyncio.run(_awaited(result))
    assert len(str(value)) == MOST_IN_A_LOOP + 1
    assert threading.get_ident() not in accept.read_in
    assert len(accept.read_in) == 1


def test_replies_that_gather_while_nobody_asks_are_read_by_a_thread_of_their_own() -> None:
    accept = Slow()
    replies = Replies(Reader(accept))
    result = replies.register("1")
    for number in range(MOST_UNREAD):
        assert accept.read_in == []
        replies.reply(delivery(b'{"status": "PROGRESS", "result": %d}' % number))
    wait_for(lambda: len(accept.read_in) == MOST_UNREAD and not result._unread)
    assert threading.get_ident() not in accept.read_in
    assert (result.status, result.info) == ("PROGRESS", MOST_UNREAD - 1)


def test_a_reply_that_came_before_its_connection_broke_counts() -> None:
    replies = Replies()
    result = replies.register("1")
    replies.reply(delivery(success("1", 5)))
    replies.lost("the broker went away")
    assert (result.status, result.get(timeout=0)) == ("SUCCESS", 5)


def test_the_first_end_counts_whatever_comes_after_it() -> None:
    replies = Replies()
    result = replies.register("1")
    replies.reply(delivery(success("1", 5)))
    replies.reply(delivery(b'{"status": "STARTED"}'))
    replies.reply(delivery(success("1", 6)))
    assert (result.status, result.get(timeout=0)) == ("SUCCESS", 5)


def test_a_thread_that_waits_sees_what_another_reads_meanwhile() -> None:
    """Twenty states and an end, read by four threads at once: each gets the end, and none waits on."""
    for _ in range(20):
        replies = Replies()
        result = replies.register("1")
        got: list[object] = []
        threads = [threading.Thread(target=lambda: got.append(result.get(timeout=10))) for _ in range(4)]  # noqa: B023
        for thread in threads:
            thread.start()
        for number in range(20):
            replies.reply(delivery(b'{"status": "PROGRESS", "result": %d}' % number))
        replies.reply(delivery(success("1", "end")))
        for thread in threads:
            thread.join()
        assert got == ["end"] * 4
        assert result._unread == ()


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


def test_get_waits_for_the_reply_in_another_thread() -> None:
    replies = Replies()
    result = replies.register("1", "shop.send")
    assert (result.status, result.ready(), result.result) == ("PENDING", False, None)
    threading.Timer(0.02, lambda: replies.reply(delivery(success("1", 5)))).start()
    assert result.get(timeout=10) == 5
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("SUCCESS", True, True, False)
    assert result.info == 5
    assert result.get() == 5
    assert len(replies) == 0


def test_get_raises_what_the_task_raised_or_returns_it() -> None:
    replies = Replies()
    result = replies.register("1")
    replies.reply(delivery(failure("1", ValueError("bad"), "there")))
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            result.get(timeout=0)
    assert isinstance(result.get(propagate=False), ValueError)
    assert (result.failed(), result.successful(), result.traceback) == (True, False, "there")
    assert isinstance(result.result, ValueError)


def test_get_gives_up_after_its_timeout_and_can_be_asked_again() -> None:
    replies = Replies()
    result = replies.register("1", "shop.send")
    with pytest.raises(ResultTimeout, match=r"no result of shop\.send 1 within 0\.01 s"):
        result.get(timeout=0.01)
    assert result._waiters is None
    replies.reply(delivery(success("1", 5)))
    assert result.get(timeout=0) == 5


def test_a_state_on_the_way_is_seen_and_waited_past() -> None:
    replies = Replies()
    result = replies.register("1")
    replies.reply(delivery(failure("1", ValueError("again"), None, "RETRY")))
    assert (result.status, result.ready()) == ("RETRY", False)
    replies.reply(delivery(b'{"status": "PROGRESS", "result": {"done": 5}}'))
    assert (result.status, result.info) == ("PROGRESS", {"done": 5})
    replies.link_thread = None  # here, one thread plays both parts
    with pytest.raises(ResultTimeout):
        result.get(timeout=0)
    replies.reply(delivery(success("1", 5)))
    assert result.get(timeout=0) == 5


def test_all_who_wait_are_woken() -> None:
    replies = Replies()
    result = replies.register("1")
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(result.get(timeout=10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    replies.reply(delivery(success("1", 5)))
    for thread in threads:
        thread.join()
    assert answers == [5, 5, 5, 5]


def test_awaiting_leaves_the_loop_free() -> None:
    """The answers come only once the loop has turned while it waits."""
    replies = Replies()
    value, error = replies.register("1"), replies.register("2")
    turned = threading.Event()

    async def main() -> tuple[object, BaseException]:
        waiting = asyncio.gather(value, error, return_exceptions=True)
        answers = threading.Thread(target=answer)
        answers.start()
        for _ in range(4):
            await asyncio.sleep(0)
        turned.set()
        got, failed = await asyncio.wait_for(waiting, 20)
        answers.join()
        assert await value == got
        return got, failed

    def answer() -> None:
        assert turned.wait(20)
        replies.reply(delivery(success("1", 5)))
        replies.reply(delivery(failure("2", KeyError("k"), None), "2"))

    got, failed = asyncio.run(main())
    assert got == 5
    assert isinstance(failed, KeyError)


def test_a_cancelled_wait_leaves_nothing_behind_and_its_loop_may_be_gone() -> None:
    replies = Replies()
    result = replies.register("1")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await result

    asyncio.run(main())
    assert result._waiters is None
    replies.reply(delivery(success("1", 5)))
    assert result.get(timeout=0) == 5


def test_a_lost_connection_fails_all_who_wait() -> None:
    replies = Replies()
    first, second = replies.register("1"), replies.register("2")
    threading.Timer(0.02, lambda: replies.lost("the broker went away")).start()
    with pytest.raises(ReplyLost, match="task 1 is lost: the broker went away"):
        first.get(timeout=10)
    assert (second.status, second.ready(), second.successful(), second.failed()) == ("LOST", True, False, False)
    assert isinstance(second.result, ReplyLost)
    assert len(replies) == 0
    replies.reply(delivery(success("1", 5)))
    assert first.status == "LOST"


def test_a_result_that_nobody_holds_is_forgotten_with_its_reply() -> None:
    replies = Replies()
    replies.register("1")
    gc.collect()
    assert len(replies) == 0
    replies.reply(delivery(success("1", 5)))
    replies.reply(delivery(success("1", 5), None))
    assert len(replies) == 0


def test_a_task_published_again_keeps_its_result() -> None:
    replies = Replies()
    result = replies.register("1")
    assert replies.register("1") is result
    del result
    again = replies.register("1")
    replies.reply(delivery(success("1", 5)))
    assert again.get(timeout=0) == 5


def test_forget_ends_the_wait() -> None:
    replies = Replies()
    result = replies.register("1")
    threading.Timer(0.02, result.forget).start()
    with pytest.raises(ResultError, match="forgotten"):
        result.get(timeout=10)
    assert len(replies) == 0


def test_get_in_the_links_thread_is_refused() -> None:
    replies = Replies()
    result = replies.register("1")
    replies.link_thread = threading.get_ident()
    with pytest.raises(ConfigurationError, match="another thread"):
        result.get(timeout=1)
    replies.reply(delivery(success("1", 5)))
    assert result.get() == 5


def test_a_task_sent_without_a_reply_says_so_at_once() -> None:
    result = AsyncResult.without_reply("1", "shop.send", "task shop.send ignores its result")
    with pytest.raises(ResultError, match="ignores its result"):
        result.get()
    assert repr(result) == "<AsyncResult 1 of shop.send: NOT_KEPT>"
