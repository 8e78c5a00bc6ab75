"""Counting calls, so that a run can say what it spent."""

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CallCounts:
    """What was spent so far."""

    calls: dict[str, int] = field(default_factory=dict)
    """Calls by kind, each attempt counted, since Meta counts it too."""
    retries: int = 0
    throttled: int = 0
    waited_seconds: float = 0.0
    received_bytes: int = 0
    """Size of all answers after decompression."""
    highest_usage_percent: float | None = None
    """The fullest budget that any answer's headers showed."""

    @property
    def total(self) -> int:
        """All calls together."""
        return sum(self.calls.values())


class CallMeter:
    """Collects `CallCounts` from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._retries = 0
        self._throttled = 0
        self._waited = 0.0
        self._bytes = 0
        self._usage: float | None = None

    def called(self, kind: str) -> None:
        """A call of this kind goes out."""
        with self._lock:
            self._calls[kind] += 1

    def answered(self, size: int, usage_percent: float | None) -> None:
        """An answer came in."""
        with self._lock:
            self._bytes += size
            if usage_percent is not None:
                self._usage = max(usage_percent, self._usage or 0.0)

    def waits(self, seconds: float, *, throttled: bool) -> None:
        """A failed call is tried again after this long."""
        with self._lock:
            self._retries += 1
            self._throttled += throttled
            self._waited += seconds

    def counts(self) -> CallCounts:
        """What was spent so far."""
        with self._lock:
            return CallCounts(
                calls=dict(self._calls),
                retries=self._retries,
                throttled=self._throttled,
                waited_seconds=round(self._waited, 3),
                received_bytes=self._bytes,
                highest_usage_percent=self._usage,
            )
