"""`amqptasks ARGUMENTS` as a shell runs it, to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.worker_process import REPOSITORY


def run_command(
    *arguments: str, url: str | None, folder: Path, timeout: float = 60, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """In `folder`, with `url` as the environment's broker and `given` as its input."""
    surroundings = {name: value for name, value in os.environ.items() if name != "AMQPTASKS_BROKER_URL"}
    surroundings |= {"PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(folder)}
    if url is not None:
        surroundings["AMQPTASKS_BROKER_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "amqptasks", *arguments],
        cwd=folder,
        env=surroundings,
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
