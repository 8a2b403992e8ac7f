"""A queue is replaced by one with other arguments, under its name, and nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner

from amqptasks.cli import main
from amqptasks.errors import BrokerError, ConfigurationError, TopologyError
from amqptasks.topology.delays import room
from amqptasks.topology.migrate import refusals
from amqptasks.topology.migrate.migration import Event
from amqptasks.topology.migrate.run import WAY_BACK, WAY_OUT, migrate, remaining
from tests.harness.migrating import KILLED, label, migrate_until
from tests.harness.vhost import Broker, Vhost
from tests.harness.wait import wait_for
from tests.integration.moving import Load, place

Print = Callable[[str], None]


@pytest.fixture
def channel(vhost: Vhost):
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        opened = connection.channel()
        opened.confirm_delivery()
        yield opened


@pytest.mark.long
def test_classic_to_quorum_under_load_loses_nothing_and_runs_nothing_twice(
    vhost: Vhost, broker: Broker, tmp_path: Path, record_property: Callable[[str, object], None]
):
    with place(vhost, broker, tmp_path, "type: classic") as here, here.worker_app.worker(["emails"]):
        with Load(here, 200) as load:
            wait_for(lambda: len(here.ran) > 20)
            counts = here.migrate(here.write("new", "type: quorum"))
            after = len(load.sent)
            wait_for(lambda: len(load.sent) > after + 50)
        assert here.type() == "quorum"
        here.check_clean()
        load.wait_run()
    record_property("slowest publish", load.slowest)
    record_property("paused", counts.paused)
    assert load.failed == []
    assert [number for number, times in here.ran.items() if times > 1] == []
    assert counts.paused is not None
    assert counts.missing == counts.twice == counts.lost == 0


def test_what_waits_keeps_its_order_and_all_that_was_sent_with_it(
    vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: quorum") as here:
        headers = {"task": "note", "number": 7, "list": [1, "two", None], "far": 2**40, "x-death": [{"count": 1}]}
        for number in range(700):
            properties = pika.BasicProperties(
                content_type="application/json",
                content_encoding="utf-8",
                headers=headers,
                delivery_mode=1 + number % 2,
                priority=3,
                correlation_id=f"c{number}",
                reply_to="amq.gen-reply",
                message_id=f"m{number}",
                timestamp=1_700_000_000,
                type="kind",
                app_id="app",
            )
            channel.basic_publish("tasks", "email.welcome", b"%d" % number, properties, mandatory=True)
        counts = here.migrate(here.write("new", "type: classic"))
        assert (counts.out, counts.home, counts.meanwhile, counts.missing) == (700, 700, 0, 0)
        found = here.bodies()
        assert [int(body) for _, body in found] == list(range(700))
        first = found[0][0]
        assert first.headers == {name: value for name, value in headers.items() if name != "x-death"}
        assert (first.delivery_mode, first.priority) == (1, 3)
        assert (first.correlation_id, first.reply_to) == ("c0", "amq.gen-reply")
        assert (first.message_id, first.timestamp, first.type, first.app_id) == ("m0", 1_700_000_000, "kind", "app")
        assert (first.content_type, first.content_encoding) == ("application/json", "utf-8")
        here.check_clean()


def test_from_a_classic_queue_with_priorities_and_back(vhost: Vhost, broker: Broker, tmp_path: Path):
    with place(vhost, broker, tmp_path, "type: classic, max_priority: 10") as here:
        for number in range(20):
            here.send(number, priority=number % 2 * 5)
        counts = here.migrate(here.write("quorum", "type: quorum"))
        assert here.type() == "quorum"
        assert (counts.out, counts.home) == (20, 20)
        here.migrate(here.old)
        assert here.type() == "classic"
        found = [properties.priority for properties, _ in here.bodies()]
        assert found == [5] * 10 + [0] * 10
        here.check_clean()


def test_delayed_tasks_arrive_in_the_new_queue_and_dead_letters_stay_where_they_are(
    vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        channel.basic_publish("amqptasks.queues", "emails.dead", b"dead", mandatory=True)
        for number in range(30):
            here.send(number, countdown=0.3 + number / 10)
        here.send(100, countdown=3.4, queue="emails")
        counts = here.migrate(here.write("new", "type: quorum"))
        wait_for(lambda: vhost.management.ready("emails") == 31)
        assert counts.missing == 0
        assert vhost.management.ready("emails.dead") == 1
        here.check_clean()


def test_a_result_reaches_the_caller_whose_task_was_moved(vhost: Vhost, broker: Broker, tmp_path: Path):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        result = here.send(1, ignore_result=False)
        here.migrate(here.write("new", "type: quorum"))
        with here.app_of(here.folder / "new.yaml").worker(["emails"]):
            assert result.get(10) == "noted 1"


@pytest.mark.long
def test_broken_off_after_every_stage_and_run_again_it_ends_right(vhost: Vhost, broker: Broker, tmp_path: Path):
    """Each run ends one stage later than the one before, and the next goes on from there. Some are killed; that each
    step can be is shown by the long test."""
    with place(vhost, broker, tmp_path, "type: classic") as here:
        new = here.write("new", "type: quorum")
        for number in range(300):
            here.send(number)
        stages = [stage.__name__ for stage in (*WAY_OUT, *WAY_BACK)]
        for number, (stage, following) in enumerate(zip(stages, [*stages[1:], "clear"], strict=True)):
            here.send(1000 + number)
            event = "remake: begins" if stage == "remove" else f"{following}: begins"
            if stage in ("take_over", "remove", "restore"):
                assert migrate_until(event, vhost.url, broker.management_url, new, "emails") == KILLED
            else:
                with pytest.raises(KeyboardInterrupt):
                    here.migrate(new, lambda told, event=event: _break_off(told, event))
        here.migrate(new)
        with here.open(new) as migration:
            assert remaining(migration) == ()
        assert here.type() == "quorum"
        here.check_clean()
        found = [int(body.split(b"[")[2].split(b"]")[0]) for _, body in here.bodies()]
        assert set(found) == {*range(300), *range(1000, 1000 + len(stages))}


def _break_off(told: Event, event: str) -> None:
    if label(told) == event:
        raise KeyboardInterrupt


def test_it_waits_for_what_a_worker_holds_and_moves_what_that_gives_back(vhost: Vhost, broker: Broker, tmp_path: Path):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        here.app.tasks["hold"].apply_async((1,), queue="emails")
        new = here.write("new", "type: quorum")
        with here.worker_app.worker(["emails"], concurrency=1):
            here.held.wait(10)
            for number in range(2, 12):
                here.send(number)
            drains = threading.Event()
            ended: list[object] = []

            def heard(event: Event) -> None:
                if event.stage == "drain":
                    drains.set()

            thread = threading.Thread(target=lambda: ended.append(here.migrate(new, heard)))
            thread.start()
            assert drains.wait(20)
            time.sleep(1.0)  # nothing to await: it must not end
            assert not ended, "it deleted a queue of which a worker held messages"
            here.release.set()
            thread.join(30)
            assert ended
        here.check_clean()


@pytest.mark.long
def test_patience_has_an_end_and_the_way_back_is_the_topology_as_it_was(vhost: Vhost, broker: Broker, tmp_path: Path):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        here.app.tasks["hold"].apply_async((1,), queue="emails")
        with here.worker_app.worker(["emails"], concurrency=1):
            here.held.wait(10)
            with pytest.raises(BrokerError, match="still in 'emails' after 1 s"):
                here.migrate(here.write("new", "type: quorum"), patience=1)
            here.send(2)
            assert vhost.management.ready("emails.moving") == 1
            here.migrate(here.old)
            assert here.type() == "classic"
            here.check_clean()
            here.release.set()
            wait_for(lambda: here.ran.keys() == {1, 2})


def test_who_declares_plans_or_prunes_meanwhile_leaves_the_queue_alone_and_says_so(
    vhost: Vhost, broker: Broker, tmp_path: Path
):
    """An old file would bring the old form back, and the old bindings; to prune would be to lose what waits."""

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, [*arguments, "--broker", vhost.url])
        assert done.exit_code == 0, done.output
        return done.stdout

    with place(vhost, broker, tmp_path, "type: classic") as here:
        here.send(1)

        def heard(event: Event) -> None:
            if event.detail == "begins" and event.stage in ("take_over", "remake", "restore"):
                here.worker_app.declare()
                api = ("--management", broker.management_url)
                assert "emails  (it is being migrated: left alone" in run("plan", str(here.old), "--prune", *api)
                pruned = json.loads(run("declare", str(here.old), "--prune", "--yes", "--json", *api))
                declared = json.loads(run("declare", str(here.old), "--json"))
                for changes in (pruned, declared):
                    assert [row["name"] for row in changes if row["state"] == "migrating"] == ["emails"]
                    assert not [row for row in changes if row["state"] in ("created", "deleted", "kept")]
                assert (vhost.management.queue("emails") is None) == (event.stage == "remake")
                assert ("tasks", "email.#") not in here.bound()

        counts = here.migrate(here.write("new", "type: quorum"), heard)
        assert (counts.out, counts.home) == (1, 1)
        here.check_clean()


def test_who_binds_or_declares_the_queue_without_looking_is_put_up_with(
    vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        here.send(1)
        done: list[str] = []

        def heard(event: Event) -> None:
            if event.detail == "begins" and event.stage == "drain" and not done:
                done.append("bound")
                channel.queue_bind("emails", "tasks", "email.#")
            if event.detail == "begins" and event.stage == "remake" and len(done) == 2:
                done.append("declared")
                channel.queue_declare("emails", durable=True, arguments={"x-queue-type": "classic"})
                channel.basic_publish("", "emails", b"straight", mandatory=True)

        with here.open(here.write("new", "type: quorum"), heard) as migration:
            deleting = migration.session.delete_empty_queue

            def published_straight(queue: str) -> bool:
                if len(done) == 1:
                    done.append("published")
                    channel.basic_publish("", "emails", b"between the last look and the deletion", mandatory=True)
                return deleting(queue)

            migration.session.delete_empty_queue = published_straight
            counts = migrate(migration)
        assert done == ["bound", "published", "declared"]
        assert counts.lost == 0
        assert here.type() == "quorum"
        assert vhost.management.ready("emails") == 3
        here.check_clean()


@pytest.mark.long
def test_a_smaller_queue_takes_back_as_much_as_it_holds_and_delayed_tasks_wait_before_it(
    vhost: Vhost, broker: Broker, tmp_path: Path
):
    with place(vhost, broker, tmp_path, "type: quorum") as here:
        for number in range(30):
            here.send(number)
        new = here.write("new", "type: classic, max_length: 10")
        with pytest.raises(BrokerError, match=r"refused \(a queue"):
            here.migrate(new, patience=1)
        taken = here.bodies()
        with pytest.raises(BrokerError, match=r"refused \(a queue"):
            here.migrate(new, patience=1)
        taken += here.bodies()
        assert len(taken) == 20
        here.migrate(new)
        assert len(here.bodies()) == 10
        here.check_clean()
        twins = {(binding["source"], binding["routing_key"]) for binding in vhost.management.bindings(room("emails"))}
        assert ("amqptasks.due.amqptasks.queues", "emails") in twins
        assert room("emails") in {source for source, _ in here.bound()}
        assert not any(source.startswith("amqptasks.due.") for source, _ in here.bound())


def test_what_is_left_of_an_expiration_goes_along(
    vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        channel.basic_publish("tasks", "email.a", b"", pika.BasicProperties(expiration="60000"), mandatory=True)
        here.migrate(here.write("new", "type: quorum"))
        [(properties, _)] = here.bodies()
        assert not any(name.startswith("x-amqptasks-") for name in properties.headers)
        assert 30_000 < int(properties.expiration) < 60_000


def test_a_dead_letter_queue_keeps_the_reasons(
    vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: quorum") as here:
        channel.basic_publish("tasks", "email.a", b"", pika.BasicProperties(expiration="1"), mandatory=True)
        wait_for(lambda: vhost.management.ready("emails.dead") == 1)
        new = here.write("new", "dead_letter: {max_length: 1000}")
        assert here.migrate(new, queue="emails.dead").home == 1
        [(properties, _)] = here.bodies("emails.dead")
        assert properties.headers["x-death"][0]["reason"] == "expired"
        assert properties.headers["x-death"][0]["queue"] == "emails"


def test_nothing_to_do_is_said_without_touching_anything(vhost: Vhost, broker: Broker, tmp_path: Path):
    with place(vhost, broker, tmp_path, "type: quorum") as here:
        heard: list[Event] = []
        counts = here.migrate(here.old, heard.append)
        assert (heard, counts.bindings, counts.out) == ([], 0, 0)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"durable": True, "arguments": {"x-queue-type": "stream"}}, "is a stream on the broker"),
        ({"durable": True, "auto_delete": True, "arguments": {"x-queue-type": "classic"}}, "deletes itself"),
        ({"exclusive": True, "arguments": {"x-queue-type": "classic"}}, "is exclusive"),
        (None, "there is no queue 'emails' on the broker"),
    ],
)
def test_refused_is_what_cannot_be_emptied(
    declared: dict | None, says: str, vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: quorum") as here:
        channel.queue_delete("emails")
        if declared is not None:
            channel.queue_declare("emails", **declared)
        with pytest.raises((ConfigurationError, BrokerError), match=says):
            here.migrate(here.old)
        assert [queue["name"] for queue in vhost.management.queues() if "moving" in queue["name"]] == []


def test_refused_are_names_and_policies_that_endanger_what_waits(
    vhost: Vhost, broker: Broker, tmp_path: Path, channel: pika.channel.Channel
):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        new = here.write("new", "type: quorum")
        here.send(1)
        channel.queue_declare("emails.moving", durable=True)
        with pytest.raises(ConfigurationError, match="it is not ours"):
            here.migrate(new)
        channel.queue_delete("emails.moving")
        vhost.management.set_policy("short", r"\.moving$", expires=1000)
        with pytest.raises(ConfigurationError, match="policy 'short'"):
            here.migrate(new)
        with pytest.raises(TopologyError, match="no queue 'emials'"):
            here.migrate(new, queue="emials")
        assert here.type() == "classic"
        assert vhost.management.ready("emails") == 1


def test_two_at_once_are_one_too_many(vhost: Vhost, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "LOCK_WITHIN", 0.3)
    with place(vhost, broker, tmp_path, "type: classic") as here:
        new = here.write("new", "type: quorum")
        said: list[str] = []

        def heard(event: Event) -> None:
            if event.stage == "take_over" and event.detail == "begins":
                with pytest.raises(BrokerError, match="another `amqptasks migrate emails` is running") as refused:
                    here.migrate(new)
                said.append(str(refused.value))

        here.migrate(new, heard)
        assert said
        here.check_clean()
