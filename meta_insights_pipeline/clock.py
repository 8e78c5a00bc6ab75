"""What time it is, and waiting: handed to whoever needs them, so that a test need not wait."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> datetime:
        """The present, aware and in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds; at once for 0 or less."""
        ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """The present, aware and in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds; at once for 0 or less."""
        time.sleep(max(0.0, seconds))
