"""What is counted for people is right in singular and plural."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

import pytest

from amqptasks.untrusted.numbers import counted
from tests.harness.worker_process import REPOSITORY

#: What is counted for people somewhere.
COUNTED = (
    "bindings|calls|channels|connections|consumers|deliveries|events|exchanges|failures|findings|ids|letters|messages"
    "|minutes|mistakes|nodes|objects|policies|processes|processors|queues|records|replies|retries|revocations|tasks"
    "|times|users|virtual hosts|workers"
)

#: Numbers that are never one: they are constants, or the smallest that is told is larger.
NEVER_ONE = re.compile(r"^(bounds\.)?MOST_|^\w*\.?MOST_|^most$|^snoozes$|^least$")


def numbers_before_plurals(source: str) -> Iterator[tuple[int, str]]:
    """Line and words of each text that has a number before a plural, whatever the number is."""
    follows = re.compile(rf" (?:[a-z]+ )?(?:{COUNTED})\b")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for value, text in itertools.pairwise(node.values):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    number = ast.unparse(value.value)
                    if follows.match(str(text.value)) and is_number(number) and not NEVER_ONE.search(number):
                        yield node.lineno, f"{{{number}}}{text.value}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in re.finditer(rf"%d {follows.pattern[1:]}", node.value):
                yield node.lineno, found[0]


def is_number(expression: str) -> bool:
    """By its name: `len(...)`, `count`, `.messages`, `number`."""
    return bool(
        re.search(rf"len\(|count|number|(?:^|\.)(?:{COUNTED}|held|left|total|done|moved|many|limit)", expression)
    )


def test_numbers_before_nouns_know_singular_and_plural():
    found = [
        f"{file.relative_to(REPOSITORY)}:{line}: {words}"
        for file in sorted((REPOSITORY / "amqptasks").rglob("*.py"))
        for line, words in numbers_before_plurals(file.read_text())
    ]
    assert not found, "use amqptasks.untrusted.numbers.counted:\n" + "\n".join(found)


def test_a_number_before_a_plural_is_found():
    assert [*numbers_before_plurals('f"{len(found)} queues"\nf"{len(found)} dead letters"\n"%d tasks wait"')] == [
        (1, "{len(found)} queues"),
        (2, "{len(found)} dead letters"),
        (3, "%d tasks"),
    ]


@pytest.mark.parametrize(("number", "text"), [(0, "0 queues"), (1, "1 queue"), (1234, "1,234 queues")])
def test_counted_knows_singular_and_plural(number: int, text: str):
    assert counted(number, "queue") == text
