"""What a management API says, exported: the file that is written can be read, and says the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

from hypothesis import strategies as st

from amqptasks.errors import ConfigurationError
from amqptasks.management.client import Management
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.export.export import export
from amqptasks.topology.plan.plan import plan
from amqptasks.topology.read.loader import load
from tests.fuzz import values
from tests.fuzz.target import Target
from tests.harness.foreign import ODD_NAMES, foreign_vhosts


class _Answers:
    """In place of `Management`: rows that were drawn."""

    user = "guest"

    def __init__(self, drawn: dict[str, Any]) -> None:
        self.vhost = drawn["vhost"]
        self._version = drawn["version"]
        queues = [
            {
                **one,
                "type": one["arguments"].get("x-queue-type", "classic"),
                "exclusive": one.get("exclusive", False),
                "messages": 0,
            }
            for one in drawn["queues"]
        ]
        here = {"vhost": drawn["vhost"]}
        self._rows: dict[tuple[str, ...], Any] = {
            ("exchanges", self.vhost): [*_built_in(), *drawn["exchanges"]],
            ("queues", self.vhost): queues,
            ("bindings", self.vhost): drawn["bindings"],
            ("policies", self.vhost): drawn["policies"],
            ("operator-policies", self.vhost): drawn["operator_policies"],
            ("parameters",): [{**here, **one} for one in drawn["parameters"]],
            ("users",): drawn["users"],
            ("vhosts", self.vhost, "permissions"): drawn["permissions"],
            ("vhosts", self.vhost, "topic-permissions"): [],
            ("vhost-limits", self.vhost): [{"value": drawn["limits"]}],
            ("user-limits",): [],
        }
        self._settings = drawn["settings"]

    def overview(self, *_: str) -> dict[str, Any]:
        return {"rabbitmq_version": self._version, "exchange_types": []}

    def find(self, *path: str, query: dict[str, str] | None = None) -> Any:
        return self._settings if path == ("vhosts", self.vhost) else None

    def request(self, _: str, *path: str, body: object = None, query: dict[str, str] | None = None) -> Any:
        return self._rows[path]


def _built_in() -> list[dict[str, Any]]:
    kinds = ("direct", "topic", "fanout", "headers")
    usual = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    return [{"name": f"amq.{kind}", "type": kind, **usual} for kind in kinds]


def check(example: dict[str, Any]) -> None:
    observed = observe(cast("Management", _Answers(example)))
    try:
        found = export(observed)
    except ConfigurationError as error:
        if "holds nothing to export" not in str(error):
            raise
        return
    with tempfile.TemporaryDirectory(prefix="amqptasks-fuzz-") as folder:
        file = Path(folder, "exported.yaml")
        file.write_text(found.text, encoding="utf-8", newline="")
        again = load(file, environment={})
    assert again.queues == found.topology.queues
    assert again.exchanges == found.topology.exchanges
    assert again.policies == found.topology.policies
    for line in (*found.left_out, *found.of_clients, *found.notes):
        assert line
    wanted = expand(again, observed.capabilities) + ladder_objects(again, observed.capabilities)
    steps = [step for step in plan(wanted, observed).changes if step.kind != "user"]
    assert not steps, (steps, found.text)


_NAMES = st.sampled_from(ODD_NAMES)
_EXPRESSIONS = st.sampled_from(("", ".*", "^a", "^(a|b)$", "(", "é"))

TARGET = Target(
    "exporting",
    st.builds(
        lambda drawn, more: {**drawn, **more},
        foreign_vhosts(plugins=True, most=2),
        st.fixed_dictionaries(
            {
                "vhost": _NAMES,
                "version": st.sampled_from(("3.10.8", "4.0.5", "4.3.6")),
                "settings": st.fixed_dictionaries(
                    {
                        "description": values.TEXTS.filter(lambda text: "\ud800" not in text),
                        "tags": st.lists(_NAMES, max_size=2),
                        "default_queue_type": st.sampled_from(("classic", "quorum", "stream", "undefined", None)),
                    }
                ),
                "limits": st.dictionaries(
                    st.sampled_from(("max-connections", "max-queues")), st.integers(-1, 2**40), max_size=2
                ),
                "users": st.lists(_NAMES, max_size=3, unique=True).map(
                    lambda names: [{"name": name, "tags": [], "password_hash": "x"} for name in names]
                ),
                "permissions": st.lists(
                    st.fixed_dictionaries(
                        {"user": _NAMES, "configure": _EXPRESSIONS, "write": _EXPRESSIONS, "read": _EXPRESSIONS}
                    ),
                    max_size=3,
                    unique_by=lambda one: one["user"],
                ),
            }
        ),
    ),
    check,
    mixed=("policies", "operator_policies", "parameters", "settings", "limits", "users", "version", "vhost"),
)
