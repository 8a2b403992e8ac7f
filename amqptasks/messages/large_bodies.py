"""Large bodies are read one after the other, with pauses between them.

The JSON parser keeps Python's interpreter for as long as it reads: a third of a second for 120 MB. Several threads that
read such bodies in turn would keep the link's thread from it all the time, whoever sent them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from amqptasks.runtime.clock import monotonic, pause

#: Bytes from which on a body is large: it is read in some 20 ms.
LARGE = 8 * 2**20

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
    def taken(self) -> Iterator[None]:
        """The next one to read waits as long after this one as this one took."""
        with self._lock:
            early = self._free_at - monotonic()
            if early > 0:
                pause(early)
            began = monotonic()
            try:
                yield
            finally:
                ended = monotonic()
                self._free_at = ended + min(ended - began, LONGEST_PAUSE)


#: Of this process. Read a body of `LARGE` bytes or more within it: `with in_turn():`.
in_turn = _Turn().taken
