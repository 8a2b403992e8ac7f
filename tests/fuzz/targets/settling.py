"""A message through all steps of a worker and its settlement, with a broker that answers as it likes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from amqptasks import App
from amqptasks.amqp.wire.tables import encode_properties
from amqptasks.canvas.continuations import Followers
from amqptasks.errors import (
    Ignore,
    MessageTooLarge,
    Nacked,
    PublishRejected,
    PublishTimeout,
    Reject,
    Retry,
    Snooze,
    Unroutable,
)
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport.capabilities import Capabilities, from_server_properties
from amqptasks.untrusted.field_table import LARGEST_HEADERS, size
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement
from tests.fuzz import values
from tests.fuzz.target import Target
from tests.fuzz.targets.decoding import BODY, EMBED, HEADERS, IDS, PROPERTIES
from tests.unit.worker.jobs import WORKER, Lease, undelayed
from tests.unit.worker.scene import Scene

#: What the task does, by the example's word for it.
_ENDINGS: dict[str, Any] = {
    "retry": lambda text: Retry(text, countdown=3),
    "reject": Reject,
    "requeue": lambda text: Reject(text, requeue=True),
    "snooze": lambda text: Snooze(5),
    "ignore": Ignore,
    "error": ValueError,
    "odd error": type("Odd", (Exception,), {"__str__": lambda self: 1 / 0}),
    "exit": SystemExit,
}

#: How the broker answers what is published.
_ANSWERS: dict[str, BaseException | None] = {
    "confirmed": None,
    "nacked": Nacked("full"),
    "unroutable": Unroutable("nobody"),
    "rejected": PublishRejected("406 - no"),
    "too large": MessageTooLarge("too large"),
    "late": PublishTimeout("no answer"),
}

#: Times that the broker may refuse before it takes everything: a refusal for the moment is tried again without end.
_REFUSALS = 12

CAPABILITIES: tuple[Capabilities | None, ...] = (
    None,
    from_server_properties({"version": "3.10.8"}),
    from_server_properties({"version": "4.3.0"}),
)


class _Task:
    """What the task of each example does, set before its run."""

    def __init__(self) -> None:
        self.app = App("fuzz", "memory://fuzz")
        self.ending, self.value = "", None
        self.app.task(name="shop.work", max_retries=3)(self.work)
        self.app.task(name="shop.lax", ignore_result=True, acks_late=False)(self.work)

    def work(self, *args: Any, **kwargs: Any) -> Any:
        if self.ending in _ENDINGS:
            raise _ENDINGS[self.ending](self.value if isinstance(self.value, str) else repr(self.value))
        return self.value


_TASK = _Task()


def check(example: dict[str, Any]) -> None:
    _TASK.ending, _TASK.value = example["ending"], example["value"]
    try:
        properties = Properties(headers=example["headers"], **example["properties"])
        encode_properties(properties)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return  # no broker hands such a message over
    capabilities = CAPABILITIES[example["release"]]
    steps = Executor(
        _TASK.app.tasks, WORKER, undelayed, capabilities=lambda: capabilities, followers=Followers(_TASK.app)
    )
    lease = Lease()
    came = values.delivery(example["body"], properties.headers, redelivered=example["redelivered"], lease=lease)
    came.properties = properties
    queue = QueueSettings("emails", dead_letters=None) if example["no letters"] else QueueSettings("emails")
    made = Job(came, queue)
    steps.execute(made)
    planned = made.planned
    assert isinstance(planned, Settlement), made.outcome
    for outgoing in (*planned.onward, *planned.followers, planned.answer, planned.otherwise):
        if outgoing is not None:
            _can_be_written(outgoing)
    _ends_once(made, lease, example["answers"])


def _can_be_written(outgoing: Outgoing) -> None:
    assert size(outgoing.properties.headers or {}) <= LARGEST_HEADERS
    assert isinstance(outgoing.body, bytes)
    encode_properties(outgoing.properties)


def _ends_once(made: Job, lease: Lease, answers: list[str]) -> None:
    """Whatever the broker refuses first: one verdict for the message, once all that had to be safe is."""
    scene = Scene()
    scene.settler.settle(made, scene.queue)
    given = [_ANSWERS[answer] for answer in answers]
    for _ in range(_REFUSALS + 40):
        if not scene.link.published and lease.settled:
            break
        if scene.link.published:
            scene.link.answer(given.pop(0) if given else None)
        else:
            scene.link.wait(31.0)
    assert [verdict for verdict, _ in lease.settled] in (["ack"], ["nack"], ["reject"], ["discard"]), lease.settled
    assert not scene.link.published
    assert scene.settler.pending == 0


TARGET = Target(
    "settling",
    st.fixed_dictionaries(
        {
            "headers": st.one_of(
                HEADERS,
                st.sampled_from(("shop.work", "shop.lax")).flatmap(
                    lambda task: HEADERS.map(
                        lambda given: {**given, "task": task, "id": "one"} if isinstance(given, dict) else given
                    )
                ),
            ),
            "properties": st.one_of(
                PROPERTIES, st.just({"content_type": "application/json", "reply_to": "there", "correlation_id": "one"})
            ),
            "body": st.one_of(
                BODY,
                st.tuples(st.lists(values.JSON, max_size=1), st.just({}), EMBED).map(list).map(values.body),
            ),
            "ending": st.sampled_from(("return", *_ENDINGS)),
            "value": st.one_of(values.JSON, values.FIELDS, IDS),
            "release": st.integers(0, len(CAPABILITIES) - 1),
            "redelivered": st.booleans(),
            "no letters": st.booleans(),
            "answers": st.lists(st.sampled_from(sorted(_ANSWERS)), max_size=_REFUSALS),
        }
    ),
    check,
    changed=("headers", "properties", "body", "value"),
    mixed=("ending", "release", "redelivered", "no letters", "answers"),
)
