"""The line of the log for the end of a task."""

from __future__ import annotations

import pytest

from amqptasks.messages.codec import Codec
from amqptasks.tasks.outcomes import Failure, Outcome, Reject, Retry
from amqptasks.untrusted.masks import Mask
from amqptasks.worker.job.settlement import settlement
from tests.unit.worker.jobs import WORKER, job

SAID = "no card=4111 for https://shop:hunter2@bank and {'password': 'hunter2'}"


@pytest.mark.parametrize(
    "outcome", [Failure(ValueError(SAID)), Retry(1.0, ValueError(SAID)), Reject("invalid-arguments", SAID)]
)
def test_the_log_of_a_task_hides_the_secrets_that_an_exception_names(
    outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "amqptasks.task")
    report = settlement(job(), outcome, WORKER, Codec(mask=Mask(["card"]))).report
    assert report is not None
    said = f"{report.sentence}\n{report.traceback}"
    assert "card=***" in said
    assert "hunter2" not in said
    assert "4111" not in said
