"""Dead letters on a page and as JSON."""

from __future__ import annotations

import json
from unittest import mock

import orjson
import pytest

from amqptasks.cli.support import letters
from amqptasks.dead_letters import dead_letter
from amqptasks.messages.codec import Codec
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.properties import Properties
from amqptasks.untrusted.masks import PLAIN, Mask

TASK = {"task": "shop.pay", "id": "1", "argsrepr": "()", "kwargsrepr": "{'password': 'hunter2'}"}


def nested(levels: int) -> list[object]:
    found: list[object] = []
    for _ in range(levels):
        found = [found]
    return found


def dead(body: bytes, **headers: object) -> dead_letter.DeadLetter:
    properties = Properties("application/json", "utf-8", {**TASK, **headers})
    return dead_letter.read(Delivery("q", 1, "", "q", False, properties, body, mock.Mock()), Codec())


def call(*args: object, **kwargs: object) -> bytes:
    return orjson.dumps([args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


@pytest.mark.parametrize("levels", [10, 1_015, 100_000])
def test_dead_list_writes_json_of_arguments_nested_as_deeply_as_a_sender_likes(levels: int):
    found = json.loads(letters._dumped({"args": nested(levels), "id": "x"}))
    assert found["id"] == "x"
    assert isinstance(found["args"], list)


@pytest.mark.parametrize(
    "one",
    [
        dead(call(5, password="hunter2")),
        dead(call({"deep": [{"card_number": "hunter2"}]})),
        dead(call(5), **{"x-amqptasks-reason": "failed", "x-amqptasks-message": "no: password='hunter2'"}),
        dead(call(5), **{"x-amqptasks-reason": "failed", "x-amqptasks-traceback": "line\n  token=hunter2"}),
        dead(b'{"token": "hunter2"'),
        dead(b"\x80\x04\xff password hunter2"),
        dead(call(5), **{"x-secret": "hunter2"}),
        dead(b'[[], {}, {"callbacks": [{"task": "a", "kwargs": {"token": "hunter2"}}]}]'),
    ],
    ids=["keyword", "mask of the app", "message", "traceback", "text", "bytes", "header", "follower"],
)
def test_dead_show_and_list_hide_secrets_wherever_a_letter_has_them(
    one: dead_letter.DeadLetter, capsys: pytest.CaptureFixture[str]
):
    mask = Mask(["card*"])
    letters.table([one], mask)
    shown = letters.in_full(one, mask) + letters.as_json(one, mask) + capsys.readouterr().out
    assert "hunter2" not in shown
    assert json.loads(letters.as_json(one, mask))["masked"] is True
    assert "hunter2" in letters.in_full(one, None)
    told = json.loads(letters.as_json(one, None))
    assert told["masked"] is False
    assert ("body" in told) or ("body_base64" in told)


def test_dead_show_of_a_letter_without_secrets_has_its_body():
    one = dead(call("a, b", n=1), kwargsrepr="{'n': 1}")
    told = json.loads(letters.as_json(one, PLAIN))
    assert (told["masked"], orjson.loads(told["body"])[:2]) == (False, [["a, b"], {"n": 1}])


@pytest.mark.parametrize("name", ["id", "task", "x-amqptasks-detail", "x-amqptasks-message", "x-odd\x1b[2J", "origin"])
def test_dead_show_forges_no_line_and_drives_no_terminal(name: str):
    text = "\x1b[2Ja\u202eb\u2028c\nid          forged\x85"
    page = letters.in_full(dead(call(5), **{"x-amqptasks-reason": "failed", name: text}))
    lines = page.split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert "id          forged" not in lines
