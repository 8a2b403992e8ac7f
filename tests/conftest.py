"""Fixtures of all tests. Those that need a broker start one of their own: a server that runs here is never touched.

AMQPTASKS_TEST_URL and AMQPTASKS_TEST_MANAGEMENT_URL name a server to use instead (tests that kill it are skipped);
AMQPTASKS_TEST_RELEASE the release to start. With CI=true a missing broker is a failure, else a counted skip.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from amqptasks.app import registry
from amqptasks.dev.brokers import probe
from tests.harness import link_turns, wait
from tests.harness.management import Management
from tests.harness.nodes import FREQUENT_SAMPLES, GivenBroker, NoBroker, StartedBroker, new_node
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.worker_process import WorkerFactory

#: How fast examples are made says something of the machine's load, nothing of the tests.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

#: Fixtures that need a RabbitMQ, and the one among them whose tests stop or kill it.
BROKER_FIXTURES = {"broker", "vhost", "proxy", "management", "own_broker", "worker_process"}
KILLS = "own_broker"

#: How the reason of each test begins that had no broker.
NO_BROKER = "no RabbitMQ"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & BROKER_FIXTURES:
            item.add_marker("broker")
        if KILLS in fixtures:
            item.add_marker("kills_broker")
        if item.get_closest_marker("kills_broker") and os.environ.get("AMQPTASKS_TEST_URL"):
            item.add_marker(
                pytest.mark.skip(reason="stops its broker, and AMQPTASKS_TEST_URL names one to be left alone")
            )


#: Where the callbacks of all links are written down that take too long.
LINK_TURNS = link_turns.install()


def pytest_unconfigure() -> None:
    LINK_TURNS.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _no_callback_of_a_link_takes_long() -> Iterator[None]:
    """Of all links of this process and of those that a test starts. There are no exceptions."""
    before = LINK_TURNS.stat().st_size
    yield
    told = link_turns.told_since(LINK_TURNS, before)
    if told:
        pytest.fail(told, pytrace=False)


@pytest.fixture(autouse=True)
def _shared_tasks_go_with_their_test() -> Iterator[None]:
    """The processes of a later test's pool would look for them in vain."""
    before = dict(registry._shared)
    yield
    added = registry._shared.keys() - before.keys()
    registry._shared.clear()
    registry._shared.update(before)
    for app in filter(None, (known() for known in registry._apps)):  # an app of a module lives on, and has them, too
        for name in added:
            app.tasks.pop(name, None)


@pytest.fixture(autouse=True)
def _no_link_outlives_its_test() -> Iterator[None]:
    """A link left open goes on connecting behind the tests that follow, and what it does is blamed on them."""
    before = _links()
    yield
    wait.wait_for(lambda: _links() <= before, 10.0, "a link is still running: close the app or the link")


def _links() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "amqptasks-link"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """From the reports alone: the processes that run the tests are others than the one that sums up. A test that
    counts what it looked at says so with `record_property("counted", text)`."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "counted" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {text}")
    outcome = "error" if _ci() else "skipped"
    texts = [str(report.longrepr) for report in terminalreporter.stats.get(outcome, [])]
    lacking = [text for text in texts if NO_BROKER in text]
    if lacking:
        why = lacking[0].partition(NO_BROKER)[2].lstrip(": ")
        terminalreporter.write_line(f"{len(lacking)} broker tests not run, for want of a RabbitMQ: {why}", yellow=True)


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Iterator[GivenBroker | StartedBroker]:
    """A RabbitMQ for this session: `url` (virtual host `/`), `management_url`, `version`. Tests use `vhost`."""
    url = os.environ.get("AMQPTASKS_TEST_URL")
    if url:
        yield GivenBroker(url, _management_url(url), probe.version(url))
        return
    with start_node("session", request) as started:
        yield started


@pytest.fixture
def vhost(broker: GivenBroker | StartedBroker) -> Iterator[Vhost]:
    """A virtual host of this test's own: `url`, `name`, `management`; deleted afterwards."""
    with new_vhost(broker) as created:
        yield created


@pytest.fixture
def management(vhost: Vhost) -> Management:
    """What the broker says about this test's virtual host."""
    return vhost.management


@pytest.fixture
def proxy(vhost: Vhost) -> Iterator[Proxy]:
    """The way to this test's virtual host through a TCP proxy: `url`, `cut`, `pause`, `resume`, `refuse`, `accept`."""
    created = Proxy(vhost.url)
    yield created
    created.close()


@pytest.fixture(scope="module")
def _module_broker(request: pytest.FixtureRequest) -> Iterator[StartedBroker]:
    with start_node("own", request) as started:
        yield started


@pytest.fixture
def own_broker(_module_broker: StartedBroker) -> StartedBroker:
    """A node of this test module's own, to be killed, stopped and started through `own_broker.node`; running at the
    start of each test. Make a virtual host in it with `new_vhost(own_broker)`."""
    _module_broker.node.start()
    return _module_broker


@pytest.fixture
def worker_process(tmp_path: Path, vhost: Vhost) -> Iterator[WorkerFactory]:
    """Start worker processes on this test's virtual host: `worker_process(SOURCE, "-Q", "default")`."""
    factory = WorkerFactory(tmp_path, vhost.url)
    yield factory
    factory.end_all()


@pytest.fixture
def wait_for() -> Callable[..., object]:
    """`wait_for(predicate, timeout, message)`; also importable from `tests.harness.wait`."""
    return wait.wait_for


@contextmanager
def start_node(
    purpose: str,
    request: pytest.FixtureRequest,
    configuration: dict[str, str] | None = None,
    advanced: str = FREQUENT_SAMPLES,
) -> Iterator[StartedBroker]:
    """A node for a fixture of yours, destroyed at the end; `configuration` is for its rabbitmq.conf, `advanced` is its
    advanced.config, which Docker's nodes have not. Mark the tests
    with `kills_broker` where only a node of our own will do. Skips where no RabbitMQ can be had."""
    try:
        node = new_node(purpose, configuration, advanced)
    except NoBroker as error:
        if _ci():
            pytest.fail(f"{NO_BROKER}, and CI is set: {error}", pytrace=False)
        pytest.skip(f"{NO_BROKER}: {error}")
    try:
        node.start()
        yield StartedBroker(node)
    finally:
        node.destroy()


def _management_url(url: str) -> str:
    named = os.environ.get("AMQPTASKS_TEST_MANAGEMENT_URL") or probe.management_url(url)
    if not named:
        pytest.fail(
            "AMQPTASKS_TEST_URL is set: set AMQPTASKS_TEST_MANAGEMENT_URL too (http://HOST:15672)", pytrace=False
        )
    return named.rstrip("/")


def _ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")
