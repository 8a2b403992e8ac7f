"""Run one client of one peer in this process and print what it took, as JSON: `python -m benchmarks.client PEER CLIENT
COUNT`. `Place.here()` says where."""

from __future__ import annotations

import json
import resource
import sys
import time

from benchmarks import peers
from benchmarks.clocks import cpu_time
from benchmarks.gauge import Gauge
from benchmarks.place import Place


def main(peer: str, name: str, count: int) -> dict[str, float | None]:
    """Seconds of wall time, and when they began and ended by the monotonic clock, which all processes share; seconds of
    our CPU and of the broker's (None: unknown); messages sent in all, warm-up included."""
    place = Place.here()
    client = peers.find(peer).CLIENTS[name](place)
    with Gauge(place.url, place.queue) as gauge:
        client.run(client.warm_up)
        if not client.confirmed:
            gauge.wait_for_messages(client.warm_up)
        broker = _broker(place)
        cpu, start = _own(), time.monotonic()
        client.run(count)
        cpu = _own() - cpu  # without the waiting that follows
        if not client.confirmed:
            gauge.wait_for_messages(client.warm_up + count)
        took = time.monotonic() - start
        after = _broker(place)
    client.close()
    return {
        "seconds": took,
        "began": start,
        "ended": start + took,
        "client": cpu,
        "broker": None if broker is None or after is None else after - broker,
        "messages": client.warm_up + count,
    }


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _broker(place: Place) -> float | None:
    return None if place.broker is None else cpu_time(place.broker)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
