"""What several files of this folder use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from tests.harness.apps import NewApp, apps_on
from tests.harness.vhost import Vhost


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def new_app(request: pytest.FixtureRequest) -> Iterator[NewApp]:
    """Apps on one broker, in memory and on RabbitMQ."""
    vhost: Vhost | None = request.getfixturevalue("vhost") if request.param == "rabbitmq" else None
    with apps_on(vhost.url if vhost is not None else None) as new:
        yield new


@pytest.fixture
def app(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An app on this test's virtual host, whose queues are declared."""
    monkeypatch.setenv("AMQPTASKS_BROKER_URL", vhost.url)
    created = App("shop")
    created.declare()
    yield created
    created.close()


@pytest.fixture
def session(vhost: Vhost) -> Iterator[Session]:
    """A blocking connection to this test's virtual host."""
    with Session([vhost.url]) as opened:
        yield opened
