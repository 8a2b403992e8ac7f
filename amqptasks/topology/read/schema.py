"""The JSON Schema of topology files, for editors: made from the model, so that it cannot say anything else."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from typing import Any

from amqptasks.topology.model.file import FilePart
from amqptasks.topology.model.part import Part

#: https://json-schema.org/draft/2020-12
DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: In place of a number or a truth, a variable may stand.
_VARIABLE = {"type": "string", "pattern": r"\$\{"}

#: Sections whose entries may have nothing behind their name.
_MAY_BE_EMPTY = ("exchanges", "queues", "templates", "users")


def schema() -> dict[str, Any]:
    """Draft 2020-12. What it accepts is what one value alone may be; what goes together is said when a file is read."""
    made: dict[str, Any] = FilePart.model_json_schema()
    parts = {part.__name__: part for part in _parts(Part)}
    for name, definition in made["$defs"].items():
        _describe(definition, parts[name])
    _describe(made, FilePart)
    for section in _MAY_BE_EMPTY:
        entries = made["properties"][section]
        entries["additionalProperties"] = {"anyOf": [entries["additionalProperties"], {"type": "null"}]}
    vhost = made["properties"]["vhost"]
    vhost["anyOf"].insert(0, {"type": "string", "minLength": 1})
    made["properties"]["delays"]["anyOf"].append({"const": False})
    letters = (
        made["$defs"]["QueuePart"]["properties"]["dead_letter"],
        made["$defs"]["TemplatePart"]["properties"]["dead_letter"],
    )
    for letter in letters:
        letter["anyOf"] = [{"const": False} if one == {"type": "null"} else one for one in letter["anyOf"]]
    for name in ("QueuePart", "TemplatePart"):
        limit = made["$defs"][name]["properties"]["delivery_limit"]
        number = {key: limit.pop(key) for key in ("type", "minimum", "maximum")}
        limit["anyOf"] = [{**number, "minimum": 1}, {"const": False}]
    return {
        "$schema": DIALECT,
        "title": "amqptasks topology",
        **_with_variables({key: value for key, value in made.items() if key != "title"}),
    }


def text() -> str:
    """The schema as it is committed in `topology/schema.json`."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _parts(part: type[Part]) -> list[type[Part]]:
    return [part, *(one for child in part.__subclasses__() for one in _parts(child))]


def _describe(definition: dict[str, Any], part: type[Part]) -> None:
    """The text below each key, as its description. Read here and not by pydantic, which would do it at every start."""
    for one in reversed(part.__mro__):
        if not issubclass(one, Part):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        for line, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(line, ast.AnnAssign)
                and isinstance(line.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                definition["properties"][line.target.id]["description"] = " ".join(str(following.value.value).split())


def _with_variables(node: Any) -> Any:
    """Without pydantic's titles, which only repeat the keys; and with `${NAME}` wherever a number or a truth is."""
    if isinstance(node, list):
        return [_with_variables(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _with_variables(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if found.get("type") in ("integer", "boolean"):
        kept = {key: found.pop(key) for key in ("description", "default") if key in found}
        return {**kept, "anyOf": [found, _VARIABLE]}
    return found
