"""What the commands of `amqptasks topology` share: which topology is meant, and on which release of RabbitMQ."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amqptasks.cli.support.target import Target

if TYPE_CHECKING:
    from amqptasks.topology.topology import Topology
    from amqptasks.transport.capabilities import Capabilities

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def topology_of(target: Target, files: Sequence[str]) -> Topology:
    """What the files say, or without any the app's topology. Raises `TopologyError`, or click's error for neither."""
    if not files:
        if target.app is None:
            raise click.UsageError("Name one or more topology FILEs, or an app with -A.")
        return target.load_app().topology
    from amqptasks.topology.read.loader import load

    return load(*files)


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The leading words that name files (they end with .yaml or .yml), and the rest."""
    count = next((n for n, word in enumerate(words) if not word.endswith((".yaml", ".yml"))), len(words))
    return list(words[:count]), list(words[count:])


def title_of(target: Target, files: Sequence[str]) -> str:
    """What the picture is called."""
    from pathlib import Path

    return ", ".join(Path(file).name for file in files) or f"app {target.app}"


def release_option(decorated: Decorated) -> Decorated:
    """Add `--release`; the command gets `capabilities`."""
    return click.option(
        "--release",
        "capabilities",
        metavar="VERSION",
        default="4.3",
        show_default=True,
        callback=_capabilities,
        help="The RabbitMQ it is for: 3.10, 4.0, 4.3, ...",
    )(decorated)


def _capabilities(_context: click.Context, _option: click.Parameter, text: str) -> Capabilities:
    from amqptasks.transport.capabilities import from_server_properties

    if not re.fullmatch(r"[3-9]\d*(\.\d+){1,2}", text):
        raise click.BadParameter(f"{text!r} is no release of RabbitMQ; write it as 4.3 or 3.10.8")
    return from_server_properties({"version": text})
