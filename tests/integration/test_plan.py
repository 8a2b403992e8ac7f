"""`amqptasks plan` against a broker that somebody has changed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.vhost import Vhost

READY = Path(__file__).parents[2] / "topology"

TOPOLOGY = """
version: 1
vhost:
  name: {vhost}
  limits: {{max_queues: 500}}
exchanges:
  events: {{type: topic, alternate_exchange: lost}}
  lost: {{type: fanout}}
queues:
  emails: {{bindings: [{{exchange: events, routing_key: "email.#"}}], max_length: 100, delivery_limit: 5}}
  lost: {{bindings: [{{exchange: lost}}], dead_letter: false}}
policies:
  bounded: {{pattern: ^none$, apply_to: queues, definition: {{max_length: 10}}}}
users:
  {vhost}-api:
    password_from: API_PASSWORD
    tags: [monitoring]
    permissions: {{configure: "", write: "^e", read: ""}}
"""


@pytest.fixture
def file(vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What is declared before each test."""
    monkeypatch.setenv("API_PASSWORD", "hunter2")
    written = tmp_path / "topology.yaml"
    written.write_text(TOPOLOGY.format(vhost=vhost.name))
    assert run("declare", written, vhost)[0] == 0
    yield written
    vhost.management.request("DELETE", "users", f"{vhost.name}-api")


def run(command: str, file: Path, vhost: Vhost, *more: str, typed: str = "") -> tuple[int, str, str]:
    arguments = [command, str(file), "--broker", vhost.url, "--no-delays", "--management", _api(vhost), *more]
    done = CliRunner().invoke(main, arguments, input=typed)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.stdout, done.stderr


def _api(vhost: Vhost) -> str:
    return vhost.management._base.removesuffix("/api")


def steps(file: Path, vhost: Vhost) -> list[dict[str, Any]]:
    _, out, _ = run("plan", file, vhost, "--json")
    return json.loads(out)["steps"]


def put(vhost: Vhost, *path: str, **body: Any) -> None:
    vhost.management.request("PUT", *path, body={key.replace("_", "-"): value for key, value in body.items()})


def test_after_declare_there_is_nothing_to_do_and_no_drift(file: Path, vhost: Vhost):
    status, out, _ = run("plan", file, vhost, "--prune")
    assert status == 0
    assert "Nothing to do" in out
    assert "not in the file" not in out
    assert "hunter2" not in out


@pytest.mark.parametrize("name", ["minimal.yaml", "shop.yaml"])
def test_a_ready_topology_with_its_delays_is_planned_declared_and_then_empty(name: str, vhost: Vhost):
    where = ["--broker", vhost.url, "--management", _api(vhost)]
    for command, status in (("plan", 2), ("declare", 0), ("plan", 0)):
        done = CliRunner().invoke(main, [command, str(READY / name), *where])
        assert done.exit_code == status, done.output
    assert "not in the file" not in done.output


RECREATED = Queue("emails", arguments={"x-queue-type": "classic"})

BY_HAND: dict[str, tuple[Callable[[Session, Vhost], object], tuple[str, str, str]]] = {
    "a queue deleted": (lambda s, v: s.delete_queue("emails"), ("queue", "emails", "create")),
    "a binding deleted": (
        lambda s, v: s.unbind(Binding("events", "emails", "email.#")),
        ("binding", "events -> emails [email.#]", "create"),
    ),
    "a queue added": (lambda s, v: s.declare_queue(Queue("new")), ("queue", "new", "drift")),
    "an exchange added": (lambda s, v: s.declare_exchange(Exchange("new")), ("exchange", "new", "drift")),
    "a binding added": (
        lambda s, v: s.bind(Binding("events", "lost", "x")),
        ("binding", "events -> lost [x]", "drift"),
    ),
    "an exchange deleted": (lambda s, v: s.delete_exchange("events"), ("exchange", "events", "create")),
    "a queue with other arguments": (
        lambda s, v: (s.delete_queue("emails"), s.declare_queue(RECREATED)),
        ("queue", "emails", "conflict"),
    ),
    "another alternate exchange": (
        lambda s, v: (
            s.delete_exchange("events"),
            s.declare_exchange(Exchange("events", "topic", arguments={"alternate-exchange": "amq.fanout"})),
        ),
        ("exchange", "events", "conflict"),
    ),
    "a policy added": (
        lambda s, v: put(v, "policies", v.name, "mine", pattern="^e", definition={"max-length": 3}, apply_to="queues"),
        ("policy", "mine", "drift"),
    ),
    "an operator policy added": (
        lambda s, v: put(v, "operator-policies", v.name, "op", pattern="^e", definition={"max-length": 3}),
        ("operator policy", "op", "drift"),
    ),
    "a policy changed": (
        lambda s, v: put(v, "policies", v.name, "bounded", pattern="^all$", definition={"max-length": 11}),
        ("policy", "bounded", "change"),
    ),
    "a policy deleted": (
        lambda s, v: v.management.request("DELETE", "policies", v.name, "bounded"),
        ("policy", "bounded", "create"),
    ),
    "a permission changed": (
        lambda s, v: put(v, "permissions", v.name, f"{v.name}-api", configure=".*", write=".*", read=".*"),
        ("permission", "{vhost}-api", "change"),
    ),
    "a limit raised": (
        lambda s, v: put(v, "vhost-limits", v.name, "max-queues", value=501),
        ("limit", "max-queues", "change"),
    ),
    "a limit added": (
        lambda s, v: put(v, "vhost-limits", v.name, "max-connections", value=400),
        ("limit", "max-connections", "drift"),
    ),
    "another tag and password of a user": (
        lambda s, v: put(v, "users", f"{v.name}-api", password="other", tags="administrator"),
        ("user", "{vhost}-api", "change"),
    ),
}


def test_each_change_by_hand_is_named(file: Path, vhost: Vhost, session: Session):
    """One after the other on one broker: each is in the plan, beside those before it."""
    for what, (change, expected) in BY_HAND.items():
        if what in ("a queue with other arguments", "another alternate exchange"):
            continue  # these need the object as it was: below
        change(session, vhost)
        found = {(step["kind"], step["name"], step["action"]) for step in steps(file, vhost)}
        kind, name, action = expected
        assert (kind, name.format(vhost=vhost.name), action) in found, what


@pytest.mark.parametrize("what", ["a queue with other arguments", "another alternate exchange"])
def test_what_cannot_be_changed_in_place_stops_declare_before_anything_is_touched(
    what: str, file: Path, vhost: Vhost, session: Session
):
    change, (kind, name, _) = BY_HAND[what]
    change(session, vhost)
    session.delete_queue("lost")
    (step,) = [one for one in steps(file, vhost) if one["action"] == "conflict"]
    assert (step["kind"], step["name"]) == (kind, name)
    if kind == "queue":
        differing = {one["key"]: (one["current"], one["wanted"]) for one in step["differences"]}
        assert differing["x-queue-type"] == ("classic", "quorum")
        assert differing["x-max-length"] == (None, 100)
        assert step["ways_out"][0].startswith("amqptasks migrate emails")
    else:
        assert step["differences"] == [{"key": "alternate-exchange", "wanted": "lost", "current": "amq.fanout"}]
    status, out, err = run("declare", file, vhost)
    assert (status, out) == (4, "")
    assert "nothing was done" in err
    assert session.queue_state("lost") is None


def test_declare_mends_what_can_be_changed_in_place_and_leaves_drift_alone(file: Path, vhost: Vhost, session: Session):
    session.delete_queue("lost")
    session.declare_queue(Queue("new"))
    for what in ("a policy changed", "a permission changed", "a limit raised", "another tag and password of a user"):
        BY_HAND[what][0](session, vhost)
    status, out, _ = run("declare", file, vhost, "--json")
    assert status == 0
    rows = {(row["kind"], row["name"]): row["state"] for row in json.loads(out)}
    assert rows["queue", "lost"] == "created"
    assert rows["queue", "emails"] == "present"
    user = f"{vhost.name}-api"
    for changed in (("policy", "bounded"), ("permission", user), ("limit", "max-queues"), ("user", user)):
        assert rows[changed] == "changed"
    assert [step["action"] for step in steps(file, vhost)] == ["drift"]
    assert session.queue_state("new") is not None
    host = vhost.url.partition("@")[2]
    with Session([f"amqp://{user}:hunter2@{host}"]) as as_user:
        assert as_user.exchange_exists("events")


def test_a_policy_that_beats_an_argument_is_a_warning_with_what_it_costs(file: Path, vhost: Vhost):
    definition = {"overflow": "drop-head", "max-length": 7, "message-ttl": 60000}
    put(vhost, "policies", vhost.name, "everything", pattern=".*", definition=definition, apply_to="queues", priority=9)
    _, out, _ = run("plan", file, vhost, "--json")
    problems = " ".join(warning["problem"] for warning in json.loads(out)["warnings"])
    assert "its overflow drop-head beats the argument reject-publish; dead-lettering at least once is off" in problems
    assert "its max-length 7 is below the argument 100" in problems
    assert "it sets message-ttl to 60000, which the file does not say" in problems
    assert "warning: policy everything" in run("plan", file, vhost)[1]


def test_prune_asks_and_deletes_what_is_idle_and_keeps_what_holds_messages(file: Path, vhost: Vhost, session: Session):
    for kind in ("classic", "quorum"):
        for use in ("idle", "full"):
            session.declare_queue(Queue(f"{kind}-{use}", arguments={"x-queue-type": kind}))
            session.bind(Binding("events", f"{kind}-{use}", f"{kind}.{use}"))
        session.publish(_to("events", f"{kind}.full"))
    session.declare_exchange(Exchange("new"))
    session.bind(Binding("events", "lost", "x"))
    put(vhost, "policies", vhost.name, "mine", pattern="^e", definition={"max-length": 3}, apply_to="queues")
    assert run("declare", file, vhost, "--prune", typed="n\n")[0] == 0
    assert session.exchange_exists("new")
    status, out, _ = run("declare", file, vhost, "--prune", "--json", "--yes")
    assert status == 1
    rows = {row["name"]: row for row in json.loads(out)}
    for name in ("classic-idle", "quorum-idle", "new", "events -> lost [x]", "mine"):
        assert rows[name]["state"] == "deleted", name
    for name in ("classic-full", "quorum-full"):
        assert rows[name]["state"] == "kept"
        assert "message" in rows[name]["reason"]  # how many, where the broker knows already
        session.publish(_to("events", name.replace("-", ".")))  # it is bound as before
    left = {step["name"] for step in steps(file, vhost)}
    assert left == {"classic-full", "quorum-full"}
    assert run("declare", file, vhost, "--prune", "--yes", "--force", "classic-full")[0] == 1
    assert {step["name"] for step in steps(file, vhost)} == {"quorum-full"}, "only the one that was named"
    assert run("declare", file, vhost, "--prune", "--yes", "--force", "quorum-full")[0] == 0
    assert run("plan", file, vhost, "--prune")[0] == 0


def test_what_was_made_is_told_before_prune_asks(file: Path, vhost: Vhost, session: Session):
    session.declare_exchange(Exchange("stranger"))
    file.write_text(file.read_text().replace("queues:\n", "queues:\n  added:\n"))
    status, out, asked = run("declare", file, vhost, "--prune", typed="n\n")
    assert status == 0
    assert re.search(r"queue +added +created", out)
    assert out.splitlines()[-1] == "Nothing was deleted."
    assert "- exchange stranger" in asked
    assert session.queue_state("added") is not None
    file.write_text(file.read_text().replace("  added:\n", "  added:\n  later:\n"))
    status, out, _ = run("declare", file, vhost, "--prune")
    assert status == 1, "no answer is no 'no'"
    assert re.search(r"queue +later +created", out)
    assert session.exchange_exists("stranger")
    status, out, _ = run("declare", file, vhost, "--prune", typed="y\n")
    assert status == 0
    assert re.search(r"exchange +stranger +deleted", out)
    assert not session.exchange_exists("stranger")


def test_a_question_may_stay_unanswered_for_longer_than_a_connection_lives(
    file: Path, vhost: Vhost, session: Session, monkeypatch: pytest.MonkeyPatch
):
    session.declare_exchange(Exchange("stranger"))
    open_ones: list[Session] = []
    enter, leave = Session.__enter__, Session.__exit__
    monkeypatch.setattr(Session, "__enter__", lambda self: (open_ones.append(self), enter(self))[1])
    monkeypatch.setattr(Session, "__exit__", lambda self, *error: (open_ones.remove(self), leave(self, *error))[1])
    seen: list[int] = []

    def read_it_slowly(*_: object, **__: object) -> bool:
        seen.append(len(open_ones))
        return True

    monkeypatch.setattr("click.confirm", read_it_slowly)
    assert run("declare", file, vhost, "--prune")[0] == 0
    assert seen == [0]
    assert not session.exchange_exists("stranger")


def test_what_a_retry_and_a_priority_become_is_told_with_the_reason(vhost: Vhost, tmp_path: Path):
    written = tmp_path / "topology.yaml"
    written.write_text(
        "version: 1\nqueues:\n  a: {max_priority: 10, retry: {delays: [5s], queues: true}}\n  b: {max_priority: 10}\n"
    )
    quorum = "a, b: max_priority: 10 -> no argument" in run("plan", written, vhost)[1]
    assert quorum or "a, b: max_priority: 10 -> a classic queue with x-max-priority" in run("plan", written, vhost)[1]
    assert "a: retry: 5s, queues -> a.retry.5s" in run("plan", written, vhost)[1]
    found = json.loads(run("plan", written, vhost, "--json")[1])["decisions"]
    assert found[0]["queue"] == "a"
    assert found[0]["what"] == "max_priority: 10"
    assert ("4.3" if quorum else "do not order by priority") in found[0]["why"]
    assert run("declare", written, vhost)[0] == 0
    declared = {queue["name"]: queue["arguments"] for queue in vhost.management.queues()}
    assert ("x-max-priority" not in declared["a"]) == quorum
    assert "a.retry.5s" in declared
    assert "see --all" in run("plan", written, vhost)[1]
    assert "retry: 5s, queues -> a.retry.5s" in run("plan", written, vhost, "--all")[1]


def test_names_that_belong_to_others_are_kept(file: Path, vhost: Vhost, session: Session):
    session.declare_queue(Queue("legacy.a"))
    session.bind(Binding("events", "legacy.a", "a"))
    assert run("plan", file, vhost, "--prune")[0] == 2
    assert run("plan", file, vhost, "--prune", "--keep", "legacy.*")[0] == 0
    assert run("declare", file, vhost, "--prune", "--keep", "legacy.*", "--yes")[0] == 0
    assert session.queue_state("legacy.a") is not None


def test_every_error_of_plan_is_status_1_because_2_means_changes(file: Path, vhost: Vhost, tmp_path: Path):
    assert CliRunner().invoke(main, ["plan", "--nonsense"]).exit_code == 1
    assert CliRunner().invoke(main, ["plan"]).exit_code == 1
    assert run("plan", tmp_path / "missing.yaml", vhost)[0] == 1
    nobody = CliRunner().invoke(main, ["plan", str(file), "--broker", vhost.url, "--management", "http://127.0.0.1:1"])
    assert nobody.exit_code == 1
    assert "http://127.0.0.1:1: " in nobody.stderr
    elsewhere = ["plan", str(READY / "minimal.yaml"), "--management", _api(vhost), "--broker", f"{vhost.url}-missing"]
    missing = CliRunner().invoke(main, elsewhere)
    assert missing.exit_code == 1
    assert "does not exist" in missing.stderr


def test_a_virtual_host_that_the_file_names_is_made(vhost: Vhost, tmp_path: Path):
    name = f"{vhost.name}-made"
    written = tmp_path / "topology.yaml"
    written.write_text(f"version: 1\nvhost: {{name: {name}, description: made}}\nqueues:\n  a:\n")
    broker = vhost.url.rpartition("/")[0] + "/"
    arguments = [str(written), "--broker", broker, "--management", _api(vhost), "--no-delays"]
    try:
        assert CliRunner().invoke(main, ["plan", *arguments]).exit_code == 2
        assert CliRunner().invoke(main, ["declare", *arguments]).exit_code == 0
        assert CliRunner().invoke(main, ["plan", *arguments]).exit_code == 0
    finally:
        vhost.management.request("DELETE", "vhosts", name)


def _to(exchange: str, routing_key: str) -> Any:
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.messages.properties import Properties

    return Outgoing(exchange, routing_key, b"x", Properties())
