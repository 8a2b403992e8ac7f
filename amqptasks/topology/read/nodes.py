"""From the text of a YAML file to its nodes, which know their lines."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver


def nodes(text: str) -> list[Any]:
    """One node a document; None for an empty one. Raises `yaml.YAMLError`, and `RecursionError` for deep nesting.

    libyaml, where PyYAML has it, reads a file of 5,000 queues in a third of the time. What it cannot read is read again
    by PyYAML's own parser, whose complaints name the place better.
    """
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError):
            return list(yaml.compose_all(text, _quick_loader()))
    return list(yaml.compose_all(text, yaml.SafeLoader))


def _quick_loader() -> Any:
    """libyaml's events, composed in Python: its own composer would overrun the stack where nesting is deep."""

    from yaml._yaml import CParser

    class Quick(Composer, CParser, Resolver):
        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            Resolver.__init__(self)

        def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
            """libyaml calls the style of unquoted text "", PyYAML None."""
            node: yaml.ScalarNode = super().compose_scalar_node(anchor)
            node.style = node.style or None
            return node

    return Quick
