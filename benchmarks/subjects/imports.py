"""How long an import takes, which every start of a service and of a command line waits for."""

from __future__ import annotations

from statistics import median

from benchmarks import processes
from benchmarks.bench import Bench
from benchmarks.subjects import Column, Contestant, Sample, Subject

#: Imports a run: the median of so many stands a busy machine.
TIMES = 7

_IMPORT = """
import json, sys, time
start = time.perf_counter()
import {module}
took = time.perf_counter() - start
print(json.dumps({{"seconds": took, "modules": len(sys.modules)}}))
"""


def measure(bench: Bench, contestant: Contestant) -> Sample:
    code = _IMPORT.format(module=contestant.client)
    answers = [processes.answer(["-c", code], {}, bench.folder / "import.log") for _ in range(TIMES)]
    return {"milliseconds": median(answer["seconds"] for answer in answers) * 1e3, "modules": answers[0]["modules"]}


SUBJECT = Subject(
    "Import time",
    "The import alone, in a new process, with compiled files and a warm disk cache.",
    {"milliseconds": Column("ms", 1), "modules": Column("modules loaded")},
    (
        Contestant("import amqptasks", "ours", "amqptasks"),
        Contestant("import pika", "pika", "pika"),
        Contestant("import celery", "celery", "celery.app"),
        Contestant("import taskiq_aio_pika", "taskiq", "taskiq_aio_pika"),
        Contestant("import aio_pika", "aiopika", "aio_pika"),
        Contestant("import dramatiq and its RabbitMQ broker", "dramatiq", "dramatiq.brokers.rabbitmq"),
    ),
    measure,
)
