"""Clocks for tests: waiting takes no time."""

import threading
from datetime import UTC, datetime, timedelta


class SkippingClock:
    """Time that passes only when somebody waits, or by hand; safe for threads."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        self._lock = threading.Lock()
        self.slept = 0.0
        """Seconds that were waited in all."""

    def now(self) -> datetime:
        """The present."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        with self._lock:
            self._now += timedelta(seconds=max(0.0, seconds))
            self.slept += max(0.0, seconds)
