"""Celery on both sides: `celery_producer` and `celery_worker`, on the virtual host of the test."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.worker_process import REPOSITORY, WorkerProcess
from tests.interop.celery_app import new_app


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    """Ours, with its queue `default` declared."""
    created = App("shop", broker=vhost.url)
    created.declare()
    yield created
    created.close()


@pytest.fixture
def celery_producer(vhost: Vhost, app: App) -> Iterator[Celery]:
    """A Celery app that only publishes, to our queue."""
    created = new_app(vhost.url)
    yield created
    close(created)


def close(celery: Celery) -> None:
    """Close the sockets that Celery leaves to the end of the process."""
    with suppress(AttributeError):  # it was never started: no result was asked for
        celery.backend.result_consumer.stop()
    celery.amqp.producer_pool.force_close_all()
    celery.pool.force_close_all()
    celery.close()


@pytest.fixture
def queue_arguments(vhost: Vhost, app: App) -> dict[str, Any]:
    """What the broker says our queue was declared with: Celery, given the same, finds nothing to change."""
    queue = vhost.management.queue("default")
    assert queue is not None
    return {name: value for name, value in queue["arguments"].items() if name.startswith("x-")}


@pytest.fixture
def celery_worker(
    vhost: Vhost, tmp_path: Path, queue_arguments: dict[str, Any]
) -> Iterator[Callable[[], WorkerProcess]]:
    """Start a real Celery worker on our queue `default`."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "CELERY_SHOP_URL": vhost.url,
            "CELERY_SHOP_QUEUE": json.dumps(queue_arguments),
        }
        # Not -P solo: with a quorum queue on 3.10 it may leave two messages lying until the next heartbeat.
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        arguments = [
            "-A",
            "tests.interop.celery_app",
            "worker",
            "-P",
            "threads",
            "-c",
            "1",
            "-l",
            "info",
            "-Q",
            "default",
            *quiet,
        ]
        process = WorkerProcess(arguments, tmp_path, environment, tmp_path / "celery.log", "celery")
        started.append(process)
        process.wait_for_line(r"celery@\S+ ready", timeout=30.0)
        return process

    yield start
    for process in started:
        process.kill()
