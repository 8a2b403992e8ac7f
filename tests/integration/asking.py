"""Workers that are asked and told."""

from __future__ import annotations

import threading
from typing import Any

from amqptasks import App

SOURCE = """
import asyncio, os, time
from amqptasks import App
app = App("told", ignore_result=True, control_shows_arguments=True)

def say(text):
    os.write(1, (text + "\\n").encode())

@app.task(name="note")
def note(word):
    say(f"ran {word}")

@app.task(name="hold")
def hold(seconds):
    say("holding")
    time.sleep(seconds)

@app.task(name="ahold")
async def ahold(seconds):
    say("holding")
    await asyncio.sleep(seconds)
"""

#: Seconds within which everybody answers who is there, on a busy machine.
ANSWERS_WITHIN = 5.0


class Told:
    """An app with tasks that can be watched, and a gate that holds one of them."""

    def __init__(self, url: str | list[str]) -> None:
        self.app = App("told", url, control_shows_arguments=True)
        self.ran: list[Any] = []
        self.holding = threading.Semaphore(0)
        self.barrier = threading.Event()
        self.app.task(name="note")(self.ran.append)
        self.app.task(name="hold")(self._hold)

    def _hold(self, word: str = "") -> None:
        self.holding.release()
        assert self.barrier.wait(60)
        self.ran.append(word)

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.app.send_task(task, args, queue="default", **options)

    def hold(self, count: int) -> None:
        for number in range(count):
            self.send("hold", str(number))
        for _ in range(count):
            assert self.holding.acquire(timeout=10)


def name(answers: Any) -> str:
    assert answers.errors == {}
    assert answers.missing == ()
    assert len(answers) == 1
    return next(iter(answers))
