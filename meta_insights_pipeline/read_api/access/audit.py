"""The audit log: who asked for which sync, and who made or revoked a key. Entries are added and never changed."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.read_api.access.access_file import AccessFile

SYNC: Final = "sync"
KEY_CREATED: Final = "key created"
KEY_REVOKED: Final = "key revoked"

DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"


@dataclass(frozen=True)
class AuditEntry:
    """One thing that somebody did or asked for."""

    at: datetime
    """Aware, in UTC."""
    principal: str
    """`key:<id>`, `token:<sub>`, `open:local`, or `user:<name>` for a user of this machine."""
    action: str
    """`sync`, `key created` or `key revoked`."""
    outcome: str
    """`asked` (of a sync, before it is launched), `done`, `refused` or `failed`."""
    details: Mapping[str, Any]
    """What exactly, as JSON; never a secret."""
    request_id: str | None = None
    """None for what was done on the command line."""


class AuditLog:
    """The log in the file of the keys."""

    def __init__(self, file: AccessFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def record(
        self,
        principal: str,
        action: str,
        outcome: str,
        details: Mapping[str, Any],
        request_id: str | None = None,
    ) -> None:
        """Add an entry; it is on disk when this returns.

        Args:
            principal: Who, as `Principal.label` says it.
            action: What, like `SYNC`.
            outcome: `DONE`, `REFUSED` or `FAILED`.
            details: What exactly, as far as JSON can hold it; never a secret.
            request_id: Id of the HTTP request.

        Raises:
            AccessFileError: It cannot be written; then what is to be recorded should not be done.
        """
        with self._file.transaction() as connection:
            add_entry(connection, AuditEntry(self._clock.now(), principal, action, outcome, dict(details), request_id))

    def newest(self, count: int) -> list[AuditEntry]:
        """The last so many entries, the newest last."""
        rows = self._file.read(
            "SELECT at, principal, action, outcome, details, request_id FROM audit ORDER BY number DESC LIMIT ?",
            (count,),
        )
        return [
            AuditEntry(datetime.fromisoformat(at), principal, action, outcome, json.loads(details), request_id)
            for at, principal, action, outcome, details, request_id in reversed(rows)
        ]


def add_entry(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """Add an entry within a transaction, so that it is kept exactly if what it tells of is."""
    connection.execute(
        "INSERT INTO audit (at, request_id, principal, action, details, outcome) VALUES (?, ?, ?, ?, ?, ?)",
        (
            entry.at.isoformat(timespec="milliseconds"),
            entry.request_id,
            entry.principal,
            entry.action,
            json.dumps(entry.details, ensure_ascii=False, default=str),
            entry.outcome,
        ),
    )
