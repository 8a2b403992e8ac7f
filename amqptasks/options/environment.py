"""Variables of the environment that change what amqptasks does, and how they are read."""

from __future__ import annotations

import difflib
import os

from amqptasks.errors import UnknownOption
from amqptasks.options.catalogue import Option
from amqptasks.options.check import checked
from amqptasks.options.kinds import Addresses, Secret

BROKER_URL = "AMQPTASKS_BROKER_URL"
RESULT_BACKEND = "AMQPTASKS_RESULT_BACKEND"
MANAGEMENT_URL = "AMQPTASKS_MANAGEMENT_URL"
SIGNING_KEYS = "AMQPTASKS_SIGNING_KEYS"

#: Names of schemes of a broker's address, and AMQP's own for each: those of kombu's transports, and what users of
#: RabbitMQ write elsewhere.
SCHEMES = {
    "amqp": "amqp",
    "amqps": "amqps",
    "memory": "memory",
    "pyamqp": "amqp",
    "librabbitmq": "amqp",
    "rabbitmq": "amqp",
    "pyamqps": "amqps",
    "rabbitmqs": "amqps",
    "amqp+ssl": "amqps",
    "amqp+tls": "amqps",
}

ENVIRONMENT: dict[str, Option] = {
    BROKER_URL: Option(
        Addresses(tuple(SCHEMES), several=True),
        "the app's `broker`",
        "the broker's addresses, before the app's own, but for `memory://`",
    ),
    RESULT_BACKEND: Option(
        Secret("an address, as stream:// or sqlite:///results.db"),
        "the app's `backend`",
        "where results are kept, before the app's own, but for `memory://`; `--backend` comes first",
    ),
    MANAGEMENT_URL: Option(
        Addresses(("http", "https")),
        "the broker's host, port 15672; of amqps:// 15671, https",
        "where RabbitMQ's management API is; `--management` comes first",
    ),
    SIGNING_KEYS: Option(
        Secret("KEY=SECRET, several with ; between"),
        "none",
        "keys for `Signing.from_environment`, the first one signs",
    ),
}

#: How alike two names are, without what they begin with, for one to be the other misspelt: `BROKER_ULR` is
#: `BROKER_URL`, and `TEST_BROKER_URL` is not.
ALIKE = 0.88

_PREFIX = "AMQPTASKS_"


def variable(name: str) -> str | None:
    """The variable's text; None where it is not set, or empty. Raises `ConfigurationError` for a text that it does not
    take, and `UnknownOption` where it is not set and a misspelt one is: what was set would have no effect."""
    text = os.environ.get(name)
    if text:
        if name in ENVIRONMENT:  # somebody's own name, for keys, is checked where they are read
            checked({name: text}, ENVIRONMENT, "the environment")
        return text
    misspelt = _misspelt(name)
    if misspelt is not None:
        raise UnknownOption(f"the environment has no option {misspelt!r}; did you mean {name!r}?")
    return None


def _misspelt(name: str) -> str | None:
    ours = name.removeprefix(_PREFIX)
    others = [
        given.upper().removeprefix(_PREFIX)
        for given in os.environ
        if given not in ENVIRONMENT and given.upper().startswith(_PREFIX)
    ]
    close = difflib.get_close_matches(ours, others, n=1, cutoff=ALIKE)
    if not close:
        return None
    return next(given for given in os.environ if given.upper() == _PREFIX + close[0])
