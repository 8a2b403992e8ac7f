"""Every wrong topology file is one error that names file, line, path, problem and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqptasks.errors import TopologyError
from amqptasks.topology.loader import from_mapping, load

BASE = "version: 1\nexchanges:\n  tasks: {type: topic}\nqueues:\n  emails:\n"

#: name: file, line, path, part of the problem, part of the hint.
WRONG: dict[str, tuple[str, int | None, str | None, str, str | None]] = {
    "an empty file": ("", None, None, "is empty", "version: 1"),
    "only a comment": ("# nothing\n", None, None, "is empty", "version: 1"),
    "a list": ("- version: 1\n", 1, None, "must be a mapping, not a list", "version: 1"),
    "text": ("hello", 1, None, "must be a mapping, not text", "version: 1"),
    "no version": ("queues:\n  emails:\n", 1, None, "`version` is missing", "version: 1"),
    "a version to come": ("version: 2\nqeues: {}\n", 1, "version", "no version", "newer release"),
    "a version in text": ('version: "1"\nqueues: {a: }\n', 1, "version", "no version", "version: 1"),
    "a version that is true": ("version: true\n", 1, "version", "no version", None),
    "nothing but a version": ("version: 1\n", 1, None, "declares nothing", "queues:"),
    "two documents": ("version: 1\n---\nversion: 1\n", 3, None, "second document", "---"),
    "a tab": ("version: 1\nqueues:\n\temails:\n", 3, None, "a tab cannot indent", "spaces"),
    "a tab before a mapping": ("version: 1\nqueues:\n  emails:\n\t\tretry: {}\n", 4, None, "no YAML", None),
    "an open bracket": ("version: 1\nqueues: {a: [}\n", 2, None, "is no YAML", None),
    "bad indentation": ("version: 1\nqueues:\n  a: {}\n   b: {}\n", 4, None, "is no YAML", None),
    "an unquoted variable in braces": (
        "version: 1\nqueues:\n  a: {max_length: ${N}}\n",
        3,
        None,
        "is no YAML",
        'quoted: "${NAME}"',
    ),
    "a control character": ("version: 1\nqueues: {a\x07: }\n", 2, None, "character", None),
    "an unknown alias": ("version: 1\nqueues:\n  a: *b\n", 3, None, "alias", None),
    "an alias of what it is in": ("version: 1\nqueues: &q\n  a: *q\n", 2, "queues.a", "alias", None),
    "an unknown tag": ("version: 1\nqueues:\n  a: !python/name:os.system {}\n", 3, "queues.a", "tag", None),
    "an unknown tag on text": ("version: 1\nvhost: !secret x\n", 2, "vhost", "tag", None),
    "an unknown section": (
        "version: 1\nqueus:\n  emails:\n",
        2,
        "queus",
        "unknown key `queus`",
        "did you mean `queues`?",
    ),
    "a section of nothing": ("version: 1\nqueues:\n", 2, "queues", "must be a mapping, not nothing", None),
    "queues as a list": ("version: 1\nqueues: [emails]\n", 2, "queues", "must be a mapping, not a list", None),
    "a queue that is text": (
        "version: 1\nqueues:\n  emails: quorum\n",
        3,
        "queues.emails",
        "must be a mapping, not text",
        None,
    ),
    "an unknown key of a queue": (
        BASE + "    max_lenght: 5\n",
        6,
        "queues.emails.max_lenght",
        "unknown key",
        "did you mean `max_length`?",
    ),
    "a key with a hyphen": (
        BASE + "    bindings:\n      - {exchange: tasks, routing-key: a}\n",
        7,
        "queues.emails.bindings[0].routing-key",
        "unknown key",
        "did you mean `routing_key`?",
    ),
    "an argument as a key": (
        BASE + "    x-max-length: 5\n",
        6,
        "queues.emails.x-max-length",
        "unknown key",
        "Write `max_length` instead",
    ),
    "a key that is a number": ("version: 1\nqueues:\n  1:\n", 3, "queues", "read as a number", 'Quote it: "1"'),
    "a key that is a truth": ("version: 1\nqueues:\n  on:\n", 3, "queues", "true or false", 'Quote it: "on"'),
    "a key that is a list": ("version: 1\nqueues:\n  [a]: {}\n", 3, "queues", "key must be text", None),
    "two queues of one name": (
        "version: 1\nqueues:\n  emails:\n  other:\n  emails:\n",
        5,
        "queues.emails",
        "two queues are named `emails`",
        "line 3",
    ),
    "two exchanges of one name": (
        "version: 1\nexchanges:\n  a: {}\n  a: {}\n",
        4,
        "exchanges.a",
        "two exchanges are named `a`",
        "line 3",
    ),
    "a key twice": (
        BASE + "    max_length: 5\n    max_length: 6\n",
        7,
        "queues.emails.max_length",
        "there twice",
        "line 6",
    ),
    "a section twice": ("version: 1\nqueues: {a: }\nqueues: {b: }\n", 3, "queues", "there twice", "line 2"),
    "an unknown queue type": (
        BASE + "    type: quorums\n",
        6,
        "queues.emails.type",
        "must be one of quorum, classic, stream",
        "did you mean `quorum`?",
    ),
    "an unknown exchange type": (
        "version: 1\nexchanges:\n  a:\n    type: topics\n",
        4,
        "exchanges.a.type",
        "must be one of direct, topic, fanout, headers",
        "did you mean `topic`?",
    ),
    "a number for text": (
        BASE + "    bindings: [{exchange: tasks, routing_key: 17}]\n",
        6,
        "queues.emails.bindings[0].routing_key",
        "must be text, not a whole number",
        'Quote it: "17"',
    ),
    "text for a number": (
        BASE + '    max_length: "5"\n',
        6,
        "queues.emails.max_length",
        "must be a whole number, not text",
        None,
    ),
    "a fraction for a number": (
        BASE + "    max_length: 1.5\n",
        6,
        "queues.emails.max_length",
        "must be a whole number, not a fraction",
        None,
    ),
    "a truth for a number": (
        BASE + "    delivery_limit: true\n",
        6,
        "queues.emails.delivery_limit",
        "must be a whole number, not true or false",
        None,
    ),
    "text for a truth": (
        BASE + '    single_active_consumer: "yes"\n',
        6,
        "queues.emails.single_active_consumer",
        "must be true or false, not text",
        None,
    ),
    "no room at all": (BASE + "    max_length: 0\n", 6, "queues.emails.max_length", "must be at least 1", None),
    "too many priorities": (
        BASE + "    type: classic\n    max_priority: 256\n",
        7,
        "queues.emails.max_priority",
        "must be at most 255",
        None,
    ),
    "more priorities than a quorum queue has": (
        BASE + "    max_priority: 32\n",
        6,
        "queues.emails.max_priority",
        "0 to 31",
        "type: classic",
    ),
    "a delay that is no duration": (
        BASE + "    retry:\n      delays: [5s, 30 sec]\n",
        7,
        "queues.emails.retry.delays[1]",
        "`30 sec` is no duration",
        "1h 30m",
    ),
    "a delay without a unit": (
        BASE + "    retry: {delays: [5]}\n",
        6,
        "queues.emails.retry.delays[0]",
        "`5` is no duration",
        "Write a unit: `5s`",
    ),
    "a time of nothing": (
        BASE + "    message_ttl: 0s\n",
        6,
        "queues.emails.message_ttl",
        "longer than nothing",
        None,
    ),
    "a time over ten years": (
        BASE + "    message_ttl: 3651d\n",
        6,
        "queues.emails.message_ttl",
        "ten years",
        None,
    ),
    "no delays": (
        BASE + "    retry: {delays: []}\n",
        6,
        "queues.emails.retry.delays",
        "must be a list with something in it",
        None,
    ),
    "delays that are no list": (
        BASE + "    retry: {delays: 5s}\n",
        6,
        "queues.emails.retry.delays",
        "must be a list, not text",
        None,
    ),
    "delays and back-off": (
        BASE + "    retry:\n      delays: [5s]\n      backoff: exponential\n",
        8,
        "queues.emails.retry.backoff",
        "`delays` and `backoff`",
        "Keep one",
    ),
    "a retry that says nothing": (
        BASE + "    retry: {jitter: 10%}\n",
        6,
        "queues.emails.retry",
        "says not how to wait",
        "backoff: exponential",
    ),
    "first without back-off": (
        BASE + "    retry: {delays: [5s], first: 1s}\n",
        6,
        "queues.emails.retry.first",
        "belongs to `backoff`",
        None,
    ),
    "a first delay over the longest": (
        BASE + "    retry: {backoff: exponential, first: 20m}\n",
        6,
        "queues.emails.retry.first",
        "longer than `max`",
        None,
    ),
    "another back-off": (
        BASE + "    retry: {backoff: linear}\n",
        6,
        "queues.emails.retry.backoff",
        "must be one of exponential",
        None,
    ),
    "a jitter that is no percentage": (
        BASE + "    retry: {delays: [5s], jitter: 0.1}\n",
        6,
        "queues.emails.retry.jitter",
        "`0.1` is no percentage",
        "10%",
    ),
    "a jitter over everything": (
        BASE + "    retry: {delays: [5s], jitter: 110%}\n",
        6,
        "queues.emails.retry.jitter",
        "no percentage",
        None,
    ),
    "a delay beyond the ladder": (
        BASE + "    retry: {delays: [400d]}\n",
        6,
        "queues.emails.retry.delays[0]",
        "longest delay",
        None,
    ),
    "a delay beyond the file's own ladder": (
        BASE + "    retry: {delays: [2h]}\ndelays: {max: 1h}\n",
        6,
        "queues.emails.retry",
        "`delays.max`",
        "Raise",
    ),
    "a ladder that is too long": (BASE + "delays: {max: 400d}\n", 6, "delays.max", "398 days", None),
    "dead_letter: true": (
        BASE + "    dead_letter: true\n",
        6,
        "queues.emails.dead_letter",
        "neither `false` nor a mapping",
        "dead_letter: {ttl: 14d}",
    ),
    "a consumer time-out of a classic queue": (
        BASE + "    type: classic\n    consumer_timeout: 1h\n",
        7,
        "queues.emails.consumer_timeout",
        "a classic queue cannot have `consumer_timeout`",
        "quorum",
    ),
    "a retry of a stream": (
        BASE + "    type: stream\n    retry: {delays: [5s]}\n",
        7,
        "queues.emails.retry",
        "a stream cannot have `retry`",
        None,
    ),
    "a length of a stream": (
        BASE + "    type: stream\n    max_length: 5\n",
        7,
        "queues.emails.max_length",
        "a stream cannot have",
        "x-max-age",
    ),
    "an argument of another queue type": (
        BASE + "    arguments:\n      x-queue-mode: lazy\n",
        7,
        "queues.emails.arguments.x-queue-mode",
        "a quorum queue cannot have the argument `x-queue-mode`",
        "Only classic queues can",
    ),
    "an argument with a key of its own": (
        BASE + "    arguments: {x-delivery-limit: 3}\n",
        6,
        "queues.emails.arguments.x-delivery-limit",
        "key of its own",
        "`delivery_limit`",
    ),
    "a misspelt argument": (
        BASE + "    arguments: {x-expire: 3}\n",
        6,
        "queues.emails.arguments.x-expire",
        "unknown argument",
        "did you mean `x-expires`?",
    ),
    "an argument of the wrong type": (
        BASE + "    arguments: {x-expires: 5m}\n",
        6,
        "queues.emails.arguments.x-expires",
        "must be a whole number",
        None,
    ),
    "a binding without an exchange": (
        BASE + "    bindings:\n      - {routing_key: a}\n",
        7,
        "queues.emails.bindings[0]",
        "`exchange` is missing",
        "Add `exchange:`",
    ),
    "a binding to an exchange that is not there": (
        BASE + "    bindings:\n      - {exchange: task, routing_key: a}\n",
        7,
        "queues.emails.bindings[0].exchange",
        "there is no exchange `task`",
        "did you mean `tasks`?",
    ),
    "a binding of an exchange to one that is not there": (
        "version: 1\nexchanges:\n  a:\n    bindings: [{exchange: b}]\n",
        4,
        "exchanges.a.bindings[0].exchange",
        "there is no exchange `b`",
        "Declare it under `exchanges:`",
    ),
    "a binding to a topic without a key": (
        BASE + "    bindings: [{exchange: tasks}]\n",
        6,
        "queues.emails.bindings[0]",
        "needs a `routing_key`",
        'write ""',
    ),
    "three hashes": (
        BASE + '    bindings: [{exchange: tasks, routing_key: "#.a.#.b.#"}]\n',
        6,
        "queues.emails.bindings[0].routing_key",
        "more than two `#`",
        "4.3",
    ),
    "a routing key over 255 bytes": (
        BASE + f"    bindings: [{{exchange: tasks, routing_key: {'ä' * 128}}}]\n",
        6,
        "queues.emails.bindings[0].routing_key",
        "255 bytes",
        None,
    ),
    "a headers binding that compares in no known way": (
        "version: 1\nqueues:\n  a:\n    bindings:\n      - {exchange: amq.headers, arguments: {x-match: some}}\n",
        5,
        "queues.a.bindings[0].arguments.x-match",
        "all, any",
        None,
    ),
    "an alternate exchange that is not there": (
        "version: 1\nexchanges:\n  a: {alternate_exchange: b}\n",
        3,
        "exchanges.a.alternate_exchange",
        "there is no exchange `b`",
        None,
    ),
    "a reserved queue": (
        "version: 1\nqueues:\n  amqptasks.mine:\n",
        3,
        'queues."amqptasks.mine"',
        "belong to amqptasks",
        "another name",
    ),
    "a reserved exchange": (
        "version: 1\nexchanges:\n  amq.mine: {}\n",
        3,
        'exchanges."amq.mine"',
        "AMQP standard",
        "another name",
    ),
    "an empty name": ('version: 1\nqueues:\n  "": {}\n', 3, 'queues.""', "must not be empty", None),
    "a name over 255 bytes": (
        f"version: 1\nqueues:\n  {'q' * 256}:\n",
        3,
        f"queues.{'q' * 256}",
        "255 bytes",
        "shorter",
    ),
    "a name whose dead-letter queue is over 255 bytes": (
        f"version: 1\nqueues:\n  {'q' * 251}:\n",
        3,
        f"queues.{'q' * 251}",
        "generated from it",
        "shorter",
    ),
    "a queue named as a dead-letter queue": (
        "version: 1\nqueues:\n  emails:\n  emails.dead:\n",
        4,
        'queues."emails.dead"',
        "generated for the queue `emails`",
        "dead_letter: false",
    ),
    "a queue named as a due queue": (
        "version: 1\nqueues:\n  emails: {max_length: 5}\n  emails.due:\n",
        4,
        'queues."emails.due"',
        "generated for the queue `emails`",
        "Rename",
    ),
    "a default queue that is not there": (
        BASE + "default_queue: email\n",
        6,
        "default_queue",
        "there is no queue `email`",
        "did you mean `emails`?",
    ),
    "a route to a queue that is not there": (
        BASE + "routes:\n  shop.*:\n    queue: email\n",
        8,
        'routes."shop.*".queue',
        "there is no queue `email`",
        "did you mean `emails`?",
    ),
    "a route to an exchange that is not there": (
        BASE + "routes:\n  shop.a: {exchange: task, routing_key: a}\n",
        7,
        'routes."shop.a".exchange',
        "there is no exchange `task`",
        "did you mean `tasks`?",
    ),
    "a route that reaches no queue": (
        BASE
        + '    bindings: [{exchange: tasks, routing_key: "email.*"}]\n'
        + "routes:\n  a: {exchange: tasks, routing_key: email.send.now}\n",
        8,
        "routes.a",
        "reaches no queue: exchange `tasks` with routing key `email.send.now`",
        "email.*",
    ),
    "a route into an exchange without bindings": (
        BASE + "routes:\n  a: {exchange: tasks, routing_key: a}\n",
        7,
        "routes.a",
        "reaches no queue",
        "Nothing is bound there",
    ),
    "a route that goes round in a circle": (
        "version: 1\nexchanges:\n  a: {type: fanout, bindings: [{exchange: b}]}\n"
        "  b: {type: fanout, bindings: [{exchange: a}]}\nroutes:\n  t: {exchange: a}\n",
        6,
        "routes.t",
        "reaches no queue",
        None,
    ),
    "a route to an internal exchange": (
        "version: 1\nexchanges: {a: {type: fanout, internal: true}}\nqueues: {q: {bindings: [{exchange: a}]}}\n"
        "routes: {t: {exchange: a}}\n",
        4,
        "routes.t.exchange",
        "internal",
        "internal: true",
    ),
    "a route to a stream": (
        "version: 1\nqueues: {log: {type: stream}}\nroutes: {t: {queue: log}}\n",
        3,
        "routes.t.queue",
        "is a stream",
        None,
    ),
    "a route with queue and exchange": (
        BASE + "routes:\n  a: {exchange: tasks, queue: emails}\n",
        7,
        "routes.a.exchange",
        "a queue and an exchange",
        "Keep one",
    ),
    "a route with a key alone": (
        BASE + "routes:\n  a: {routing_key: x}\n",
        7,
        "routes.a.routing_key",
        "without an exchange",
        "exchange:",
    ),
    "a route that leads nowhere": (BASE + "routes:\n  a: {}\n", 7, "routes.a", "leads nowhere", "queue:"),
    "a route with a priority and no queue": (
        BASE + "routes:\n  a: {priority: 3}\n",
        7,
        "routes.a",
        "no default queue",
        "default_queue",
    ),
    "a route with too high a priority": (
        BASE + "routes:\n  a: {queue: emails, priority: 256}\n",
        7,
        "routes.a.priority",
        "at most 255",
        None,
    ),
    "a route that is text": (BASE + "routes:\n  a: emails\n", 7, "routes.a", "must be a mapping, not text", None),
    "a regular expression that is none": (
        BASE + "routes:\n  /shop.(a/: {queue: emails}\n",
        7,
        'routes."/shop.(a/"',
        "no regular expression",
        "slashes",
    ),
    "a variable that is not set": (
        BASE + "    max_length: ${NOWHERE}\n",
        6,
        "queues.emails.max_length",
        "environment variable NOWHERE is not set",
        "${NAME:-default}",
    ),
    "a variable without a name": (
        BASE + "vhost: a${}b\n",
        6,
        "vhost",
        "without a name",
        "$${",
    ),
    "an empty virtual host": (BASE + "vhost: ''\n", 6, "vhost", "something in it", None),
    "a virtual host that is a number": (BASE + "vhost: 5\n", 6, "vhost", "must be a name", None),
    "a password in the file": (
        BASE + "users:\n  api:\n    password: hunter2\n",
        8,
        "users.api.password",
        "does not belong into a file",
        "password_from: SHOP_PASSWORD",
    ),
    "a password in place of a variable's name": (
        BASE + "users:\n  api:\n    password_from: ${SECRET:-hunter-2}\n",
        8,
        "users.api.password_from",
        "must be the name of an environment variable",
        "SHOP_PASSWORD",
    ),
    "a misspelt tag": (
        BASE + "users:\n  api: {tags: [administator]}\n",
        7,
        "users.api.tags[0]",
        "`administator` is no tag",
        "did you mean `administrator`?",
    ),
    "a permission that is no expression": (
        BASE + "users:\n  api: {permissions: {write: 'a('}}\n",
        7,
        "users.api.permissions.write",
        "is no regular expression",
        "backslash",
    ),
    "a role and permissions": (
        BASE + "users:\n  api: {role: worker, permissions: {write: a}}\n",
        7,
        "users.api.permissions",
        "has a `role`",
        "Keep one",
    ),
    "a policy without a pattern": (
        BASE + "policies:\n  p: {definition: {max_length: 5}}\n",
        7,
        "policies.p",
        "`pattern` is missing",
        "Add `pattern:`",
    ),
    "a policy that sets nothing": (
        BASE + "policies:\n  p: {pattern: a, definition: {}}\n",
        7,
        "policies.p.definition",
        "sets nothing",
        "max_length",
    ),
    "a policy's key in the broker's spelling": (
        BASE + "policies:\n  p: {pattern: a, definition: {max-length: 5}}\n",
        7,
        "policies.p.definition.max-length",
        "unknown key",
        "did you mean `max_length`?",
    ),
    "a policy's argument with a key of its own": (
        BASE + "policies:\n  p: {pattern: a, definition: {arguments: {max-length: 5}}}\n",
        7,
        "policies.p.definition.arguments.max-length",
        "key of its own",
        "`max_length`",
    ),
    "a policy for exchanges that bounds queues": (
        BASE + "policies:\n  p: {pattern: a, apply_to: exchanges, definition: {max_length: 5}}\n",
        7,
        "policies.p.definition.max_length",
        "exchanges have no such thing",
        "apply_to: queues",
    ),
    "an operator's policy that sets a dead-letter exchange": (
        BASE + "operator_policies:\n  p: {pattern: a, definition: {dead_letter_exchange: x}}\n",
        7,
        "operator_policies.p.definition.dead_letter_exchange",
        "an operator policy cannot set it",
        "policies:",
    ),
    "a policy for what is neither queue nor exchange": (
        BASE + "policies:\n  p: {pattern: a, apply_to: quorum, definition: {max_length: 5}}\n",
        7,
        "policies.p.apply_to",
        "must be one of all, exchanges, queues",
        "did you mean",
    ),
    "a merge of what is no mapping": ("version: 1\nqueues:\n  a:\n    <<: 5\n", 4, "queues.a", "`<<`", None),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_with_file_line_path_problem_and_hint(name: str, tmp_path: Path):
    text, line, path, problem, hint = WRONG[name]
    file = tmp_path / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TopologyError) as caught:
        load(file, environment={})
    error = caught.value
    assert (error.file, error.line, error.path) == (str(file), line, path), str(error)
    assert problem in error.problem
    assert hint is None or hint in (error.hint or ""), error.hint
    assert "hunter" not in str(error), "a password is shown"
    assert str(error).startswith(f"{file}:{line}: " if line else f"{file}: ")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    with pytest.raises(TopologyError, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(TopologyError, match="directory"):
        load(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path):
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"version: 1\nvhost: \xe9\n")
    with pytest.raises(TopologyError) as caught:
        load(file)
    assert (caught.value.line, caught.value.problem) == (2, "is not UTF-8 text")


def test_a_file_that_nests_or_multiplies_without_end_is_refused(tmp_path: Path):
    deep = tmp_path / "deep.yaml"
    deep.write_text("version: " + "[" * 5000)
    with pytest.raises(TopologyError, match="nested too deeply"):
        load(deep)
    laughs = tmp_path / "laughs.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    laughs.write_text("version: 1\n" + "\n".join(lines))
    with pytest.raises(TopologyError, match="too many values"):
        load(laughs)


def test_what_a_variable_holds_is_never_shown(tmp_path: Path):
    file = tmp_path / "shop.yaml"
    for value in ("retry: {delays: ['${SECRET}']}", "max_length: ${SECRET}", "type: ${SECRET}", "arguments: ${SECRET}"):
        file.write_text(BASE + f"    {value}\n")
        with pytest.raises(TopologyError) as caught:
            load(file, environment={"SECRET": "hunter2"})
        assert "hunter2" not in str(caught.value), value
        assert caught.value.line == 6


def test_an_object_in_two_files_names_both_places(tmp_path: Path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nqueues:\n  emails:\n")
    two.write_text("version: 1\nqueues:\n  other:\n  emails:\n")
    with pytest.raises(TopologyError) as caught:
        load(one, two)
    assert (caught.value.file, caught.value.line, caught.value.path) == (str(two), 4, "queues.emails")
    assert f"{one}:3" in (caught.value.hint or "")


def test_a_problem_in_the_second_file_names_the_second_file(tmp_path: Path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nqueues: {emails: }\n")
    two.write_text("version: 1\nroutes:\n  a: {queue: email}\n")
    with pytest.raises(TopologyError) as caught:
        load(one, two)
    assert (caught.value.file, caught.value.line) == (str(two), 3)


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({}, "`version` is missing"),
        ({"version": 1, "queues": {1: {}}}, "must be text"),
        ({"version": 1, "queues": {"a": {"type": object()}}}, "must be one of"),
        ({"version": 1, "queues": {"a": {"retry": {"delays": [object()]}}}}, "is no duration"),
        ({"version": 1, "queues": {"a": {"max_length": 2**70}}}, "must be at most"),
        ({"version": 1, "vhost": "${NOWHERE}"}, "NOWHERE is not set"),
    ],
)
def test_a_wrong_mapping_is_refused_without_file_and_line(mapping: dict[str, object], problem: str):
    with pytest.raises(TopologyError) as caught:
        from_mapping(mapping, environment={})
    assert problem in caught.value.problem
    assert (caught.value.file, caught.value.line) == (None, None)
