"""What wakes a loop that sleeps: rung from any thread, and from within the handler of a signal.

pika has its own (`add_callback_threadsafe`), behind a lock. A handler that runs while its thread holds that lock waits
for itself, and then the loop waits for both: a worker told to stop in that moment would hang for ever.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable

#: Bytes that are heard at once: more rings than that are heard in another turn.
MOST = 4096


class Wakeup:
    """`ring(RING)` raises `OSError` where it rings already, or where nobody listens any more."""

    #: What to ring with.
    RING = b"!"

    def __init__(self) -> None:
        self._heard, rung = socket.socketpair()
        self._heard.setblocking(False)
        rung.setblocking(False)
        #: A function in C: nothing of Python runs between the call and the end of it, and no signal's handler either.
        self.ring: Callable[[bytes], int] = rung.send
        # Not with `close`: another thread may be about to ring, and its descriptor may be somebody else's by then.
        weakref.finalize(self, rung.close)

    @property
    def descriptor(self) -> int:
        """Readable while it rings."""
        return self._heard.fileno()

    def hear(self) -> None:
        """It rings no more, until it is rung again."""
        try:
            self._heard.recv(MOST)
        except BlockingIOError:  # somebody has heard it
            return

    def close(self) -> None:
        """Nobody listens any more."""
        self._heard.close()
