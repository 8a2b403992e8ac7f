"""Every cell of the table of roles in docs/security.md, by logging in as that role."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import get_args

import pytest
from click.testing import CliRunner

from amqptasks import App
from amqptasks.cli import main
from amqptasks.topology.topology import Role
from amqptasks.worker.node import Node
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.roles.acts import ACTS
from tests.harness.roles.place import RESULTS, SOON, Place, Refused
from tests.harness.vhost import new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY
from tests.integration.test_roles import api

TOPOLOGY = """
version: 1
exchanges:
  tasks: {{type: topic}}
queues:
  orders: {{bindings: [{{exchange: tasks, routing_key: "order.#"}}]}}
  default:
  parked:
routes:
  "shop.*": {{exchange: tasks, routing_key: order.new}}
delays: {{max: 1m}}
users:
"""


def page() -> tuple[list[str], dict[str, list[str]]]:
    """The roles, and by act the word in each of their cells."""
    text = (REPOSITORY / "docs" / "security.md").read_text().partition("## Roles")[2]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    roles = rows[0][1:]
    return roles, {row[0]: row[1:] for row in rows[2:] if len(row) == len(roles) + 1}


ROLES, CELLS = page()


@pytest.fixture(scope="module")
def place(broker: GivenBroker | StartedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all cells: none of them is in another one's way, and there are too many for a virtual host each."""
    folder = tmp_path_factory.mktemp("roles")
    with new_vhost(broker) as vhost, pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROLE_PASSWORD", "hunter2")
        users = [f"  {vhost.name}-{role}: {{password_from: ROLE_PASSWORD, role: {role}}}" for role in ROLES]
        file = folder / "shop.yaml"
        file.write_text(TOPOLOGY.format() + "\n".join(users) + "\n")
        where = ["--broker", vhost.url, "--management", api(vhost), "--backend", RESULTS]
        done = CliRunner().invoke(main, ["declare", str(file), *where])
        assert done.exit_code == 0, done.output
        with closing(App("shop", vhost.url, topology=str(file))) as app:
            made = Place(vhost, folder, app)
            with made.admin() as admin:
                channel = admin.channel()
                channel.queue_declare("foreign", durable=True)
                channel.exchange_declare("foreign", "fanout")
            yield from _with_a_worker(made)
        for role in ROLES:
            vhost.management.request("DELETE", "users", f"{vhost.name}-{role}")


def _with_a_worker(made: Place) -> Iterator[Place]:
    with closing(made.as_role("worker", events=True, backend=RESULTS)) as app:

        @app.task(name="shop.note")
        def note(word: str) -> str:
            made.ran.append(word)
            return "noted"

        @app.task(name="shop.nap")
        def nap(word: str) -> None:
            time.sleep(0.5)

        node = Node(app, ["orders", "default"], concurrency=4, events=True)
        node.start()
        try:
            wait_for(lambda: len(made.app.control.ping()) == 1, SOON, "the worker answers")
            made.result = note.delay("first").id
            wait_for(lambda: app.AsyncResult(made.result).ready(), SOON, "its result is stored")
            yield made
        finally:
            node.stop()
            node.wait(SOON)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("act", CELLS)
def test_a_role_may_do_what_the_page_says_and_nothing_else(place: Place, act: str, role: str) -> None:
    may = CELLS[act][ROLES.index(role)] == "yes"
    for number, way in enumerate(ACTS[act]):
        try:
            way(place, role)
        except Refused:
            continue
        assert may, f"a {role} may {act}, by way {number}"
        return
    assert not may, f"a {role} may not {act}, by none of {len(ACTS[act])} ways"


def test_the_table_of_roles_has_all_roles_and_the_acts_that_are_tested() -> None:
    assert sorted(ROLES) == sorted(get_args(Role))
    assert list(CELLS) == list(ACTS)
    assert {cell for cells in CELLS.values() for cell in cells} == {"yes", "no"}
