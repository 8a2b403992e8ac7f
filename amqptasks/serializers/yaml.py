"""YAML's safe part, as kombu writes it: what JSON has, and dates. Slow; for messages that people write."""

from __future__ import annotations

from enum import Enum
from typing import Any

import yaml

from amqptasks.serializers import Serializer, Undecodable
from amqptasks.untrusted.bounds import MOST_YAML_VALUES

#: Values that one body may stand for once its aliases are followed. A few lines can stand for billions ("billion
#: laughs"), which nothing that walks over them would survive.
MOST_VALUES = MOST_YAML_VALUES


class _Loader(yaml.SafeLoader):
    """Ends at the first value too many: PyYAML takes half a minute to read a million."""

    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise Undecodable(f"has more than {MOST_VALUES} values")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """A list that stands twice in the arguments is written twice."""
        return True


_Dumper.add_multi_representer(Enum, lambda dumper, value: dumper.represent_data(value.value))


def encode(value: object) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper)
    return text


def decode(data: bytes) -> Any:
    # Not libyaml's loader: what is nested too deeply ends the process there, and is an exception here.
    loader = _Loader(data)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise Undecodable(f"its aliases stand for more than {MOST_VALUES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, itself included."""
    size = known.get(id(node))
    if size is not None:
        if not size:
            raise Undecodable("a value contains itself")
        return size
    known[id(node)] = 0  # being counted
    if isinstance(node, yaml.SequenceNode):
        size = 1 + sum(_size(inner, known) for inner in node.value)
    elif isinstance(node, yaml.MappingNode):
        size = 1 + sum(_size(key, known) + _size(value, known) for key, value in node.value)
    else:
        size = 1
    known[id(node)] = size
    return size


SERIALIZER = Serializer("yaml", encode, decode, "application/x-yaml")
