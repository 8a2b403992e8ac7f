"""The demo's app and its tasks; the worker process imports this file as `-A amqptasks.dev.demo.shop`."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amqptasks import App, Reject

#: The environment's word for what all names of the demo begin with.
PREFIX_VARIABLE = "AMQPTASKS_DEMO_PREFIX"

#: Seconds until a failed payment is tried again. Long enough to be seen, short enough for a demo.
RETRY_DELAY = 2.0

app = App("demo", topology=Path(__file__).with_name("topology.yaml"))


def queue(name: str) -> str:
    """The whole name of one of the topology's queues."""
    return f"{os.environ.get(PREFIX_VARIABLE) or 'demo'}.{name}"


@app.task(name="demo.order.place")
def place_order(number: int) -> int:
    """Succeeds at once."""
    return number


@app.task(
    name="demo.order.charge",
    bind=True,
    autoretry_for=(ConnectionError,),
    max_retries=3,
    default_retry_delay=RETRY_DELAY,
    retry_jitter=False,
)
def charge_card(self: Any, number: int) -> float:
    """Fails at first and succeeds when it is tried again; returns the seconds in between."""
    if self.request.retries == 0:
        raise ConnectionError(f"the bank does not answer for order {number}")
    waited: float = (datetime.now(UTC) - self.request.eta).total_seconds() + RETRY_DELAY
    return waited


@app.task(name="demo.order.remind")
def remind() -> float:
    """Is published with a countdown; returns when it ran, in seconds since 1970."""
    return time.time()


@app.task(name="demo.order.ship")
def ship(number: int) -> None:
    """Fails for good."""
    raise ValueError(f"order {number} has no address")


@app.task(name="demo.order.refuse")
def refuse() -> None:
    """Says itself that it cannot run."""
    raise Reject("the order was cancelled")


@app.task(name="demo.letter")
def write_letter() -> float:
    """Returns when it began, in seconds since 1970."""
    began = time.time()
    time.sleep(0.005)  # so that no two begin at one time
    return began
