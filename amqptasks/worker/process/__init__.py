"""A process that runs tasks, when it begins and when it ends: a worker's own, and each child of a prefork pool."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from amqptasks import signals
from amqptasks.tasks import resources

if TYPE_CHECKING:
    from amqptasks.app.app import App


def begin(app: App) -> None:
    """Before its first task."""
    if signals.worker_process_init:
        signals.worker_process_init.send(app)


def end(app: App) -> None:
    """After its last task: what tasks hold open is closed."""
    if signals.worker_process_shutdown:
        signals.worker_process_shutdown.send(app, pid=os.getpid())
    resources.close_all()
