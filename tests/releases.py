"""stub"""
from __future__ import annotations
from pathlib import Path
from amqptasks.brokers.installation import find_installation


class Missing(Exception):
    """That release is not here."""


def locate(release: str) -> Path | str | None:
    """Where the release is: None for the machine's own installation, the root folder of its files, or an image's name."""
    found = find_installation()
    if found and (found.version or "").startswith(f"{release}."):
        return None
    root = Path("/var/cache/amqptasks/releases") / release
    if find_installation(root=root):
        return root
    raise Missing(f"RabbitMQ {release} is not installed: run `python tests/releases.py install {release}`")
