"""Results that replies are pushed to: which thread reads a reply, and those who wait for it."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any
from unittest import mock

import pytest

from amqptasks.errors import (
    ConfigurationError,
    ReplyLost,
    ResultError,
    ResultTimeout,
)
from amqptasks.messages.body import Reader
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.properties import Properties
from amqptasks.results.replies import MOST_UNREAD, Replies
from amqptasks.results.reply import failure, success
from amqptasks.results.result import MOST_IN_A_LOOP, AsyncResult
from amqptasks.serializers import Serializer, json
from tests.harness.wait import wait_for


def delivery(body: bytes, correlation_id: str | None = "1") -> Delivery:
    return Delivery("q", 1, "", "q", False, Properties(correlation_id=correlation_id), body, mock.Mock())


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
