"""The clock of this program for everything that takes time: deadlines, timers, how long a task ran.

Not `time.monotonic`: freezegun freezes that for a whole process, and a task may replace it. A worker or a caller that
waited by a frozen clock would wait for ever. freezegun leaves `time.clock_gettime` alone.
"""

from __future__ import annotations

from functools import partial
from select import select
from time import CLOCK_MONOTONIC, clock_gettime

#: Seconds since a moment that means nothing, as a float; the same clock in all processes of a machine. A `partial`,
#: because it costs half of a function in Python.
monotonic = partial(clock_gettime, CLOCK_MONOTONIC)

#: Wait for so many seconds. Not `time.sleep`: a task may replace that, too, and it fails where a library pretends
#: another time (libfaketime: EINVAL).
pause = partial(select, (), (), ())
