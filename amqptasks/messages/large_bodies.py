"""Large bodies are read one after the other.

JSON of that size is read piece by piece (`serializers/json_pieces.py`), and other threads run meanwhile. The parsers of
the other serializers keep Python's interpreter as long as they read: half a second for 120 MB. Several threads that
read such bodies in turn would keep the link's thread from it all the time, whoever sent them. So there are pauses
between them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from amqptasks.runtime.clock import monotonic, pause

#: Seconds of a pause at most.
LONGEST_PAUSE = 1.0


class _Turn:
    """Who reads, and until when nobody else does."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self._lock = threading.Lock()  # a child must not wait for a thread that it does not have
        self._free_at = 0.0

    @contextmanager
    def taken(self, *, pauses: bool) -> Iterator[None]:
        """Nobody else reads meanwhile. With `pauses`, the next one waits as long after this one as this one took."""
        with self._lock:
            early = self._free_at - monotonic()
            if early > 0:
                pause(early)
            began = monotonic()
            try:
                yield
            finally:
                if pauses:
                    ended = monotonic()
                    self._free_at = ended + min(ended - began, LONGEST_PAUSE)


#: Of this process. Read a body of `LARGE_BODY` bytes or more within it: `with in_turn(pauses=...):`.
in_turn = _Turn().taken
