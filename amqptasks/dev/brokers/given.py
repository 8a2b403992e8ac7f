"""The broker whose URL was given: used as it is, never started or stopped."""

from __future__ import annotations

from amqptasks.dev.brokers import probe
from amqptasks.dev.brokers.running import Absent, Running, Wish, shown

KIND = "given"


def find(wish: Wish) -> Running | Absent:
    """Log in at `wish.url`; of several, separated by `;`, the first that lets us in.

    Raises `ConfigurationError` where that is no address.
    """
    refusals = []
    for url in (wish.url or "").split(";"):
        if not url.strip():
            continue
        try:
            version = probe.version(url.strip())
        except ConnectionError as error:
            refusals.append(f"{shown(url.strip())}: {error}")
        else:
            return Running(KIND, url.strip(), probe.management_url(url.strip()), version)
    return Absent(KIND, "; ".join(refusals) or "no URL was given")


def stop(running: Running) -> None:
    """Nothing: it is not ours."""
