"""The receipt of a sync: what was asked for, what came, what it cost, what is missing. A value, and its file."""

import os
from datetime import date, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from meta_insights_pipeline.graph_api.meter import CallCounts


class TableReceipt(BaseModel):
    """What became of one table, in rows."""

    model_config = ConfigDict(frozen=True)

    read: int
    inserted: int
    updated: int
    unchanged: int
    removed: int


class Missing(BaseModel):
    """What could not be collected."""

    model_config = ConfigDict(frozen=True)

    report: str
    account_id: str
    since: date
    until: date
    reason: str


class Receipt(BaseModel):
    """The receipt of one sync."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    mode: str
    started_at: datetime
    finished_at: datetime
    since: date
    until: date
    levels: tuple[str, ...]
    accounts: tuple[str, ...]
    calls: dict[str, int]
    """Calls by kind, each attempt counted."""
    calls_total: int
    retries: int
    waited_seconds: float
    """Time spent waiting because Meta asked for it or failed."""
    received_bytes: int
    highest_usage_percent: float | None
    repeated_rows: int
    """Rows that came on two pages; stored once."""
    tables: dict[str, TableReceipt]
    missing: tuple[Missing, ...]
    warnings: tuple[str, ...]
    published: bool
    snapshot: str
    seconds: dict[str, float]
    """Time by stage."""

    @property
    def rows_read(self) -> int:
        """Rows of the reports, without the actions."""
        return sum(table.read for name, table in self.tables.items() if name.endswith("_insights"))

    @property
    def rows_written(self) -> int:
        """Rows of all tables that were inserted, updated or removed."""
        return sum(table.inserted + table.updated + table.removed for table in self.tables.values())

    def as_text(self) -> str:
        """For a person: what happened, table by table, and where the data is."""
        seconds = (self.finished_at - self.started_at).total_seconds()
        lines = [
            f"{self.since} to {self.until}, {len(self.accounts)} accounts, {self.calls_total} calls, {seconds:.1f} s",
            "",
            f"{'table':<20}{'read':>10}{'new':>10}{'changed':>10}{'unchanged':>11}{'removed':>9}",
        ]
        lines += [
            f"{name:<20}{table.read:>10,}{table.inserted:>10,}{table.updated:>10,}{table.unchanged:>11,}{table.removed:>9,}"
            for name, table in self.tables.items()
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += ["", f"Data for readers: {self.snapshot}"]
        return "\n".join(lines)

    def save(self, folder: Path) -> Path:
        """Write it below a folder, whole or not at all, and say where."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.run_id}.json"
        draft = file.with_suffix(f".draft-{os.getpid()}")
        draft.write_text(self.model_dump_json(indent=2) + "\n", "utf-8")
        draft.replace(file)
        return file


def call_fields(counts: CallCounts) -> dict[str, object]:
    """What a receipt takes from the counts of the client."""
    return {
        "calls": counts.calls,
        "calls_total": counts.total,
        "retries": counts.retries,
        "waited_seconds": counts.waited_seconds,
        "received_bytes": counts.received_bytes,
        "highest_usage_percent": counts.highest_usage_percent,
    }
