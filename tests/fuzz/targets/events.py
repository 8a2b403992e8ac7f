"""Events, as anybody may send them to their exchange, up to the line that people see."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from amqptasks.cli.commands import events as command
from amqptasks.events import event
from amqptasks.events.places import EXCHANGE
from amqptasks.untrusted.printable import printable
from tests.fuzz import values
from tests.fuzz.target import Target

_EVENT = values.likely(
    {
        "type": st.sampled_from((*event.TYPES, "task-new", "worker-")),
        "hostname": st.just("web:1"),
        "timestamp": st.sampled_from((0, 1764500000.5, 1e12)),
        "utcoffset": st.just(0),
        "pid": st.just(7),
        "clock": st.just(1),
        "uuid": st.just("0199a1b2-0000-7000-8000-000000000000"),
        "name": st.just("shop.work"),
        "runtime": st.sampled_from((0, 0.25, 100)),
        "exception": values.TEXTS,
        "result": values.TEXTS,
        "reason": values.TEXTS,
        "active": st.just(1),
        "processed": st.just(1),
    }
)


def check(example: dict[str, Any]) -> None:
    found = event.events_in(values.delivery(example["body"], exchange=EXCHANGE.name))
    assert event.of_types(found, ["task-*", "["]) == [one for one in found if one["type"].startswith("task-")]
    for one in found:
        line = printable(command._line(one))
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line
        assert isinstance(command._is_wanted(one, ("task-*",), "shop.*"), bool)
        json.loads(json.dumps(one))


TARGET = Target(
    "events",
    st.fixed_dictionaries({"body": values.bodies(st.one_of(_EVENT, st.lists(_EVENT, max_size=3)))}),
    check,
    changed=("body",),
)
