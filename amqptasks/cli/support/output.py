"""A file that a command was told to write; what stands in the way is said in a sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from amqptasks.errors import ConfigurationError


def write(file: Path, text: str) -> None:
    """Over what is there. Raises `ConfigurationError`, as all of these."""
    with _in_words(file):
        file.write_text(text, encoding="utf-8")


def write_new(file: Path, text: str) -> None:
    """Where nothing is yet."""
    with _in_words(file), file.open("x", encoding="utf-8") as opened:
        opened.write(text)


def write_private(file: Path, text: str) -> None:
    """For its owner's eyes only, whoever could read what was there before: a new file takes its place, whole or not at
    all. What is no file (`/dev/stdout`, a pipe) is written to as it is."""
    with _in_words(file):
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")
            return
        place = Path(os.path.realpath(file))  # a link stays one
        descriptor, name = mkstemp(prefix=f".{place.name}.", dir=place.parent)  # readable for this user only
        try:
            with open(descriptor, "w", encoding="utf-8") as opened:
                opened.write(text)
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def _in_words(file: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ConfigurationError(f"{file} exists: name another file, or --force") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}") from None
