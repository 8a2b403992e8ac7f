"""What amqptasks started for this user, kept in a file, so that another shell can tell and stop it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amqptasks.dev.brokers.running import Running
from amqptasks.errors import ConfigurationError


def folder() -> Path:
    """`$XDG_STATE_HOME/amqptasks`, by default `~/.local/state/amqptasks`.

    https://specifications.freedesktop.org/basedir-spec/latest/: an unset or relative value means the default.
    """
    named = os.environ.get("XDG_STATE_HOME", "")
    home = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return home / "amqptasks"


@contextmanager
def locked() -> Iterator[None]:
    """One `start` or `stop` of a user at a time: two at once would both start a node in one folder."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remember(running: Running) -> None:
    """Write down what was started; readable for this user only."""
    text = json.dumps(
        {
            "kind": running.kind,
            "url": running.url,
            "management_url": running.management_url,
            "version": running.version,
            "folder": None if running.folder is None else str(running.folder),
        },
        indent=2,
    )
    new = _file().with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text + "\n")
    new.replace(_file())  # whole, or not at all


def recall() -> Running | None:
    """What was started and not stopped since, alive or not. Raises `ConfigurationError` where the file is damaged."""
    try:
        text = _file().read_text()
    except FileNotFoundError:
        return None
    try:
        kept = json.loads(text)
        kept["folder"] = None if kept["folder"] is None else Path(kept["folder"])
        return Running(**kept, started=True)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{_file()} is damaged ({error}): delete it, and end the broker by hand") from error


def forget() -> None:
    _file().unlink(missing_ok=True)


def _file() -> Path:
    return folder() / "broker.json"
