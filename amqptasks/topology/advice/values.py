"""Values of `arguments` that are read otherwise than they look."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.old_words import OldWord


def words_of_old_yaml(subject: Subject) -> Iterator[Advice]:
    for where, word in subject.topology.old_words.items():
        yield Advice("warning", "old-yaml", where, problem_of(word), fix_of(word))


def problem_of(word: OldWord) -> str:
    return f"`{word.text}` is read as {_shown(word.value)} here (YAML 1.1), and as {_shown(word.newer)} by YAML 1.2"


def fix_of(word: OldWord) -> str:
    plain = "null" if word.value is None else str(word.value).lower()
    return f'Write `"{word.text}"` where the text is meant, else `{plain}`'


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else f"the number {value}"
