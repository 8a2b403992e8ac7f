"""`maybe_published` of a call's error: what raises with False never ran, what does not raise is stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.errors import BrokerError, BrokerUnreachable, Nacked, PartlyPublished, PublishTimeout, Unroutable
from amqptasks.runtime.clock import monotonic
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost


@pytest.fixture
def app(proxy: Proxy) -> Iterator[App]:
    app = App("doubt", proxy.url)
    app.task(name="doubt.note")(lambda number: number)
    app.declare()
    yield app
    app.close(1)


def failure(app: App, **options: object) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        app.tasks["doubt.note"].apply_async((1,), task_id="the-id", ignore_result=True, **options)  # type: ignore[arg-type]
    assert caught.value.task_id == "the-id"
    return caught.value


def test_maybe_published_is_true_where_no_confirm_came(app: App, proxy: Proxy) -> None:
    app.tasks["doubt.note"].delay(0)
    proxy.pause()
    error = failure(app, timeout=1)
    assert error.maybe_published is True
    assert isinstance(error, PublishTimeout | BrokerUnreachable)


def test_maybe_published_is_false_where_no_connection_was_had(app: App, proxy: Proxy) -> None:
    proxy.refuse()
    error = failure(app, timeout=1)
    assert error.maybe_published is False
    assert isinstance(error, BrokerUnreachable)


def test_maybe_published_is_false_for_what_the_broker_returned(app: App) -> None:
    error = failure(app, queue="nowhere")
    assert isinstance(error, Unroutable)
    assert error.maybe_published is False


def test_maybe_published_tells_a_queue_that_refused_from_one_of_several(vhost: Vhost) -> None:
    app = App("doubt", vhost.url)
    app.task(name="doubt.note")(lambda number: number)
    arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    with app.session() as session:
        session.declare_queue(Queue("full", arguments=arguments))
        session.declare_queue(Queue("open"))
        session.declare_exchange(Exchange("both", "fanout"))
        for queue in ("full", "open"):
            session.bind(Binding("both", queue))
    refused: list[Nacked] = []
    for _ in range(3):
        try:
            app.tasks["doubt.note"].apply_async((1,), ignore_result=True, exchange="", routing_key="full")
        except Nacked as error:
            refused.append(error)
    assert [error.maybe_published for error in refused] == [False] * len(refused) != []
    with pytest.raises(Nacked) as caught:
        app.tasks["doubt.note"].apply_async((1,), ignore_result=True, exchange="both", routing_key="")
    assert caught.value.maybe_published is True, "the other queue has it"
    app.close(1)


def test_publish_many_draws_no_further_once_the_broker_is_away(app: App, proxy: Proxy) -> None:
    drawn, confirmed = [0], [0]

    def calls() -> Iterator[tuple[int]]:
        for number in range(20_000):
            drawn[0] = number + 1
            if number == 1000:
                proxy.pause()
            yield (number,)

    def told(count: int) -> None:
        confirmed[0] = count

    with pytest.raises(PartlyPublished) as caught:
        app.tasks["doubt.note"].publish_many(calls(), timeout=1, progress=told, ignore_result=True)
    error = caught.value
    assert drawn[0] == error.total < 20_000
    assert len(error.failed) == drawn[0] - confirmed[0]
    assert error.maybe_published == sum(bool(one.maybe_published) for _, one in error.failed)  # type: ignore[attr-defined]
    assert error.maybe_published + error.not_tried == len(error.failed)
    assert all(one.task_id for _, one in error.failed)  # type: ignore[attr-defined]


@pytest.mark.parametrize("many", [12])
def test_timeout_holds_for_all_threads_and_coroutines_of_a_first_call(proxy: Proxy, many: int) -> None:
    """One attempt serves all of them, and each has its error at its own deadline."""
    proxy.refuse()
    app = App("doubt", proxy.url)
    note = app.task(name="doubt.note")(lambda number: number)
    took: list[float] = []
    began = monotonic()

    def call() -> None:
        with pytest.raises(BrokerUnreachable, match="amqptasks broker start"):
            note.apply_async((1,), timeout=1)
        took.append(monotonic() - began)

    async def gathered() -> None:
        async def one() -> None:
            with pytest.raises(BrokerUnreachable):
                await note.aapply_async((1,), timeout=1)
            took.append(monotonic() - began)

        await asyncio.gather(*(one() for _ in range(many)))

    threads = [threading.Thread(target=call) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == many
    assert max(took) < 2.5
    began = monotonic()
    took.clear()
    asyncio.run(gathered())
    assert len(took) == many
    assert max(took) < 2.5
    app.close(1)
