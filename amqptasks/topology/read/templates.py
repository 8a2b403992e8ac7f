"""`defaults`, `templates` and `for_each`: what keeps many queues that are alike short.

A queue is layers, each laid over the one before, key by key: `defaults.queue`, its templates in their order, its own
keys. Lists, `retry` and the other single values are replaced as a whole; a key with nothing behind it takes away what
it would have had from below. Then one with `for_each` becomes many.
"""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.topology.arguments import KEYS
from amqptasks.topology.read.document import LARGEST, Broken, Document, Where, copied, overlaid
from amqptasks.topology.read.merging import SECTIONS
from amqptasks.topology.topology import did_you_mean

#: What stands for one of `for_each`.
EACH = "{each}"

#: Sections in which one can stand for many.
_MANY = ("exchanges", "queues", "routes", "policies", "operator_policies", "users")


def resolved(document: Document) -> Document:
    """The document with every queue and exchange written out. Raises `TopologyError` where that makes too much; other
    mistakes are among the `errors` of what it returns."""
    into = Document(
        dict(document.mapping),
        dict(document.places),
        dict(document.written),
        files=document.files,
        errors=document.errors,
        old_words=document.old_words,
    )
    for section in _MANY:
        given = document.mapping.get(section)
        if isinstance(given, dict):
            layered = {name: _layered(document, into, (section, name), one) for name, one in given.items()}
            into.mapping[section] = dict(_each(into, section, layered))
    return into


def _layered(document: Document, into: Document, where: Where, own: object) -> object:
    section = where[0]
    if section not in ("queues", "exchanges") or not (own is None or isinstance(own, dict)):
        return own
    own = own or {}
    layers = [*_templates(document, where, own), (where, {key: own[key] for key in own if key != "template"})]
    below = _defaults(document, str(section), layers)
    if not below and len(layers) == 1:  # its own keys, in their places already: most queues of a large file
        return layers[0][1]
    found: dict[str, object] = {}
    for source, layer in [*below, *layers]:
        for key, value in layer.items():
            overlaid(found, key, value, document, (*source, key), into, (*where, key))
    return found


_Layer = tuple[Where, dict[str, object]]


def _templates(document: Document, where: Where, own: dict[str, object]) -> Iterator[_Layer]:
    given = own.get("template")
    if given is None or where[0] != "queues":
        return
    names = [given] if isinstance(given, str) else given
    known = document.mapping.get("templates")
    if isinstance(given, Broken):
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        wrong = document.error("must be a name, or a list of names", (*where, "template"), "Write `template: NAME`")
        document.errors.append(wrong)
        return
    for index, name in enumerate(names):
        at: Where = (*where, "template") if isinstance(given, str) else (*where, "template", index)
        if not isinstance(known, dict) or name not in known:
            hint = did_you_mean(name, known if isinstance(known, dict) else {}, "Declare it under `templates:`")
            document.errors.append(document.error(f"there is no template `{name}`", at, hint))
            continue
        template = known[name]
        if isinstance(template, dict):  # what else it may be is said when templates are checked
            yield ("templates", name), template


def _defaults(document: Document, section: str, layers: list[_Layer]) -> list[_Layer]:
    """Without what the type of the queue cannot have; and nothing for one that is exact."""
    given = document.mapping.get("defaults")
    key = SECTIONS[section]
    defaults = given.get(key) if isinstance(given, dict) else None
    if not isinstance(defaults, dict):
        return []
    if section == "exchanges":
        return [(("defaults", key), defaults)]
    said = {name: value for layer in (defaults, *(layer for _, layer in layers)) for name, value in layer.items()}
    if said.get("exact") is True:
        return []
    queue_type = said.get("type") or "quorum"
    fitting = {name: value for name, value in defaults.items() if name not in KEYS or queue_type in KEYS[name]}
    return [(("defaults", key), fitting)]


def _each(into: Document, section: str, given: dict[str, object]) -> Iterator[tuple[str, object]]:
    made: set[str] = set()
    for name, one in given.items():
        where: Where = (section, name)
        for new, value in _copies(into, where, name, one):
            if new in made:
                place = into.places.get((section, new))
                hint = f"The other is on line {place[1]}; rename one of them" if place else "Rename one of them"
                into.errors.append(into.error(f"two {section} would be named `{new}`", where, hint))
                continue
            made.add(new)
            if new != name:
                _place(value, _one(one), into, where, (section, new))
            if len(into.places) > LARGEST:
                raise into.error("makes too many values", where, "Shorten `for_each`")
            yield new, value


def _copies(into: Document, where: Where, name: str, one: object) -> Iterator[tuple[str, object]]:
    each = one.get("for_each") if isinstance(one, dict) else None
    if each is None or not isinstance(one, dict):
        if EACH in str(name):
            into.errors.append(
                into.error(f"has `{EACH}` in its name but no `for_each`", where, "Add `for_each: [...]`")
            )
        yield name, one
        return
    at: Where = (*where, "for_each")
    if not isinstance(each, list) or not each or not all(isinstance(item, str) and item for item in each):
        into.errors.append(into.error("must be a list of texts", at, "Write `for_each: [acme, globex]`"))
        return
    if EACH not in name:
        into.errors.append(into.error(f"all of them would be named `{name}`", where, f"Put `{EACH}` into the name"))
        return
    for item in each:
        yield name.replace(EACH, item), _filled(_one(one), item)


def _one(many: object) -> object:
    """Without the list that makes it many: that would be copied to each of them."""
    return {key: value for key, value in many.items() if key != "for_each"} if isinstance(many, dict) else many


def _place(value: object, original: object, into: Document, at: Where, where: Where) -> None:
    """The places of what was made are those of what it was made from; its keys may have other names."""
    copied(None, into, at, into, where)
    if isinstance(value, dict) and isinstance(original, dict):
        for key, old in zip(value, original, strict=True):
            _place(value[key], original[old], into, (*at, str(old)), (*where, str(key)))
    elif isinstance(value, list) and isinstance(original, list):
        for index, one in enumerate(original):
            _place(value[index], one, into, (*at, index), (*where, index))


def _filled(value: object, item: str) -> object:
    if isinstance(value, str):
        return value.replace(EACH, item) if EACH in value else value
    if isinstance(value, dict):
        return {key.replace(EACH, item): _filled(one, item) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, item) for one in value]
    return value
