"""A queue is replaced while it is in use, by processes that are killed at every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.migrating import KILLED, label, migrate_until
from tests.harness.vhost import Broker, Vhost
from tests.harness.wait import wait_for
from tests.integration.moving import Load, place


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_every_single_step_under_500_messages_a_second_nothing_is_lost(
    vhost: Vhost, broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """First unharmed, to measure and to learn the steps; then killed at each of them, one after another, while tasks
    are published and run all the time."""
    management_url = broker.management_url
    with place(vhost, broker, tmp_path, "type: classic") as here, here.worker_app.worker(["emails"]):
        with Load(here, 500) as load:
            wait_for(lambda: len(here.ran) > 500)
            steps: dict[str, None] = {}
            counts = here.migrate(here.write("new", "type: quorum"), lambda event: steps.setdefault(label(event)))
            measured, load.slowest = load.slowest, 0.0
            forms = [here.old, here.folder / "new.yaml"]
            killed = 0
            for number, step in enumerate(steps):
                wanted = forms[number % 2]
                killed += migrate_until(step, vhost.url, management_url, wanted, "emails") == KILLED
                if number % 4 > 1:
                    assert migrate_until(None, vhost.url, management_url, wanted, "emails") == 0
            assert migrate_until(None, vhost.url, management_url, forms[1], "emails") == 0
            assert here.type() == "quorum"
            here.check_clean()
        load.wait_run(60)
    twice = sum(times - 1 for times in here.ran.values())
    with capsys.disabled():
        print(f"\n{broker.version}: {counts}")
        print(f"slowest publish {measured:.3f} s unharmed, {load.slowest:.3f} s with {killed} kills of {len(steps)}")
        print(f"{len(load.sent)} sent, {len(load.failed)} failed, {twice} ran twice")
    assert load.failed == []
    assert killed > 20
