"""`publish_many` tells which calls of many were not sent, and never leaves a caller guessing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.errors import ConfigurationError, PartlyPublished, UnknownOption
from amqptasks.memory.registry import forget

URL = "memory://publish-many"


@pytest.fixture
def app() -> Iterator[App]:
    created = App("many", URL, ignore_result=True)
    created.task(name="one")(lambda value: value)
    yield created
    created.close()
    forget(URL)


def stored(app: App) -> int:
    with app.session() as session:
        state = session.queue_state("default")
    return 0 if state is None else state.messages


def test_one_call_that_cannot_be_sent_does_not_stop_the_others(app: App) -> None:
    with pytest.raises(PartlyPublished) as raised:
        app.tasks["one"].publish_many((object() if number == 450 else number,) for number in range(900))
    assert [position for position, _ in raised.value.failed] == [450]
    assert isinstance(raised.value.failed[0][1], ConfigurationError)
    assert raised.value.total == 900
    assert stored(app) == 899


def test_a_call_with_too_many_arguments_is_named_by_its_position(app: App) -> None:
    with pytest.raises(PartlyPublished) as raised:
        app.tasks["one"].publish_many([(1,), (1, 2), (3,)])
    assert [(position, type(error)) for position, error in raised.value.failed] == [(1, TypeError)]
    assert stored(app) == 2


def test_a_wrong_option_is_refused_before_anything_is_published(app: App) -> None:
    app.declare()
    with pytest.raises(UnknownOption, match="countdown"):
        app.tasks["one"].publish_many([(1,), (2,)], countdwn=5)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="task_id"):
        app.tasks["one"].publish_many([(1,), (2,)], task_id="same")
    assert stored(app) == 0


def test_progress_counts_every_call_once(app: App) -> None:
    seen: list[int] = []
    results = app.tasks["one"].publish_many(((number,) for number in range(777)), progress=seen.append)
    assert seen[-1] == 777
    assert seen == sorted(set(seen))
    assert len({result.id for result in results}) == 777
