"""Celery: `delay()`; `celery worker` with its pools."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from kombu import Queue

from benchmarks import tasks
from benchmarks.peers import PAUSE, Client, Worker
from benchmarks.place import Place

#: Seconds that a caller waits for a result.
RESULT_WITHIN = 60.0

_place = Place.here()


def _app(*, confirm: bool = False, backend: str | None = None) -> Any:
    app = Celery("benchmark", broker=_place.url, backend=backend)
    if "BENCHMARK_DEFAULTS" in os.environ:
        queue = Queue(_place.queue, routing_key=_place.queue, queue_arguments=_place.queue_arguments)
        app.conf.update(task_default_queue=_place.queue, task_queues=[queue])
        return app
    app.conf.update(
        task_default_queue=_place.queue,
        task_queues=[Queue(_place.queue, routing_key=_place.queue, queue_arguments=_place.queue_arguments)],
        task_acks_late=True,
        # Celery counts for each process or thread, and takes 0 for no limit
        worker_prefetch_multiplier=max(1, _place.conditions.prefetch // int(os.environ.get("BENCHMARK_SLOTS", "1"))),
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_detect_quorum_queues=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"confirm_publish": True} if confirm else {},
    )
    return app


#: The worker's app; with `BENCHMARK_BACKEND` it sends results.
app = _app(backend=os.environ.get("BENCHMARK_BACKEND"))


def _task(app: Any, function: Any, *, ignore_result: bool = True) -> Any:
    return app.task(name=f"benchmarks.tasks.{function.__name__}", ignore_result=ignore_result)(function)


for _name in ("noop", "burn", "nap", "stamp"):
    _task(app, tasks.FUNCTIONS[_name])
_task(app, tasks.add, ignore_result=False)


class _CeleryClient(Client):
    confirmed = False
    backend: str | None = None

    #: Whether it publishes with confirms; `confirmed` says whether measuring must wait for the queue.
    publishes_confirmed = False

    def __init__(self, place: Place) -> None:
        self._app = _app(confirm=self.publishes_confirmed, backend=self.backend)
        self._usual = _task(self._app, tasks.FUNCTIONS[place.conditions.task])
        self._stamp = _task(self._app, tasks.stamp)
        self._add = _task(self._app, tasks.add, ignore_result=False)

    def run(self, count: int) -> None:
        for number in range(count):
            self._usual.delay(*tasks.arguments(number))

    def close(self) -> None:
        self._app.close()


class Confirmed(_CeleryClient):
    confirmed = publishes_confirmed = True


class Stamp(_CeleryClient):
    """Calls with a pause between them; the task measures how long it took."""

    confirmed = True  # nothing stays in the queue that could be counted

    def run(self, count: int) -> None:
        for _ in range(count):
            self._stamp.delay(time.monotonic_ns())
            time.sleep(PAUSE)


class StampConfirmed(Stamp):
    publishes_confirmed = True


class ResultOneByOne(_CeleryClient):
    """`delay().get()`."""

    confirmed = True  # by their results
    backend = "rpc://"

    def run(self, count: int) -> None:
        for number in range(count):
            assert self._add.delay(number, 1).get(RESULT_WITHIN) == number + 1


class ResultsOutstanding(ResultOneByOne):
    """All published first, then all collected."""

    def run(self, count: int) -> None:
        results = [self._add.delay(number, 1) for number in range(count)]
        assert [result.get(RESULT_WITHIN) for result in results] == list(range(1, count + 1))


CLIENTS = {
    "unconfirmed": _CeleryClient,
    "confirmed": Confirmed,
    "stamp": Stamp,
    "stamp confirmed": StampConfirmed,
    "result one by one": ResultOneByOne,
    "results outstanding": ResultsOutstanding,
}


def _worker(pool: str, concurrency: int, backend: str = "") -> Worker:
    command = f"-m celery -A benchmarks.peers.celery:app worker -P {pool} -c {concurrency} -O fair -l WARNING"
    command += " --without-gossip --without-mingle --without-heartbeat -Q QUEUE"
    environment = {"BENCHMARK_SLOTS": str(concurrency)}
    if backend:
        environment["BENCHMARK_BACKEND"] = backend
    return Worker(tuple(command.split()), "unconfirmed", environment)


def _by_default(*options: str) -> Worker:
    command = ("-m", "celery", "-A", "benchmarks.peers.celery:app", "worker", "-Q", "QUEUE", *options)
    return Worker(command, "unconfirmed", {"BENCHMARK_DEFAULTS": "yes"})


WORKERS = {
    "prefork by default": _by_default("-c", "2"),
    "prefork by default, info": _by_default("-c", "2", "-l", "INFO"),
    "threads by default": _by_default("-c", "8", "-P", "threads"),
    "prefork": _worker("prefork", 2),
    "prefork 8": _worker("prefork", 8),
    "prefork with results": _worker("prefork", 2, "rpc://"),
    "solo": _worker("solo", 1),
    "threads": _worker("threads", 8),
}
