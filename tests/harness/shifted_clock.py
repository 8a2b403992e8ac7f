"""A publisher, worker, operator or bystander whose clock is off: `python -m tests.harness.shifted_clock ROLE HOURS`.

Each prints a line of JSON for each thing that it does, with the moment by the monotonic clock. That is the same for all
processes of a machine, and it is not shifted. A line on standard input lets it go on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any


def main(role: str, hours: float) -> None:
    _shift(hours)
    from amqptasks import App

    without_delays = os.environ.get("TOPOLOGY") if role == "bystander" else None
    app = App(
        "lab", os.environ["AMQPTASKS_BROKER_URL"], topology=without_delays, ignore_result=True, events=role == "worker"
    )
    roles = {"publisher": _publish, "worker": _work, "operator": _operate, "bystander": _stand_by}
    roles[role](app, _declared(app))


def _shift(hours: float) -> None:
    """Before amqptasks is imported: some of its modules take `time_ns` by name. freezegun would not do: on threads it
    tells the right time, because it lets the modules of the standard library have that."""
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + hours * 3600
    time.time_ns = lambda: nanoseconds() + round(hours * 3600) * 10**9


def _now() -> datetime:
    """By the clock that is off. `datetime.now` asks the system itself."""
    return datetime.fromtimestamp(time.time(), UTC)


def _declared(app: Any) -> Any:
    from amqptasks.runtime.clock import pause

    @app.task(name="lab.work")
    def work(word: str) -> None:
        say(f"ran {word}")

    @app.task(name="lab.called_back")
    def called_back(word: str) -> None:
        say(f"ran {word}")

    @app.task(name="lab.alone", lock=True, throttle_for=600)
    def alone(word: str) -> None:
        pause(0.5)
        say(f"ran {word}")

    @app.task(name="lab.slowly", rate_limit="1/s")
    def slowly(word: str) -> None:
        say(f"ran {word}")

    return work, called_back, alone, slowly


def _publish(app: Any, tasks: Any) -> None:
    work, called_back, alone, slowly = tasks
    work.delay("first")
    sys.stdin.readline()
    say("called")
    work.apply_async(["expires in 60"], expires=60)
    work.apply_async(["expired"], countdown=3, expires=1)
    work.apply_async(["countdown 2"], countdown=2)
    work.apply_async(["eta 2"], eta=_now() + timedelta(seconds=2))
    work.apply_async(["until 60"], expires=_now() + timedelta(seconds=60))
    called_back.apply_async(["before the revocation"], countdown=6)
    for number in range(2):
        alone.delay(f"alone {number}")
        slowly.delay(f"slowly {number}")
    say("published")
    sys.stdin.readline()
    called_back.delay("after the revocation")
    say("published again")
    sys.stdin.readline()


def _work(app: Any, _: Any) -> None:
    with app.worker(concurrency=4):
        say("ready")
        sys.stdin.readline()


def _operate(app: Any, _: Any) -> None:
    app.control.ping()
    say("there")
    sys.stdin.readline()
    answers = app.control.revoke(task="lab.called_back")
    say("revoked", len(answers))
    pongs = app.control.ping()
    say("pinged", len(pongs))
    sys.stdin.readline()


def _stand_by(_: Any, tasks: Any) -> None:
    """Without a ladder, it knows the time once a worker sends a heartbeat."""
    from amqptasks.runtime.clock import broker_time, pause

    work = tasks[0]
    work.apply_async(["by its own clock"], expires=60)
    while broker_time.ahead() is None:
        pause(0.1)
    say("knows", broker_time.ahead())
    work.apply_async(["by the broker's clock"], expires=60)
    sys.stdin.readline()


def say(what: str, more: Any = None) -> None:
    from amqptasks.runtime.clock import monotonic

    os.write(1, (json.dumps([what, monotonic(), more]) + "\n").encode())  # one write: threads do not mix their lines


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
