"""Moments as people and programs write them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, whole seconds, of seconds since the epoch."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def read_moment(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time or a date, in UTC where it names no zone. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.strip()[:64])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a date or time such as 2026-11-20 or 2026-11-20T10:30:00Z") from None
