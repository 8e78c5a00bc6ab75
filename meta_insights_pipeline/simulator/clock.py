"""What time the simulated world believes it is.

Belongs here: sources of "now". Does not belong here: calendars of accounts (`days`) or waiting (the two doors).
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that tells an aware UTC time."""

    def now(self) -> datetime:
        """Return the present as an aware datetime in UTC."""
        ...


class WallClock:
    """Real time."""

    def now(self) -> datetime:
        """Return the real time in UTC."""
        return datetime.now(UTC)


class SimulatedClock:
    """A clock that stands still, or runs at `speed` simulated seconds a real second, and can be moved by hand."""

    def __init__(self, start: datetime, *, speed: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._speed = speed
        self._origin = _in_utc(start)
        self._mark = time.monotonic()

    def now(self) -> datetime:
        """Return the simulated time in UTC."""
        with self._lock:
            return self._now()

    def set(self, at: datetime) -> None:
        """Jump to `at`, which must carry a time zone."""
        with self._lock:
            self._origin = _in_utc(at)
            self._mark = time.monotonic()

    def advance(self, step: timedelta) -> None:
        """Move by `step`."""
        with self._lock:
            self._origin = self._now() + step
            self._mark = time.monotonic()

    def _now(self) -> datetime:
        if not self._speed:
            return self._origin
        return self._origin + timedelta(seconds=(time.monotonic() - self._mark) * self._speed)


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        msg = "a clock needs a datetime with a time zone"
        raise ValueError(msg)
    return at.astimezone(UTC)
