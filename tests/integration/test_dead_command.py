"""`amqptasks dead`: what is in a dead-letter queue is told truly, and never lost."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from amqptasks import App, dial
from amqptasks.dead_letters import queue as dead_letters
from amqptasks.dead_letters.selection import Selection
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport import Session
from tests.harness.command import run_command
from tests.harness.letters import publish_letters
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SHOP = """
from amqptasks import App, Reject

app = App("shop")

@app.task
def ship(order):
    raise LookupError(f"order {order} is unknown")

@app.task
def refund(order, amount=0):
    if amount <= 0:
        raise ValueError("no amount")
    return amount

@app.task
def cancel():
    raise Reject("too late to cancel")
"""

Dead = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dead(tmp_path: Path, vhost: Vhost) -> Dead:
    return lambda *arguments, **options: run_command("dead", *arguments, url=vhost.url, folder=tmp_path, **options)


def listed(dead: Dead, *options: str) -> list[dict]:
    ended = dead("list", "default", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def ids_in(session: Session, queue: str) -> Counter[str]:
    return Counter(letter.id for letter in dead_letters.letters(session, queue))


def holds(session: Session, queue: str, ids: list[str]) -> None:
    """The queue has exactly these. What a command gave back, RabbitMQ 3.10 takes back a moment later."""
    wait_for(
        lambda: ids_in(session, queue) == Counter(ids), 5, lambda: f"{ids} in {queue}, not {ids_in(session, queue)}"
    )


def test_letters_of_every_kind_are_listed_with_their_reason(
    app: App, dead: Dead, worker_process: WorkerFactory, vhost: Vhost
) -> None:
    shop = worker_process(SHOP, "-Q", "default", "-n", "worker-1")
    app.send_task("shop.ship", [7])
    app.send_task("shop.cancel")
    app.send_task("shop.refund", [1], expires=0.001)
    app.send_task("shop.nobody")
    app.caller.publisher.publish(Outgoing(QUEUES_EXCHANGE, "default", b"\xff noise", Properties()), 10)
    app.caller.publisher.publish(
        Outgoing(QUEUES_EXCHANGE, "default.dead", b"by hand", Properties(message_id="hand")), 10
    )
    wait_for(lambda: vhost.management.ready("default.dead") == 6, message="six dead letters")
    shop.terminate()

    found = {letter["reason"]: letter for letter in listed(dead)}
    assert found.keys() == {"failed", "rejected", "expired", "unknown-task", "malformed", "published"}
    failed = found["failed"]
    assert failed["task"] == "shop.ship"
    assert failed["exception"] == "builtins.LookupError"
    assert failed["message"] == "order 7 is unknown"
    assert (failed["args"], failed["kwargs"]) == ([7], {})
    assert (failed["attempts"], failed["queue"], failed["worker"]) == (1, "default", "worker-1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", failed["last_time"])
    assert "in ship" in failed["traceback"]
    assert found["malformed"]["id"].startswith("bytes-")
    assert found["malformed"]["masked"] is True  # bytes that are no text may hold secrets
    assert {letter["reason"]: letter for letter in listed(dead, "--unmasked")}["malformed"]["body_base64"]
    assert (found["published"]["id"], found["published"]["body"]) == ("hand", "by hand")

    table = dead("list", "default")
    assert table.returncode == 0
    for letter in found.values():
        assert letter["id"] in table.stdout
        assert letter["reason"] in table.stdout
    assert table.stdout.splitlines()[-1] == "6 letters of default.dead"
    assert vhost.management.ready("default.dead") == 6, "looking changes nothing"

    page = dead("show", "default.dead", failed["id"])
    assert "args        [7]" in page.stdout
    assert "LookupError: order 7 is unknown" in page.stdout
    assert "x-amqptasks-queue" in page.stdout
    assert "no text, and may hold secrets" in dead("show", "default", found["malformed"]["id"]).stdout
    noise = dead("show", "default", found["malformed"]["id"], "--unmasked")
    assert r"b'\xff noise'" in noise.stdout


def test_filters_narrow_the_list(app: App, dead: Dead, worker_process: WorkerFactory, vhost: Vhost) -> None:
    worker_process(SHOP, "-Q", "default")
    for order in range(3):
        app.send_task("shop.ship", [order])
    app.send_task("shop.refund", [9])
    app.send_task("shop.nobody")
    wait_for(lambda: vhost.management.ready("default.dead") == 5, message="five dead letters")

    assert {letter["task"] for letter in listed(dead, "--task", "shop.s*")} == {"shop.ship"}
    assert len(listed(dead, "--task", "shop.s*", "--limit", "2")) == 2
    assert [letter["args"] for letter in listed(dead, "--exception", "ValueError")] == [[9]]
    assert len(listed(dead, "--exception", "builtins.Lookup*")) == 3
    assert [letter["task"] for letter in listed(dead, "--reason", "unknown*")] == ["shop.nobody"]
    assert len(listed(dead, "--since", "1h")) == 5
    assert listed(dead, "--until", "1h") == []
    assert listed(dead, "--task", "shop.ship", "--exception", "ValueError") == []
    none = dead("list", "default", "--task", "other.*")
    assert none.stdout == "No such letter: default.dead holds 5.\n"
    assert "default.dead; 5 in all" in dead("list", "default", "--limit", "2").stdout


def test_what_no_worker_handled_carries_the_brokers_own_reason(app: App, dead: Dead, vhost: Vhost) -> None:
    expiring = Outgoing(QUEUES_EXCHANGE, "default", b"[[], {}, null]", Properties(expiration="1"))
    app.caller.publisher.publish(expiring, 10)
    limit = pika.BlockingConnection(pika.URLParameters(vhost.url))
    channel = limit.channel()
    headers = {"task": "shop.killer", "id": "killer"}
    channel.basic_publish(QUEUES_EXCHANGE, "default", b"[[], {}, null]", pika.BasicProperties(headers=headers))
    wait_for(lambda: vhost.management.ready("default") == 1, message="the killer alone is left")
    for _ in range(40):  # over the delivery limit that the topology sets
        for method, _properties, _body in channel.consume("default", inactivity_timeout=0.3):
            if method is None:
                break
            channel.basic_reject(method.delivery_tag, requeue=True)
        channel.cancel()
        if vhost.management.ready("default.dead") == 2:
            break
    limit.close()
    wait_for(lambda: vhost.management.ready("default.dead") == 2, message="both are dead")

    by_reason = {letter["reason"]: letter for letter in listed(dead)}
    assert by_reason.keys() == {"expired", "delivery_limit"}
    killer = by_reason["delivery_limit"]
    assert (killer["id"], killer["queue"], killer["worker"]) == ("killer", "default", None)
    assert killer["last_time"] is not None
    assert "(the broker)" in dead("list", "default", "--reason", "delivery*").stdout
    assert dead("replay", "default", "killer").returncode == 0
    assert vhost.management.ready("default") == 1


def test_a_replayed_task_is_new_but_for_its_id(
    app: App, dead: Dead, worker_process: WorkerFactory, vhost: Vhost
) -> None:
    worker = worker_process(SHOP, "-Q", "default")
    app.send_task("shop.refund", [5], task_id="refund-5", headers={"tenant": "acme"}, expires=3600)
    wait_for(lambda: vhost.management.ready("default.dead") == 1, message="one dead letter")
    worker.terminate()

    ended = dead("replay", "default", "refund-5", "--set-kwargs", '{"amount": 12}')
    assert (ended.returncode, ended.stdout) == (0, "1 letter of default.dead replayed\n")
    with dial.session([vhost.url]) as session:  # type: ignore[attr-defined]
        delivery = next(session.take("default", 1))
    headers = delivery.properties.headers
    assert (headers["id"], headers["task"], headers["tenant"]) == ("refund-5", "shop.refund", "acme")
    assert "expires" in headers
    assert not [name for name in headers if name.startswith("x-amqptasks") or name in ("x-death", "retries", "eta")]
    assert json.loads(delivery.body)[:2] == [[5], {"amount": 12}]

    again = worker_process(None, "-Q", "default")
    again.wait_for_line(r"shop\.refund\[refund-5\] succeeded")
    assert vhost.management.ready("default.dead") == 0


def test_an_expired_task_can_be_replayed(app: App, dead: Dead, worker_process: WorkerFactory, vhost: Vhost) -> None:
    worker = worker_process(SHOP, "-Q", "default")
    app.send_task("shop.refund", [5, 1], task_id="late", expires=0.001)
    wait_for(lambda: vhost.management.ready("default.dead") == 1, message="one dead letter")
    assert dead("replay", "default", "late").returncode == 0
    worker.wait_for_line(r"shop\.refund\[late\] succeeded")


def test_what_is_no_task_can_be_made_one(app: App, dead: Dead, worker_process: WorkerFactory, vhost: Vhost) -> None:
    app.caller.publisher.publish(
        Outgoing(QUEUES_EXCHANGE, "default.dead", b"noise", Properties(message_id="noise")), 10
    )
    worker = worker_process(SHOP, "-Q", "default")
    ended = dead("replay", "default", "noise", "--set-task", "shop.refund", "--set-args", "[1, 2]")
    assert ended.returncode == 0, ended.stderr
    worker.wait_for_line(r"shop\.refund\[.*\] succeeded")


def test_some_are_replayed_by_filter_or_by_id_and_others_stay(app: App, dead: Dead, session: Session) -> None:
    ids = publish_letters(app, 10)
    rehearsal = dead("replay", "default", "--all", "--task", "shop.ship", "--dry-run")
    assert "task-1  shop.ship  ->  default" in rehearsal.stdout
    assert "5 letters of default.dead would be replayed" in rehearsal.stdout
    holds(session, "default", [])

    assert dead("replay", "default", "--all", "--task", "shop.ship").stdout == "5 letters of default.dead replayed\n"
    assert dead("replay", "default", "task-0", "task-2").returncode == 0
    holds(session, "default", [*ids[1::2], "task-0", "task-2"])
    holds(session, "default.dead", ["task-4", "task-6", "task-8"])

    missing = dead("replay", "default", "task-4", "task-99")
    assert missing.returncode == 1
    assert "holds no letter task-99" in missing.stderr
    holds(session, "default.dead", ["task-6", "task-8"])


def test_a_queue_that_refuses_keeps_its_letters_here_and_others_go_on(
    app: App, dead: Dead, session: Session, vhost: Vhost
) -> None:
    publish_letters(app, 4)
    lost = Properties(headers={"task": "a", "id": "lost", "x-amqptasks-reason": "failed", "x-amqptasks-queue": "gone"})
    app.caller.publisher.publish(Outgoing(QUEUES_EXCHANGE, "default.dead", b"[[], {}, null]", lost), 10)
    ended = dead("replay", "default", "--all")
    assert ended.returncode == 1
    assert "4 letters of default.dead replayed" in ended.stdout
    assert "1 letter stayed, gone took none" in ended.stderr
    holds(session, "default.dead", ["lost"])
    assert dead("replay", "default", "lost", "--to", "default").returncode == 0
    assert ids_in(session, "default")["lost"] == 1


def test_a_rate_is_kept(app: App, dead: Dead) -> None:
    publish_letters(app, 12)
    began = time.monotonic()
    assert dead("replay", "default", "--all", "--rate", "10/s").returncode == 0
    assert time.monotonic() - began >= 1.1


@pytest.mark.long
def test_a_replay_that_is_killed_again_and_again_loses_nothing(
    app: App, dead: Dead, session: Session, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    ids = publish_letters(app, 300)
    for kills in range(1, 5):
        already = vhost.management.ready("default")
        process = worker_process.command("dead", "replay", "default", "--all", "--rate", "200/s")
        wait_for(lambda: vhost.management.ready("default") >= already + 20, 20, "some are replayed")  # noqa: B023
        process.kill()
        found = _both(session, ids)
        assert found.keys() == set(ids), "none is lost"
        assert found.total() - len(ids) <= kills, "at most one is in both queues for each kill"
    assert dead("replay", "default", "--all").returncode == 0
    assert _both(session, ids).keys() == set(ids)
    assert vhost.management.ready("default.dead") == 0


def _both(session: Session, ids: list[str]) -> Counter[str]:
    """What is in the two queues, once the broker has taken back what the killed process held."""

    def all_there() -> Counter[str] | None:
        found = ids_in(session, "default") + ids_in(session, "default.dead")
        return found if found.total() >= len(ids) else None

    return wait_for(all_there, 10, "the broker takes back what was held")


def test_an_end_between_publishing_and_removing_leaves_the_letter_in_both_queues(
    app: App, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = publish_letters(app, 3)

    def end(delivery: Delivery) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session, "ack", end)
        with pytest.raises(KeyboardInterrupt):
            dead_letters.replay(session, "default.dead")
    wait_for(lambda: ids_in(session, "default.dead") == Counter(ids), message="all are still there")
    holds(session, "default", ["task-0"])


def test_what_fails_again_meanwhile_is_not_replayed_for_ever(
    app: App, session: Session, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    worker_process(SHOP, "-Q", "default")
    publish_letters(app, 30)  # both tasks fail with these arguments
    assert dead_letters.replay(session, "default.dead").count == 30
    wait_for(lambda: vhost.management.ready("default.dead") == 30, message="all have failed again")


def test_purge_asks_and_says_how_many(app: App, dead: Dead, session: Session) -> None:
    publish_letters(app, 10)
    refused = dead("purge", "default", "--all", "--task", "shop.ship", given="n\n")
    assert refused.returncode == 1
    assert "Remove 5 letters of default.dead for good?" in refused.stdout
    wait_for(lambda: ids_in(session, "default.dead").total() == 10, message="all are still there")
    assert (
        "5 letters of default.dead removed"
        in dead("purge", "default", "--all", "--task", "shop.ship", given="y\n").stdout
    )
    assert dead("purge", "default", "task-0", "--yes").stdout == "1 letter of default.dead removed\n"
    holds(session, "default.dead", ["task-2", "task-4", "task-6", "task-8"])
    assert dead("purge", "default", "--all", "--yes").stdout == "4 letters of default.dead removed\n"
    assert "Nothing to remove" in dead("purge", "default", "--all").stdout


#: What is typed, the exit status, and what the error says.
REFUSED = [
    (("list", "defalt"), 1, "there is no queue 'defalt.dead'"),
    (("-A", "shop", "list", "defalt"), 1, "did you mean `default`?"),
    (("show", "default", "nobody"), 1, "holds no letter 'nobody'"),
    (("replay", "default"), 2, "which letters?"),
    (("purge", "default", "--yes"), 2, "which letters?"),
    (("replay", "default", "x", "--all"), 2, "contradict"),
    (("replay", "default", "--all", "--set-args", "[1]"), 2, "name its ID"),
    (("replay", "default", "x", "--set-args", "{}"), 2, "is no list"),
    (("replay", "default", "--all", "--rate", "fast"), 2, "is no rate"),
    (("list", "default", "--since", "yesterday"), 2, "is no time"),
    (("purge", "default", "--all", "--json"), 2, "add --yes"),
]


@pytest.mark.usefixtures("app")
def test_wrong_use_is_refused_with_the_mend(dead: Dead, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    for arguments, status, words in REFUSED:
        ended = dead(*arguments)
        assert ended.returncode == status, (arguments, ended.stderr)
        assert words in ended.stderr, arguments
        assert "Traceback" not in ended.stderr, arguments


def test_programs_have_the_same_functions(app: App, session: Session) -> None:
    publish_letters(app, 6)
    ships = Selection(task="shop.ship")
    assert dead_letters.count(session, "default.dead", ships) == 3
    wait_for(lambda: dead_letters.count(session, "default.dead") == 6, message="all are given back")
    seen = []
    assert dead_letters.purge(session, "default.dead", ships, lambda letter: seen.append(letter.id)) == 3
    assert seen == ["task-1", "task-3", "task-5"]
