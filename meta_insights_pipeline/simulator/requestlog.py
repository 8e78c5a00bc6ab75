"""What a simulator has been asked, for tests and for the control door.

Belongs here: records and counts. Does not belong here: secrets (tokens and proofs are left out of records).
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

_SECRETS = frozenset({"access_token", "appsecret_proof", "input_token", "batch"})
_KEPT = 10_000


@dataclass(frozen=True)
class RequestRecord:
    """One request and the status of its answer."""

    method: str
    path: str
    account: str
    kind: str
    params: Mapping[str, str]
    status: int


class RequestLog:
    """The last requests, and counts of all; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[RequestRecord] = deque(maxlen=_KEPT)
        self._counts: Counter[str] = Counter()

    def add(self, record: RequestRecord) -> None:
        """Note a request, without its secrets."""
        kept = {name: value for name, value in record.params.items() if name not in _SECRETS}
        with self._lock:
            self._records.append(replace(record, params=kept))
            self._counts[record.kind] += 1

    def count(self, kind: str | None = None) -> int:
        """Return how many requests of a kind, or of all kinds, there were."""
        with self._lock:
            return self._counts.total() if kind is None else self._counts[kind]

    def counts(self) -> dict[str, int]:
        """Return the number of requests by kind."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._records.clear()
            self._counts.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)

    def __iter__(self) -> Iterator[RequestRecord]:
        with self._lock:
            return iter(tuple(self._records))
