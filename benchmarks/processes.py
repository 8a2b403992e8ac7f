"""Processes that are measured: started in a group of their own, and always reaped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]

#: Seconds that a worker gets to end after TERM, before it is killed.
ENDS_WITHIN = 15.0

#: Seconds for one run of a client, unless it has very many messages: the slowest takes half a minute.
RUNS_WITHIN = 300.0


class Failed(Exception):
    """A measured process failed; the message ends with its last words."""


@contextmanager
def running(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run `python ARGUMENTS` while the block lasts; its process id. At the end it is asked to stop, then killed with
    all its children. Raises `Failed` where it ended by itself."""
    with log.open("wb") as output:
        process = _start(arguments, environment, output, output)
        try:
            yield process.pid
            _check_alive(process, arguments)
            process.send_signal(signal.SIGTERM)
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            print(f"{_shown(arguments)} did not stop within {ENDS_WITHIN:g} s; killed", file=sys.stderr)
        except Exception as error:
            error.add_note(f"the log of {_shown(arguments)} ended with: {_last_words(log)}")
            raise
        finally:
            _kill(process)


def answer(arguments: Sequence[str], environment: Mapping[str, str], log: Path, timeout: float = RUNS_WITHIN) -> Any:
    """Run `python ARGUMENTS` to its end, for `timeout` seconds at most; the JSON that it printed. Raises `Failed`."""
    with log.open("wb") as errors:
        process = _start(arguments, environment, subprocess.PIPE, errors)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{_shown(arguments)} took over {timeout:g} s: {_last_words(log)}") from None
        finally:
            _kill(process)
    if process.returncode:
        raise Failed(f"{_shown(arguments)} ended with status {process.returncode}: {_last_words(log)}")
    return json.loads(output)


def _start(
    arguments: Sequence[str], environment: Mapping[str, str], output: Any, errors: Any
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )


def _check_alive(process: subprocess.Popen[bytes], arguments: Sequence[str]) -> None:
    if process.poll() is not None:
        raise Failed(f"{_shown(arguments)} ended by itself with status {process.returncode}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and whatever it left behind in its group."""
    with suppress(ProcessLookupError):  # it ended, and left nobody
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shown(arguments: Sequence[str]) -> str:
    return f"`python {' '.join(arguments)}`"


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-2000:] or "(nothing)"
