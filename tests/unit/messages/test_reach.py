"""Where followers and replies of unsigned messages may go."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from amqptasks.canvas.signature import Signature
from amqptasks.errors import ConfigurationError
from amqptasks.messages.reach import EVERYWHERE, Reach, reach, stamps_of
from amqptasks.topology.expand.permissions import permissions_for
from amqptasks.topology.topology import Role, default
from amqptasks.untrusted import bounds

OWN = Reach(lambda: {"emails", "letters"})


def follower(task: object = "shop.after", **options: Any) -> dict[str, Any]:
    return {"task": task, "args": [], "kwargs": {}, "options": options, "subtask_type": None, "immutable": False}


def nested(depth: int, name: str = "link", **options: Any) -> dict[str, Any]:
    found = follower(**options)
    for _ in range(depth):
        found = follower(**{name: [found]})
    return found


ALLOWED: dict[str, Any] = {
    "priority": 5, "countdown": 3, "eta": "2030-01-01T00:00:00", "expires": 60, "time_limit": 5.5, "shadow": "x",
    "soft_time_limit": 3, "ignore_result": True, "serializer": "json", "compression": "zlib", "task_id": "a",
    "root_id": "r", "parent_id": "p", "unique": False, "queue": "letters", "link_error": None, "delivery_mode": 2,
    "producer": None, "retry": True, "stamped_headers": ["tenant"], "tenant": ["acme"], "group_id": "g",
    "reply_to": "amq.rabbitmq.reply-to.g1h2", "headers": {},
}  # fmt: skip


def test_no_reply_goes_into_what_a_role_may_write_or_read_of_ours() -> None:
    """Each name of ours that the rights of some role speak of."""
    rights = [permissions_for(default("emails"), role) for role in get_args(Role)]
    texts = " ".join(f"{one.configure} {one.write} {one.read}" for one in rights)
    pieces = [re.match(r"\(?([a-z]+(?:\|[a-z]+)*)", piece) for piece in texts.split(r"amqptasks\.")[1:]]
    kinds = {kind for piece in filter(None, pieces) for kind in piece[1].split("|")} - {"amqptasks", "amq"}
    assert kinds >= {"beat", "claims", "clock", "control", "delay", "nodes", "tokens", "unique"}
    names = [f"amqptasks.{kind}{rest}" for kind in kinds for rest in ("", ".x", ".0a", ".x\n", "..")]
    assert [name for name in names if OWN.may_reply_to(name)] == []


def test_a_follower_keeps_everything_that_does_not_choose_where_it_goes() -> None:
    assert OWN.problem([follower(**ALLOWED)], [nested(50, "chain", **ALLOWED)], None, trusted=False) is None


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "payments"}, {"exchange": "mail"}, {"exchange": ""}, {"routing_key": "emails"},
        {"headers": {"x-mine": 1}}, {"reply_to": "payments"}, {"reply_to": "amqptasks.tokens.lock"},
        {"queue": "emails.dead"}, {"queue": "amqptasks.revoked"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("depth", [0, 1, 7])
@pytest.mark.parametrize("name", ["link", "link_error", "chain"])
def test_a_follower_that_chooses_where_it_goes_needs_a_signature_or_followers_any(
    options: dict[str, Any], depth: int, name: str
) -> None:
    given = [nested(depth, name, **options)]
    for read in (True, False):
        problem = OWN.problem(None, given, trusted=False, read=read)
        assert problem is not None
        assert "shop.after" in problem
    assert OWN.problem(given, trusted=True) is None
    assert Reach(lambda: (), followers_anywhere=True).problem(given, trusted=False) is None


@pytest.mark.parametrize(
    "wrong",
    [
        5, [], None, {}, {"task": 5}, {"task": ""}, {"task": "t", "options": [1]}, follower("n" * 300),
        follower("\ud800"),
        follower(priority=256), follower(priority="5"), follower(time_limit=-1), follower(time_limit=1e300),
        follower(countdown="soon"), follower(eta=5), follower(expires=[]), follower(ignore_result=1), follower(queue=5),
        follower(task_id="x" * 300), follower(colour="red"), follower(stamped_headers="tenant"),
        follower(stamped_headers=["a"], a={}), follower(stamped_headers=[5]), follower(headers=[]),
        follower(stamped_headers=["queue"], queue=["default"]),
        follower(stamped_headers=["headers"], headers=["stamps"]),
        follower(stamped_headers=["reply_to"], reply_to=["x"]), follower(stamped_headers=["a"], a=[1] * 101),
        follower(headers={"stamps": {"a": "x" * 5000}}), follower(headers={"stamped_headers": "a"}),
        follower(link=[5]), follower(link={"task": "t", "options": {"chain": [{}]}}), follower(unique=5),
    ],
)  # fmt: skip
def test_a_follower_with_a_value_out_of_bounds_is_refused_with_a_sentence(wrong: object) -> None:
    problem = OWN.problem([wrong], trusted=True)
    assert problem
    assert len(problem) < 400
    assert problem.isprintable()


def test_a_signature_without_a_task_is_refused_without_a_word_of_its_arguments() -> None:
    given = {"kwargs": {"password": "hunter2"}}
    assert "hunter2" not in str(OWN.problem([given], trusted=True))
    with pytest.raises(ConfigurationError) as refused:
        Signature.read(given, None)  # type: ignore[arg-type]
    assert "hunter2" not in str(refused.value)


def test_followers_are_bounded_in_number_and_depth() -> None:
    many = [follower()] * (bounds.MOST_FOLLOWERS + 1)
    assert "more than 1000 followers" in str(OWN.problem(many, trusted=True))
    assert "deeper" in str(OWN.problem([nested(bounds.DEEPEST_FOLLOWER)], trusted=True))
    wide = [follower(link=[follower()] * 100)] * 100
    assert "more than 10000 followers" in str(OWN.problem(wide, trusted=True))
    assert OWN.problem([follower(link=[follower()] * 98)] * 100, trusted=False) is None


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("amq.rabbitmq.reply-to", True), ("amq.rabbitmq.reply-to.g1h2AA.token", True),
        ("019c1d2e-3f40-7abc-8def-0123456789ab", True), ("amqptasks.replies.web1", True), ("amqptasks.reply", True),
        ("payments", False), ("", False), ("019C1D2E-3f40-7abc-8def-0123456789ab", False),
        ("019c1d2e-3f40-7abc-8def-0123456789ab.x", False), ("amqptasks.control", False),
        ("amqptasks.control." + "f" * 32, False), ("amqptasks.tokens.lock.a", False), ("amqptasks.delay.05", False),
        ("amqptasks.revoked", False), ("amqptasks.unique.x", False), ("amqptasks.beat.lock", False),
        ("amqptasks.results.probe", False), ("amqptasks", False),
    ],
)  # fmt: skip
def test_a_reply_goes_to_its_caller_and_to_no_other_queue(address: str, allowed: bool) -> None:
    assert OWN.may_reply_to(address) is allowed
    assert (OWN.reply_problem(address) is None) is allowed


def test_replies_of_an_app_are_names_and_patterns() -> None:
    own = reach(tuple, "own", ["answers", "replies.*"])
    assert [own.may_reply_to(name) for name in ("answers", "replies.a", "payments")] == [True, True, False]
    assert reach(tuple, "own", "answers").may_reply_to("answers")
    assert EVERYWHERE.may_reply_to("payments")
    with pytest.raises(ConfigurationError, match="'own' or 'any'"):
        reach(tuple, "none", ())


def test_stamps_travel_as_celery_writes_them() -> None:
    options = {"stamped_headers": ["tenant"], "tenant": ["acme"]}
    assert stamps_of(options) == {"stamped_headers": ["tenant"], "stamps": {"tenant": ["acme"]}}
    assert stamps_of({}) == {}
