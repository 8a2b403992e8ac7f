"""A child that is a fresh interpreter (start method `spawn`): for libraries that no fork survives."""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Sequence

from amqptasks.worker.pools.prefork.child import INTERRUPT, NODE_SIGNALS, Child, blocking_socket, disregard, live
from amqptasks.worker.pools.prefork.fork_server import import_app, preload
from amqptasks.worker.pools.prefork.slots import Slots
from amqptasks.worker.process import allocator, garbage


def main(arguments: Sequence[str]) -> None:
    """Descriptors of the jobs, the results and the slots, the slot, the configuration, module and attribute of the app,
    and the path to import from."""
    for number in (*NODE_SIGNALS, INTERRUPT):
        signal.signal(number, disregard)
    jobs, results, slots, tasks, slot, child_config, module, attribute, *path = arguments
    app = import_app(module, attribute, int(tasks), path)
    taught = pickle.loads(bytes.fromhex(child_config))  # noqa: S301 - from our own fork server
    ours = blocking_socket(int(jobs)), blocking_socket(int(results))
    preload(app)
    allocator.return_large_blocks()
    garbage.leave_alone()
    live(Child(app, taught, ours[0], ours[1], Slots(int(slots)), int(slot)))


if __name__ == "__main__":
    main(sys.argv[1:])
