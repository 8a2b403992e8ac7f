"""Publishing from asyncio: the loop goes on, whatever the broker does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from amqptasks import App
from amqptasks.errors import BrokerError
from tests.harness.management import Management
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost

#: Seconds that the loop may stand still: far above what a busy machine with two cores does to it, far below the
#: second for which the broker is silent.
LONGEST_GAP = 0.3


class Gaps:
    """How long the running loop stood still."""

    longest = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Gaps]:
    """Measure the loop while the block runs."""
    gaps = Gaps()

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            gaps.longest, last = max(gaps.longest, now - last), now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    try:
        yield gaps
        await asyncio.sleep(0.02)
    finally:
        ticking.cancel()


@pytest.fixture
def app(proxy: Proxy) -> Iterator[App]:
    created = App("shop", broker=proxy.url)

    @created.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    @created.task(name="shop.fail")
    def fail(text: str) -> None:
        raise LookupError(text)

    yield created
    created.close()


def test_the_loop_goes_on_while_the_broker_is_silent(app: App, proxy: Proxy) -> None:
    add = app.tasks["shop.add"]

    async def service() -> float:
        await add.adelay(0, 0)
        async with watched() as gaps:
            proxy.pause()
            pending = [asyncio.create_task(add.adelay(number, 1)) for number in range(50)]
            await asyncio.sleep(1.0)
            assert not any(task.done() for task in pending)
            proxy.resume()
            assert len({result.id for result in await asyncio.gather(*pending)}) == 50
        return gaps.longest

    assert asyncio.run(service()) < LONGEST_GAP


def test_the_first_call_connects_and_declares_without_holding_the_loop(app: App, proxy: Proxy) -> None:
    async def service() -> float:
        async with watched() as gaps:
            proxy.pause()
            first = asyncio.create_task(app.tasks["shop.add"].aapply_async((1, 1), countdown=0.1))
            await asyncio.sleep(1.0)
            assert not first.done()
            proxy.resume()
            await first
        return gaps.longest

    assert asyncio.run(service()) < LONGEST_GAP


def test_results_are_awaited(app: App) -> None:
    add, fail = app.tasks["shop.add"], app.tasks["shop.fail"]

    async def service() -> None:
        assert await (await add.adelay(2, 3)) == 5
        assert await (await add.aapply_async((2, 4), countdown=0.2)) == 6
        with pytest.raises(LookupError, match="apples"):
            await (await fail.adelay("apples"))
        results = await asyncio.gather(*(add.adelay(number, 1) for number in range(100)))
        assert await asyncio.gather(*results) == list(range(1, 101))

    with app.worker(["default"]):
        asyncio.run(service())


def test_a_result_that_was_not_there_in_time_can_be_awaited_again(app: App) -> None:
    async def service() -> int:
        result = await app.tasks["shop.add"].aapply_async((2, 3), countdown=0.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await result
        async with asyncio.timeout(10):
            return await result

    with app.worker(["default"]):
        assert asyncio.run(service()) == 5


def test_a_cancelled_caller_leaves_at_once_and_harms_no_other(app: App, proxy: Proxy, management: Management) -> None:
    add = app.tasks["shop.add"]

    async def service() -> int:
        await add.adelay(0, 0)
        proxy.pause()
        cancelled = [asyncio.create_task(add.adelay(number, 1)) for number in range(10)]
        kept = asyncio.create_task(add.adelay(100, 1))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        for task in cancelled:
            task.cancel()
        outcomes = await asyncio.gather(*cancelled, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert time.monotonic() - began < 0.5
        proxy.resume()
        await kept
        await add.adelay(200, 1)
        return len(cancelled)

    cancelled = asyncio.run(service())
    assert 3 <= management.ready("default") <= 3 + cancelled, "what was cancelled may be stored; nothing else is lost"


def test_a_cancelled_waiter_does_not_take_the_result_from_another(app: App) -> None:
    async def service() -> int:
        result = await app.tasks["shop.add"].aapply_async((1, 1), countdown=0.5)

        async def wait() -> int:
            return await result

        one, other = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0.1)
        one.cancel()
        return await other

    with app.worker(["default"]):
        assert asyncio.run(service()) == 2


def test_an_error_of_the_broker_is_raised_where_it_is_awaited(vhost: Vhost) -> None:
    app = App("shop", broker="amqp://guest:guest@127.0.0.1:1/", publish_timeout=0.5)

    async def service() -> float:
        async with watched() as gaps:
            with pytest.raises(BrokerError):
                await app.task(name="shop.add")(lambda: None).adelay()
        return gaps.longest

    assert asyncio.run(service()) < LONGEST_GAP
    app.close()
