"""The tests on every Python that amqptasks names, as far as this machine has them.

    python tests/pythons.py                     all tests on each
    python tests/pythons.py tests/unit -k retry arguments for pytest
    python tests/pythons.py --list              where each is

A Python is on PATH, pyenv's, or a Debian package in the folder of a RabbitMQ release that tests/releases.py unpacked
(`chroot FOLDER apt-get install python3.14-venv`). The last kind runs there by chroot, with that release as its broker.
Each has a virtual environment of its own, below .venvs. A version that this machine lacks is named, and is no failure.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

#: As pyproject.toml names them.
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")

#: As in the Makefile: three files side by side, and a crash of a process ends the run.
PARALLEL = ("-n", "3", "--dist", "loadfile", "--max-worker-restart", "0")

#: What builds the project, which pip looks for beside what the project needs.
BUILD = ("hatchling", "editables")


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter, and the folder that is its `/` where it is not this machine's."""

    version: str
    program: Path
    root: Path | None = None

    def __str__(self) -> str:
        return str(self.program) if self.root is None else f"{self.program} in {self.root}"

    def run(self, *command: str | os.PathLike[str]) -> int:
        """Run a command in the repository, and return its status. In another root the repository is mounted for this
        command alone: nobody who deletes the root finds it there."""
        words = [os.fspath(word) for word in command]
        if self.root is None:
            return subprocess.run(words, cwd=REPOSITORY, check=False).returncode
        place = self.root / REPOSITORY.relative_to("/")
        place.mkdir(parents=True, exist_ok=True)
        script = " && ".join(
            [
                shlex.join(["mount", "--bind", str(REPOSITORY), str(place)]),
                f"exec {shlex.join(['chroot', str(self.root), 'sh', '-c', f'cd {REPOSITORY} && {shlex.join(words)}'])}",
            ]
        )
        surroundings = {**os.environ, "HOME": "/root", "LANG": "C.UTF-8"}
        return subprocess.run(["unshare", "--mount", "sh", "-c", script], env=surroundings, check=False).returncode


def find(version: str) -> Python | None:
    """The interpreter on PATH, pyenv's newest of that version, or the one of an unpacked RabbitMQ release."""
    on_path = shutil.which(f"python{version}")
    if on_path is not None and _is(version, Path(on_path)):
        return Python(version, Path(on_path))
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [folder / "bin" / "python3" for folder in versions.glob(f"{version}*")]
    ours = max((one for one in found if _is(version, one)), default=None)
    return Python(version, ours) if ours is not None else _in_a_root(version)


def _in_a_root(version: str) -> Python | None:
    """Debian keeps `ensurepip`, without which there is no environment, in a package of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return None
    releases = Path(os.environ.get("AMQPTASKS_RELEASES", "/var/cache/amqptasks/releases"))
    for root in sorted(releases.glob("*/"), reverse=True):
        library = root / "usr/lib" / f"python{version}"
        if (root / "usr/bin" / f"python{version}").exists() and (library / "ensurepip").exists():
            return Python(version, Path(f"/usr/bin/python{version}"), root)
    return None


def _is(version: str, python: Path) -> bool:
    """Whether it runs, and is that version: pyenv's programs on PATH may stand for one that is not installed."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def prepare(python: Python) -> Path:
    """The interpreter of an environment that has the project and what its tests need. Raises `SystemExit` where pip
    fails."""
    folder = REPOSITORY / ".venvs" / python.version
    installed = folder / "installed"
    if not installed.exists() or installed.stat().st_mtime < (REPOSITORY / "pyproject.toml").stat().st_mtime:
        wheels = folder / "wheels"
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        if python.root is not None:  # some of pip's settings and packages are outside of the root
            _download(python.version, wheels)
            pip += ["--find-links", str(wheels)]
        statuses = (
            python.run(python.program, "-m", "venv", folder),
            python.run(*pip, *BUILD),
            python.run(*pip, "--no-build-isolation", "--editable", ".[test]"),
        )
        if any(statuses):
            raise SystemExit(f"no environment for Python {python.version} ({python})")
        installed.touch()
    return folder / "bin" / "python"


def _download(version: str, wheels: Path) -> None:
    """What there is as a wheel for that version. The rest is built in the root."""
    wanted = ["--only-binary", ":all:", "--python-version", version, "--dest", str(wheels)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *wanted]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = [*BUILD, *project["dependencies"], *project["optional-dependencies"]["test"]]
    if subprocess.run([*pip, *needed], cwd=REPOSITORY, capture_output=True, check=False).returncode:
        for one in needed:
            subprocess.run([*pip, one], cwd=REPOSITORY, capture_output=True, check=False)


def main(arguments: list[str]) -> int:
    found = {version: find(version) for version in PYTHONS}
    if arguments == ["--list"]:
        for version, python in found.items():
            print(f"{version}  {python or 'not on this machine'}")
        return 0
    failed = [python.version for python in found.values() if python is not None and not _passes(python, arguments)]
    print(f"passed on: {', '.join(one for one in PYTHONS if found[one] and one not in failed) or 'none'}")
    print(f"not on this machine: {', '.join(one for one in PYTHONS if not found[one]) or 'none'}")
    if failed:
        print(f"failed on: {', '.join(failed)}")
    return 1 if failed or not any(found.values()) else 0


def _passes(python: Python, arguments: Sequence[str]) -> bool:
    print(f"Python {python.version}: {python}", flush=True)
    return python.run(prepare(python), "-m", "pytest", *PARALLEL, *arguments) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
