"""Which sync was asked for with which Idempotency-Key, so that a request that is sent again starts nothing again.

Kept for a day in a file of its own. If it is lost, a repeated request may start its sync once more, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from meta_insights_pipeline.state import State

KEPT: timedelta = timedelta(days=1)
_DDL = """
CREATE TABLE IF NOT EXISTS sync_requests (
    principal TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True)
class Kept:
    """A request that was answered."""

    body: str
    """Digest of what was asked for."""
    answer: str
    """JSON."""


class IdempotencyKeys:
    """The keys of all principals, each of them with its own; safe for threads and processes."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        """Open the file, and make it if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._state = State(path)
        self._state.ensure([_DDL])

    def find(self, principal: str, key: str) -> Kept | None:
        """What was answered under a key within the last day."""
        oldest = (self._now() - KEPT).timestamp()
        rows = self._state.read(
            "SELECT body, answer FROM sync_requests WHERE principal = ? AND key = ? AND at > ?",
            (principal, key, oldest),
        )
        return Kept(*rows[0]) if rows else None

    def keep(self, principal: str, key: str, kept: Kept) -> None:
        """Note what is answered, and forget what is older than a day."""
        now = self._now()
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM sync_requests WHERE at <= ?", ((now - KEPT).timestamp(),))
            connection.execute(
                "INSERT OR REPLACE INTO sync_requests VALUES (?, ?, ?, ?, ?)",
                (principal, key, kept.body, kept.answer, now.timestamp()),
            )

    def close(self) -> None:
        """Close the file."""
        self._state.close()
