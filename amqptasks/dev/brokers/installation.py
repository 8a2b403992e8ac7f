"""Where a RabbitMQ is installed: the folder with its real scripts."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

#: Where Debian, Ubuntu and RabbitMQ's own packages put the scripts. What stands in /usr/sbin is a wrapper that
#: insists on the user `rabbitmq` and the system's data folder.
PACKAGED = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"

#: An ordinary user's PATH often lacks these, and packages put the wrapper there.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/sbin")


@dataclass(frozen=True, slots=True)
class Installation:
    """`scripts` is the folder of `rabbitmq-server` and `rabbitmqctl`; below `root`, when the files of another
    system were unpacked there (everything then runs through chroot, which needs root's rights)."""

    scripts: Path
    root: Path | None = None

    @property
    def version(self) -> str | None:
        """From the folder's name (`rabbitmq_server-4.3.0`), where it tells."""
        match = re.search(r"rabbitmq_server-([0-9][0-9.]*)", str(self.scripts))
        return match[1] if match else None

    def command(self, script: str) -> list[str]:
        """How to run one of the scripts."""
        if self.root is None:
            return [str(self.scripts / script)]
        return ["chroot", str(self.root), str(inside(self.scripts, self.root) / script)]


def inside(path: Path, root: Path | None) -> Path:
    """`path` as a program sees it that runs with `root` as its root folder."""
    return path if root is None else Path("/") / path.relative_to(root)


def find_installation(server: Path | None = None, root: Path | None = None) -> Installation | None:
    """The installation of the `rabbitmq-server` given, of the one below `root`, or of the one on PATH."""
    if root is not None:
        packaged = _packaged(root)
        return None if packaged is None else Installation(packaged, root)
    if server is None:
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
        found = shutil.which("rabbitmq-server", path=path)
        if found is None:
            return None
        server = Path(found)
    defaults = server.resolve().parent / "rabbitmq-defaults"  # beside the real script, or a link to where that is
    if defaults.exists():
        return Installation(defaults.resolve().parent)
    packaged = _packaged(Path("/"))
    return None if packaged is None else Installation(packaged)


def _packaged(root: Path) -> Path | None:
    """The newest, should an upgrade have left an old folder behind."""
    found = [folder for folder in root.glob(PACKAGED) if (folder / "rabbitmq-server").exists()]
    return max(found, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.parent.name)], default=None)
