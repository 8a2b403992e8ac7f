"""A broker that is blocked, unreachable, silent or replaced: the caller gets the right error, in time, no password."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from amqptasks import App
from amqptasks.errors import AccessRefused, BrokerError, BrokerUnreachable, ConnectionBlocked
from tests.conftest import StartedBroker
from tests.harness.management import Management
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for

SECRET = "s3cr3t-Pa55word"

#: Seconds that these callers give the broker, and that an error may come later than that.
DEADLINE, MARGIN = 1.5, 2.0


@pytest.fixture
def roomy_vhost(own_broker: StartedBroker) -> Iterator[Vhost]:
    with new_vhost(own_broker) as vhost:
        yield vhost


@pytest.mark.long
def test_a_broker_short_of_memory_raises_connection_blocked_and_takes_calls_again_later(
    own_broker: StartedBroker, roomy_vhost: Vhost
) -> None:
    app = App("shop", broker=roomy_vhost.url, ignore_result=True)
    ran: list[int] = []

    @app.task(name="shop.note")
    def note(number: int) -> None:
        ran.append(number)

    note.publish_many([(number,) for number in range(20)])
    own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "0.000001")
    try:
        wait_for(lambda: _blocked(note), timeout=15.0, message="the alarm is on")
        began = time.monotonic()
        with pytest.raises(ConnectionBlocked, match=r"blocks publishers.*memory"):
            note.apply_async((100,), timeout=DEADLINE)
        assert time.monotonic() - began < DEADLINE + MARGIN
        with app.worker(["default"]):  # consuming and acking is a connection of its own
            wait_for(lambda: set(range(20)) <= set(ran), message="the worker goes on")
    finally:
        own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
    note.apply_async((200,), timeout=20.0)
    app.close()


def _blocked(note: object) -> bool:
    try:
        note.apply_async((-1,), timeout=0.3)  # type: ignore[attr-defined]
    except ConnectionBlocked:
        return True
    return False


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    file = tmp_path / "topology.yaml"
    file.write_text("version: 1\nqueues: {default: {}}\ndefault_queue: default\n")
    return file


@pytest.mark.parametrize("with_file", [False, True])
def test_an_unreachable_broker_is_an_error_within_the_deadline_and_without_the_password(
    topology: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], with_file: bool
) -> None:
    """With a file the connection is opened at once; without one, the default topology is declared first."""
    app = App(
        "shop",
        broker=f"amqp://someone:{SECRET}@127.0.0.1:1/",
        topology=topology if with_file else None,
        publish_timeout=DEADLINE,
    )
    began = time.monotonic()
    with caplog.at_level(logging.DEBUG), pytest.raises(BrokerUnreachable) as caught:
        app.send_task("shop.note", (1,))
    assert DEADLINE * 0.5 < time.monotonic() - began < DEADLINE + MARGIN
    assert "127.0.0.1:1" in str(caught.value)
    app.close()
    _shows_no_secret(caught.value, caplog, capfd)


def test_a_wrong_password_is_refused_at_once_and_not_shown(
    vhost: Vhost, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = urlsplit(vhost.url)
    url = parts._replace(netloc=f"guest:{SECRET}@{parts.hostname}:{parts.port}").geturl()
    app = App("shop", broker=url, publish_timeout=20.0)
    began = time.monotonic()
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessRefused) as caught:
        app.send_task("shop.note", (1,))
    assert time.monotonic() - began < 10.0, "it waited for a password to mend itself"
    app.close()
    _shows_no_secret(caught.value, caplog, capfd)


def _shows_no_secret(error: BrokerError, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    printed = capfd.readouterr()
    shown = [str(error), repr(error), *traceback.format_exception(error), caplog.text, printed.out, printed.err]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("connected", [False, True])
def test_a_broker_that_falls_silent_is_an_error_within_the_deadline(proxy: Proxy, connected: bool) -> None:
    app = App("shop", broker=proxy.url, ignore_result=True, publish_timeout=DEADLINE)
    if connected:
        app.send_task("shop.note", (1,), timeout=20.0)
    proxy.pause()
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        app.send_task("shop.note", (2,))
    assert time.monotonic() - began < DEADLINE + MARGIN
    assert type(caught.value) is not BrokerError, "a kind of its own"
    proxy.resume()
    app.send_task("shop.note", (3,), timeout=20.0)
    app.close()


def test_a_broker_that_goes_away_and_comes_back_is_found_again(proxy: Proxy, management: Management) -> None:
    app = App("shop", broker=proxy.url, ignore_result=True)
    app.send_task("shop.note", (1,))
    proxy.refuse()
    with pytest.raises(BrokerUnreachable):
        app.send_task("shop.note", (2,), timeout=DEADLINE)
    proxy.accept()
    app.send_task("shop.note", (3,), timeout=20.0)
    app.close()
    assert management.ready("default") == 2, "what was refused to the caller was not stored later"


def test_the_second_address_is_taken_when_the_first_does_not_answer(vhost: Vhost, management: Management) -> None:
    app = App("shop", broker=["amqp://guest:guest@127.0.0.1:1/", vhost.url], ignore_result=True)
    began = time.monotonic()
    app.send_task("shop.note", (1,), timeout=10.0)
    assert time.monotonic() - began < 5.0
    app.close()
    assert management.ready("default") == 1


def test_publishing_fails_over_to_the_second_address_and_back(
    vhost: Vhost, proxy: Proxy, management: Management
) -> None:
    app = App("shop", broker=[proxy.url, vhost.url], ignore_result=True)
    app.send_task("shop.note", (1,))
    assert proxy.connections == 1
    proxy.refuse()
    app.send_task("shop.note", (2,), timeout=10.0)
    assert proxy.connections == 0
    proxy.accept()
    wait_for(management.connections, message="the connection to the second address is listed")
    management.close_connections()
    app.send_task("shop.note", (3,), timeout=10.0)
    wait_for(lambda: proxy.connections == 1, message="the first address is preferred again")
    app.close()
    assert management.ready("default") == 3
