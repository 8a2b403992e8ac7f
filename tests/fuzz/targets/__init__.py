"""The targets by name."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import control, decoding, events, exporting, loading, settling

TARGETS: dict[str, Target] = {
    one.name: one
    for one in (decoding.TARGET, settling.TARGET, control.TARGET, events.TARGET, loading.TARGET, exporting.TARGET)
}
