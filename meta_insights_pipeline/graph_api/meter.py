"""Counting calls, so that a run can say what it spent."""

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CallCounts:
    """What was spent so far."""

    calls: dict[str, int] = field(default_factory=dict)
    """Calls by kind, each attempt counted, since Meta counts it too."""
    requests: int = 0
    """HTTP requests; a batch is one, however many calls it holds."""
    retries: int = 0
    throttled: int = 0
    waited_seconds: float = 0.0
    """Before further attempts, and for room in Meta's budgets."""
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
        self._requests = 0
        self._retries = 0
        self._throttled = 0
        self._waited = 0.0
        self._bytes = 0
        self._usage: float | None = None

    def called(self, kind: str, calls: int = 1) -> None:
        """A request with so many calls of this kind goes out."""
        with self._lock:
            self._calls[kind] += calls
            self._requests += 1

    def received(self, size: int) -> None:
        """An answer of so many bytes came in."""
        with self._lock:
            self._bytes += size

    def used(self, percent: float | None) -> None:
        """An answer's headers showed this usage of the fullest budget; None when they showed none."""
        if percent is None:
            return
        with self._lock:
            self._usage = percent if self._usage is None else max(percent, self._usage)

    def waits(self, seconds: float, *, throttled: bool) -> None:
        """A failed call is tried again after this long."""
        with self._lock:
            self._retries += 1
            self._throttled += throttled
            self._waited += seconds

    def paused(self, seconds: float) -> None:
        """A call begins this much later, since a budget is nearly spent."""
        with self._lock:
            self._waited += seconds

    def counts(self) -> CallCounts:
        """What was spent so far."""
        with self._lock:
            return CallCounts(
                calls=dict(self._calls),
                requests=self._requests,
                retries=self._retries,
                throttled=self._throttled,
                waited_seconds=round(self._waited, 3),
                received_bytes=self._bytes,
                highest_usage_percent=self._usage,
            )
