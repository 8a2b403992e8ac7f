"""An app for pools of processes: by itself, because they import it."""

from __future__ import annotations

import sys
import time
from typing import Any

from amqptasks import App, Task

app = App("held", "amqp://localhost:1", ignore_result=True)


@app.task(name="held.hold")
def hold(seconds: float) -> None:
    time.sleep(seconds)


class Leaving(Task[..., Any]):
    def on_success(self, *_: Any) -> None:
        sys.exit(3)


@app.task(name="held.leave_after", base=Leaving)
def leave_after() -> None:
    """Its hook asks to end the process."""
