"""The message that amqptasks sends for a call, for the peers that publish by hand."""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from benchmarks.place import Place

#: The third part of a body of protocol 2.
WORKFLOW = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

_MORE_HEADERS = Place.here().conditions.more_headers()


def message(task: str, args: tuple[Any, ...]) -> tuple[bytes, dict[str, str], str]:
    """Its body, its headers and its id."""
    name = str(uuid.uuid4())
    headers = {"task": f"benchmarks.tasks.{task}", "id": name, **_MORE_HEADERS}
    return orjson.dumps((args, {}, WORKFLOW)), headers, name
