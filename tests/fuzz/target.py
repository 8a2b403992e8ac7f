"""One thing to fuzz, its corpus, and a run of it."""

from __future__ import annotations

import hashlib
import json
import random
import time
import traceback
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

from tests.fuzz.mutation import mutated

CORPUS = Path(__file__).parent / "corpus"

#: Seconds of a thread's processor for one example. The largest example is some kilobytes, and takes milliseconds; a
#: busy machine does not count.
SLOW = 2.0


#: Examples that were drawn and are kept to be changed.
MOST_DRAWN = 500


class TooSlow(AssertionError):
    """An example that is small, and takes long."""


@dataclass(frozen=True)
class Target:
    """`examples` draws what `check` takes, an object made of what JSON holds, bytes, datetimes and decimals; `check`
    raises where something is wrong. For `mutated`: the parts of an example that are `changed` inside, and those that
    are `mixed` with other examples'."""

    name: str
    examples: st.SearchStrategy[dict[str, Any]]
    check: Callable[[dict[str, Any]], None]
    changed: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()

    def corpus(self) -> Iterator[tuple[str, Any]]:
        """The examples that are kept, by the name of their file."""
        for file in sorted((CORPUS / self.name).glob("*.json")):
            yield file.name, read(file.read_text(encoding="utf-8"))

    def judge(self, example: Any) -> None:
        """Raises what `check` raises, and `TooSlow`."""
        began = time.thread_time()
        self.check(example)
        took = time.thread_time() - began
        if took > SLOW:
            raise TooSlow(f"{took:.1f} s of the processor")


@dataclass
class Run:
    """Many examples of one target. `crashes` holds the smallest example of each kind, by where it was raised."""

    target: Target
    examples: int = 0
    crashes: dict[str, tuple[Any, BaseException]] = field(default_factory=dict)
    _drawn: list[Any] = field(default_factory=list)

    def try_corpus(self) -> None:
        for _, example in self.target.corpus():
            self.attempt(example)

    def attempt(self, example: Any) -> None:
        """Counts it, and keeps what it raises."""
        self.examples += 1
        try:
            self.target.judge(example)
        except Exception as error:
            place = _place(error)
            known = self.crashes.get(place)
            if known is None or len(written(example)) < len(written(known[0])):
                self.crashes[place] = (example, error)

    def generate(self, examples: int, number: int = 0, until: float | None = None) -> None:
        """So many more; other ones with each `number`. Ends at the monotonic clock's `until`."""

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(self.target.examples)
        def generated(example: Any) -> None:
            if until is None or time.monotonic() < until:
                self._drawn.append(example)
                del self._drawn[:-MOST_DRAWN]
                self.attempt(example)

        generated()

    def mutate(self, examples: int, number: int = 0, until: float | None = None) -> None:
        """So many more: those of the corpus, and those that `generate` drew, each changed a little."""
        source = random.Random(number)
        known = [example for _, example in self.target.corpus()] + self._drawn
        for _ in range(examples):
            if until is not None and time.monotonic() >= until:
                return
            self.attempt(mutated(known, self.target.changed, self.target.mixed, source))

    def keep(self) -> list[Path]:
        """Write the crashes into the corpus."""
        files = []
        for example, _ in self.crashes.values():
            text = written(example)
            folder = CORPUS / self.target.name
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"crash-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
            file.write_text(text, encoding="utf-8")
            files.append(file)
        return files

    def told(self) -> str:
        """The crashes, each with its example, for people."""
        return "\n\n".join(
            f"{self.target.name}: {written(example)[:2000]}\n{''.join(traceback.format_exception(error))}"
            for example, error in self.crashes.values()
        )


def _place(error: BaseException) -> str:
    """Where it was raised: two crashes of one place are one."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


def written(example: Any) -> str:
    """An example as a file of the corpus holds it: JSON, and objects with one key for what JSON has not."""
    return json.dumps(_plain(example), indent=1, ensure_ascii=True) + "\n"


def read(text: str) -> Any:
    return _restored(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$time": value.timestamp()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(one) for one in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$bytes": text, **others} if not others:
            return b64decode(text)
        case {"$time": moment, **others} if not others:
            return datetime.fromtimestamp(moment, UTC)
        case {"$decimal": text, **others} if not others:
            return Decimal(text)
    return {key: _restored(one) for key, one in value.items()}
