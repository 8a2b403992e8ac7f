"""Where in its files something of a topology stands, for those who speak about it after it was read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amqptasks.topology.read.document import Document, Where, read


@dataclass(frozen=True)
class Places:
    """The files of a topology; none, for one that came from elsewhere."""

    documents: Sequence[Document] = ()

    def of(self, where: Where) -> str | None:
        """`FILE:LINE` of the value at `where`, or of the nearest thing around it that is in one of the files."""
        for length in range(len(where), 0, -1):
            for document in self.documents:
                place = document.places.get(where[:length])
                if place is not None:
                    return f"{place[0]}:{place[1]}"
        return None


def places(files: Sequence[str | os.PathLike[str]], environment: Mapping[str, str] | None = None) -> Places:
    """Raises `TopologyError`, as reading them does."""
    variables = os.environ if environment is None else environment
    return Places([read(Path(file), variables) for file in files])
