"""The options of workers: of `amqptasks worker`, of `App.worker()`, and of a queue in a topology file."""

from __future__ import annotations

from amqptasks.options.catalogue import POOLS, TASK, Option
from amqptasks.options.kinds import Flag, OneOf, Optional, Seconds, Text, Whole
from amqptasks.untrusted import bounds

#: Deliveries that a consumer may hold: AMQP has 16 bits for that number.
MOST_PREFETCH = 65_535

#: Processes of a pool: its page of shared memory has room for so many.
MOST_PROCESSES = 1024

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

#: A prefetch, wherever one is given.
PREFETCH = Whole(MOST_PREFETCH, 1)

#: Tasks that run at once.
AT_ONCE = Whole(bounds.LARGEST_POOL, 1)

_FLAG, _SECONDS = Flag(), Seconds()
_MANY = Whole(bounds.LARGEST_NUMBER, 1)

WORKER: dict[str, Option] = {
    "concurrency": Option(AT_ONCE, "processors allowed; at least 4 threads", "plain functions that run at once"),
    "pool": Option(OneOf(POOLS), "prefork", "where they run: processes, threads, or the main thread"),
    "async_concurrency": Option(Optional(AT_ONCE), "what the prefetch allows", "`async def` tasks that run at once"),
    "max_tasks_per_child": Option(Optional(_MANY), "never", "renews a process after so many tasks"),
    "max_memory_per_child": Option(Optional(_MANY), "never", "renews a process that is larger than so many KiB"),
    "start_method": Option(
        OneOf(("fork", "forkserver", "spawn")),
        "fork",
        "how processes begin: as copies of this one, of a fresh one, or each afresh",
    ),
    "time_limit": Option(
        TASK["time_limit"].kind,
        "none",
        "ends a task by force after so long, where neither it nor its call says otherwise",
        TASK["time_limit"].trap,
    ),
    "soft_time_limit": Option(
        TASK["soft_time_limit"].kind, "none", "raises SoftTimeLimitExceeded in a task after so long, likewise"
    ),
    "on_shutdown": Option(
        OneOf(("finish", "interrupt", "hand-back")),
        "finish",
        "running tasks may end, are told to stop, or go back to their queue at once",
    ),
    "stop_timeout": Option(_SECONDS, "22", "how long they may take to end, before they are told to stop"),
    "tidy_timeout": Option(_SECONDS, "4", "how long they may take to stop, before they go back to their queue"),
    "prefetch": Option(
        Optional(PREFETCH), "what runs in 100 ms", "deliveries held from each queue, and async tasks run at once"
    ),
    "name": Option(Optional(Text()), "HOST:PID", "the worker's name, say web@%h; see docs/worker.md"),
    "connect_for": Option(
        Optional(_SECONDS), "never", "gives up where the broker cannot be reached for so long at the start"
    ),
    "processes": Option(Whole(MOST_PROCESSES, 1), "1", "worker processes"),
    "events": Option(_FLAG, "the app's", "sends events of tasks and of this worker"),
    "health_port": Option(Optional(Whole(65_535)), "none; 0: any free port", "probes by HTTP: /live and /ready"),
    "health_host": Option(
        Text(), "127.0.0.1", "where probes may come from: 0.0.0.0 for every address, as Kubernetes needs"
    ),
    "log_level": Option(OneOf(LOG_LEVELS), "info", "what is logged, to stderr: this and worse"),
    "log_format": Option(OneOf(("plain", "json")), "plain", "lines for people, or a JSON object a line"),
}
