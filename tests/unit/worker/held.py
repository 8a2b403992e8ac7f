"""An app for pools of processes: by itself, because they import it."""

from __future__ import annotations

import time

from amqptasks import App

app = App("held", "amqp://localhost:1", ignore_result=True)


@app.task(name="held.hold")
def hold(seconds: float) -> None:
    time.sleep(seconds)
