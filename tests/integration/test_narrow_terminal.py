"""Every command that prints a table, on a terminal of 80 columns, with names of 60 characters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from amqptasks.cli import main
from amqptasks.cli.commands.migrate import _print_table
from amqptasks.topology.migrate.migration import Counts
from tests.harness.vhost import Broker, Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY, WorkerFactory
from tests.unit.test_numbers import COUNTED

COLUMNS = 80

QUEUE = "orders.of.customers.in.the.north.".ljust(60, "q")
EXCHANGE = "events.of.customers.in.the.north.".ljust(60, "x")
TASK = "shop.orders.of.customers.in.the.".ljust(60, "t")
WORKER = "worker-of-the-orders-in-the-north-".ljust(60, "w")

FILE = f"""
version: 1
exchanges:
  {EXCHANGE}: {{type: topic}}
queues:
  {QUEUE}:
    type: classic
    bindings: [{{exchange: {EXCHANGE}, routing_key: "order.#"}}]
    retry: {{delays: [1s]}}
routes:
  "{TASK}": {{exchange: {EXCHANGE}, routing_key: order.new}}
"""

SHOP = f"""
from amqptasks import App

app = App("shop", topology="f.yaml")


class AddressOfTheCustomerIsNotKnownToAnybody(Exception):
    pass


@app.task(name="{TASK}", ignore_result=True, max_retries=0)
def ship(order):
    raise AddressOfTheCustomerIsNotKnownToAnybody(f"{{order}}: " + "there is no such street in this town, " * 3)
"""

#: The commands, and the words that their output has to hold whole. `migrate` prints its table in the test below.
WHOLE = {
    ("declare", "f.yaml"): (QUEUE, EXCHANGE),
    ("topology", "route", "f.yaml", TASK): (QUEUE, EXCHANGE, TASK),
    ("topology", "simulate", "f.yaml", TASK, "--fail", "3"): (QUEUE, EXCHANGE),
    ("dead", "list", QUEUE): (TASK, "AddressOfTheCustomerIsNotKnownToAnybody"),
    ("dead", "list"): (f"{QUEUE}.dead", TASK),
    ("dead", "replay", QUEUE, "--all", "--dry-run"): (QUEUE, TASK),
    ("status",): (WORKER, QUEUE),
    ("doctor",): ("priorities", "message size"),
}

#: Where tables are printed; a new one needs a command above.
PRINTERS = {
    "commands/dead.py",
    "commands/declare.py",
    "commands/doctor.py",
    "commands/migrate.py",
    "commands/status.py",
    "commands/topology/route.py",
    "commands/topology/simulate.py",
    "support/letters.py",
}


def table_of(command: tuple[str, ...], output: str) -> list[str]:
    """The lines of the table. What the doctor finds stands below it, with lines that are copied, and so not folded."""
    table = output.split("\n\n")[1] if command == ("doctor",) else output
    return table.splitlines()


def test_no_line_of_a_table_is_over_80_columns(
    vhost: Vhost, broker: Broker, worker_process: WorkerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "f.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("AMQPTASKS_BROKER_URL", vhost.url)
    monkeypatch.setenv("AMQPTASKS_MANAGEMENT_URL", broker.management_url)
    worker_process(SHOP, "-Q", QUEUE, "-P", "threads", "-c", "1", "-n", WORKER)
    run = CliRunner().invoke
    assert run(main, ["-A", "shop", "call", TASK, "1"]).exit_code == 0
    wait_for(lambda: run(main, ["dead", "list", QUEUE, "--json"]).stdout)
    for command, words in WHOLE.items():
        done = run(main, [*command])
        assert done.exit_code in (0, 1 if command == ("doctor",) else 0), (command, done.output)
        for line in table_of(command, done.stdout):
            assert cell_len(line) <= COLUMNS, (command, line)
        for word in words:
            assert word in done.stdout, (command, word, done.stdout)
        one = re.search(rf"(?<![\d,.:])1 (?:[a-z]+ )?(?:{COUNTED})\b", done.output)
        assert one is None, (command, one)


def test_the_table_of_a_migration_is_not_over_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    _print_table(QUEUE, Counts(stages=1, waited=1, out=1, home=1, twice=1, lost=1))
    table = capsys.readouterr().out.splitlines()
    assert len(table) > 5
    assert max(map(cell_len, table)) <= COLUMNS


def test_all_tables_of_the_command_line_are_looked_at_here():
    folder = REPOSITORY / "amqptasks" / "cli"
    found = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        if "amqptasks.cli.support.tables import" in file.read_text()
    }
    assert found == PRINTERS
