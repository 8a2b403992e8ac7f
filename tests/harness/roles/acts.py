"""What somebody may try with the password of a role: each act in all the ways that are known."""

from __future__ import annotations

from tests.harness.roles import calls, commands, messages, objects
from tests.harness.roles.place import RESULTS
from tests.harness.roles.ways import Way, raw, with_app

#: By the first column of the table in docs/security.md. Where a cell says yes, one of the ways has its effect; where it
#: says no, none has.
ACTS: dict[str, list[Way]] = {
    "publish a task": [with_app(calls.call), *(calls.publish_by(*door) for door in calls.DOORS)],
    "publish to a queue of another program": [
        calls.publish_to_another_program("", "foreign"),
        calls.publish_to_another_program("amqptasks.queues", "foreign"),
        calls.publish_to_another_program("foreign", ""),
        calls.publish_to_another_program("amqptasks.delay.00", "foreign"),
    ],
    "consume tasks": [
        raw(messages.consume),
        messages.take("parked"),
        raw(messages.take_delayed),
        raw(messages.purge_delayed),
    ],
    "link a task of another queue": [calls.link(*door) for door in calls.DOORS],
    "reply to a caller": [raw(calls.reply)],
    "delay a task": [with_app(calls.delay), calls.enter_a_rung("01"), calls.enter_a_rung("02")],
    "revoke tasks": [
        with_app(commands.revoke),
        commands.revoke_by("amqptasks.control", ""),
        commands.revoke_by("amqptasks.revoked.revocation", ""),
        commands.revoke_by("amqptasks.queues", "amqptasks.revoked"),
        commands.revoke_by("", "amqptasks.revoked"),
        commands.revoke_by("amqptasks.queues", "amqptasks.revoked", bind_first=True),
    ],
    "change a rate limit": [
        with_app(commands.rate_limit),
        commands.command("rate_limit", task="shop.note", rate="1000/s"),
    ],
    "shut workers down": [with_app(commands.shutdown), commands.command("shutdown")],
    "look up a result by its id": [with_app(objects.look_up, backend=RESULTS)],
    "read results of others": [objects.read_stream("amqptasks.results.01.00")],
    "write results": [objects.write("amqptasks.results", "01.00")],
    "read arguments": [
        messages.take("parked"),
        messages.take("orders.dead"),
        with_app(commands.active),
        raw(messages.copy_delayed),
    ],
    "replay dead letters": [raw(messages.replay)],
    "follow events": [objects.read_stream("amqptasks.events"), raw(objects.follow_live)],
    "declare queues and exchanges": [raw(objects.bind), objects.declare_queue("parked")],
    "write the stream of revocations": [objects.write("amqptasks.revoked.revocation")],
    "write the stream of workers": [objects.write("amqptasks.nodes.announcement")],
    "write the stream of events": [objects.write("amqptasks.events", "task.sent")],
    "lead the schedules": [raw(objects.lead)],
    "look through the management API": [objects.manage],
}
