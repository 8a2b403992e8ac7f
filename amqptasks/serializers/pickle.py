"""Python's pickle: any object, and any code. Whoever can publish to the queue of a worker that accepts it can run what
they like there. https://docs.python.org/3/library/pickle.html"""

from __future__ import annotations

import pickle

from amqptasks.serializers import Serializer


def encode(value: object) -> bytes:
    return pickle.dumps(value)


SERIALIZER = Serializer("pickle", encode, pickle.loads, "application/x-python-serialize", "binary")
