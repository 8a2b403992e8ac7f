"""Finding or starting a broker, in a fixed order, and stopping what was started."""

from __future__ import annotations

from types import ModuleType

from amqptasks.dev.brokers import apt, docker, given, localhost, private, probe, state
from amqptasks.dev.brokers.running import Absent, Running, Wish

#: The ways, from what costs nothing to what installs packages.
ORDER: tuple[ModuleType, ...] = (localhost, private, docker, apt)


def find(wish: Wish) -> Running | list[Absent]:
    """The broker at `wish.url`, and no other, where one is named. Else what an earlier call started and still runs,
    else the first way of `ORDER` that leads to one; it is remembered when it had to be started. Where none does: why,
    for each. Raises `ConfigurationError` for a URL that is none."""
    if wish.url is not None:
        found = given.find(wish)
        return [found] if isinstance(found, Absent) else found
    with state.locked():
        earlier = current()
        if earlier is not None:
            return earlier
        return _first(wish)


def current() -> Running | None:
    """What an earlier call started, if it answers."""
    earlier = state.recall()
    if earlier is None:
        return None
    try:
        probe.version(earlier.url)
    except ConnectionError:
        return None
    return earlier


def stop() -> Running | None:
    """Stop what was started, alive or not, and forget it; None where nothing was."""
    with state.locked():
        earlier = state.recall()
        if earlier is not None:
            kinds = {kind.KIND: kind for kind in ORDER}
            kinds[earlier.kind].stop(earlier)
            state.forget()
        return earlier


def _first(wish: Wish) -> Running | list[Absent]:
    refusals = []
    for kind in ORDER:
        found: Running | Absent = kind.find(wish)
        if isinstance(found, Running):
            if found.started:
                state.remember(found)
            return found
        refusals.append(found)
    return refusals
