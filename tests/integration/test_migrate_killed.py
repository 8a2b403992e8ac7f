"""A queue is replaced while it is in use, by processes that are killed at every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.migrating import KILLED, label, migrate_until
from tests.harness.vhost import Broker, Vhost
from tests.harness.wait import wait_for
from tests.integration.moving import Load, place

#: Messages a second that are published throughout, and the fewest that a busy machine must reach of them.
RATE, FLOOR = 500, 250


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_every_single_step_under_500_messages_a_second_nothing_is_lost(
    vhost: Vhost, broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """First unharmed, there and back, to measure and to learn the steps; then killed at each of them, one after
    another, while tasks are published and run all the time."""
    management_url = broker.management_url
    with place(vhost, broker, tmp_path, "type: classic") as here, here.worker_app.worker(["emails"]):
        forms = [here.write("new", "type: quorum"), here.old]
        with Load(here, RATE) as load:
            wait_for(lambda: len(here.ran) > RATE)
            steps: dict[str, None] = {}
            counts = [here.migrate(form, lambda event: steps.setdefault(label(event))) for form in forms]
            measured, load.slowest = load.slowest, 0.0
            killed: set[str] = set()
            for number, step in enumerate(steps):
                # What the last kill left may be past this step; then the run ends well, and one the other way comes by.
                for way in (number, number + 1, number + 2):
                    if migrate_until(step, vhost.url, management_url, forms[way % 2], "emails") == KILLED:
                        killed.add(step)
                        break
            assert migrate_until(None, vhost.url, management_url, forms[0], "emails") == 0
            assert here.type() == "quorum"
            here.check_clean()
        load.wait_run(60)
    twice = sum(times - 1 for times in here.ran.values())
    with capsys.disabled():
        print(f"\n{broker.version}: {counts}")
        print(f"slowest publish {measured:.3f} s unharmed, {load.slowest:.3f} s with {len(killed)} kills")
        print(f"{load.achieved:.0f} a second, {len(load.sent)} sent, {len(load.failed)} failed, {twice} ran twice")
    assert load.failed == []
    assert killed == set(steps)
    assert load.achieved >= FLOOR
