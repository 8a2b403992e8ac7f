"""Signatures inside a message: its callbacks, its errbacks, the rest of its chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amqptasks.errors import ConfigurationError


def listed(value: Any) -> list[Any]:
    """One signature or several, as a list."""
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def embedded(given: Any) -> list[Any] | None:
    """Signatures as they travel: plain dicts, those inside them too."""
    found: list[Any] = []
    for signature in listed(given):
        if not isinstance(signature, Mapping) or not isinstance(signature.get("task"), str):
            raise ConfigurationError(f"{signature!r} is no signature: write TASK.s(...) or TASK.si(...)")
        options = dict(signature.get("options") or {})
        for name in ("link", "link_error", "chain"):
            if options.get(name):
                options[name] = embedded(options[name])
        found.append({**signature, "options": options})
    return found or None
