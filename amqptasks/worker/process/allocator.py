"""Memory that tasks have freed goes back to the machine."""

from __future__ import annotations

import ctypes
import os

#: glibc's number for the size from which on each block is a mapping of its own.
#: https://man7.org/linux/man-pages/man3/mallopt.3.html
MMAP_THRESHOLD = -3

#: Bytes of such a block. glibc begins with 128 KiB, and goes up to the largest block that was freed, to 32 MiB at most.
#: Smaller blocks stay in the process once they are free: 40 MB where each task takes 20 MB. From this size on, the
#: kernel's work for a mapping is small beside that of filling it.
LARGE = 4 * 1024 * 1024

#: Where the user of a worker has a say in it already.
VARIABLE = "MALLOC_MMAP_THRESHOLD_"


def return_large_blocks() -> None:
    """Give blocks of 4 MiB and more back as soon as they are free. Does nothing where the environment names another
    size, or the C library is not glibc. Forked processes have it, too."""
    if VARIABLE in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGE)
