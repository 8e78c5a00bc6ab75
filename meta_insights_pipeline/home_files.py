"""Small files below the home by which a sync tells others what it found: the accounts, and what is missing.

They are copies of what the warehouse knows, for whoever must decide without opening it: the schedule and the sensors.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from meta_insights_pipeline.collector.accounts import AdAccount


class AccountBook:
    """The accounts of the last sync: their zones tell a schedule which days to ask for, without a call."""

    def __init__(self, home: Path) -> None:
        self._file = home / "accounts.json"

    def save(self, accounts: Sequence[AdAccount]) -> None:
        """Write them down, whole or not at all."""
        _write(self._file, [asdict(account) for account in accounts])

    def accounts(self) -> tuple[AdAccount, ...]:
        """The accounts; empty when no sync has been."""
        rows = _read(self._file)
        try:
            return tuple(AdAccount(**row) for row in rows)
        except TypeError:
            return ()

    def zones(self) -> tuple[str, ...]:
        """Their time zones; empty when no sync has been."""
        return tuple(sorted({account.timezone_name for account in self.accounts()}))


@dataclass(frozen=True)
class MissingPart:
    """Days of a report of an account that could not be had so far."""

    report: str
    account_id: str
    since: date
    until: date
    reason: str
    kind: str
    """`deferred`: picked up at `retry_at`; `failed`: tried again then; `refused`: the account is not ours to read;
    `unavailable`: Meta does not give it."""
    retry_at: datetime | None


class MissingBook:
    """What is missing in the warehouse, and when it is worth asking again."""

    def __init__(self, home: Path) -> None:
        self._file = home / "missing.json"

    def save(self, parts: Sequence[MissingPart]) -> None:
        """Write it down, whole or not at all."""
        rows = [{name: _text(value) for name, value in asdict(part).items()} for part in parts]
        if rows or self._file.exists():
            _write(self._file, rows)

    def parts(self) -> tuple[MissingPart, ...]:
        """Everything that is missing."""
        return tuple(_part(row) for row in _read(self._file))

    def due(self, now: datetime) -> tuple[MissingPart, ...]:
        """What is worth asking for at a moment."""
        return tuple(part for part in self.parts() if part.retry_at is not None and part.retry_at <= now)


def _part(row: Mapping[str, Any]) -> MissingPart:
    return MissingPart(
        report=row["report"],
        account_id=row["account_id"],
        since=date.fromisoformat(row["since"]),
        until=date.fromisoformat(row["until"]),
        reason=row["reason"],
        kind=row["kind"],
        retry_at=datetime.fromisoformat(row["retry_at"]) if row["retry_at"] else None,
    )


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _write(file: Path, rows: object) -> None:
    # Two syncs that end at once share the draft.
    with FileLock(file.with_name(".books.lock")):
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(rows, indent=1), "utf-8")
        draft.replace(file)


def _read(file: Path) -> list[Any]:
    try:
        rows = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return rows if isinstance(rows, list) else []
