"""Moments: a time without a zone is taken as UTC, everywhere."""

from __future__ import annotations

from datetime import UTC, datetime


def aware(moment: datetime) -> datetime:
    """The same moment with a zone."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
