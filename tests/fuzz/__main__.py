"""`python -m tests.fuzz`: fuzz for minutes, tell how many examples there were, and keep what crashes in the corpus."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from typing import Any

from tests.fuzz.target import Run
from tests.fuzz.targets import TARGETS

#: Examples between two looks at the clock.
DRAWN_AT_ONCE = 100
CHANGED_AT_ONCE = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=300.0, help="for each target (default: 300)")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="other examples with each (default: the time)"
    )
    parser.add_argument("--atheris", action="store_true", help="guided by coverage: pip install atheris")
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}: choose of {', '.join(TARGETS)}")
    logging.disable(logging.CRITICAL)
    crashes = 0
    for name in given.targets or TARGETS:
        run = Run(TARGETS[name])
        began = time.monotonic()
        (guided if given.atheris else blind)(run, began + given.seconds, given.seed)
        took = time.monotonic() - began
        files = run.keep()
        crashes += len(files)
        print(f"{name}: {run.examples} examples in {took:.0f} s, {len(files)} crashes", flush=True)
        for file in files:
            print(f"  {file}", flush=True)
        if run.crashes:
            print(run.told(), file=sys.stderr, flush=True)
    return min(crashes, 1)


def blind(run: Run, until: float, number: int) -> None:
    """Drawn by hypothesis, and changed by chance."""
    run.try_corpus()
    while time.monotonic() < until:
        run.generate(DRAWN_AT_ONCE, number, until)
        run.mutate(CHANGED_AT_ONCE, number, until)
        number += 1


def guided(run: Run, until: float, number: int) -> None:
    """By atheris, which prefers examples that reach new lines of amqptasks. It ends its process, so it runs in one of
    its own, which tells by a file what it found."""
    import os
    import pickle
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="amqptasks-fuzz-") as told:
        child = os.fork()
        if child == 0:
            _guide(run, until, number, told.name)
            os._exit(1)
        os.waitpid(child, 0)
        text = told.read()
    if not text:
        raise SystemExit("atheris ended without a word")
    run.examples, found = pickle.loads(text)
    run.crashes.update(found)


def _guide(run: Run, until: float, number: int, told: str) -> None:
    import os
    import pickle

    import atheris
    from hypothesis import HealthCheck, given, settings

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(run.target.examples)
    def drawn(example: Any) -> None:
        run.attempt(example)

    def one(buffer: bytes) -> None:
        if time.monotonic() >= until:
            with open(told, "wb") as file:
                found = {
                    place: (example, AssertionError(str(error))) for place, (example, error) in run.crashes.items()
                }
                pickle.dump((run.examples, found), file)
            os._exit(0)
        drawn.hypothesis.fuzz_one_input(buffer)

    run.try_corpus()
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-seed={number % 2**31}", "-max_len=4096", "-verbosity=0"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
