"""The receipt of a sync: what was asked for, what came, what it cost, what is missing. A value, and its file."""

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
    kind: str = "failed"
    """`deferred`: picked up by itself at `retry_at`; `failed`: asked for again then; `refused`: the account is closed to us;
    `unavailable`: Meta does not give it."""
    retry_at: datetime | None = None


class Refused(BaseModel):
    """An account of which something cannot be had."""

    model_config = ConfigDict(frozen=True)

    account_id: str
    reason: str


class NotRefreshed(BaseModel):
    """An account whose campaigns, ad sets and ads are not all up to date; the next sync that refreshes them goes on."""

    model_config = ConfigDict(frozen=True)

    account_id: str
    reason: str


class Withheld(BaseModel):
    """A field that Meta would not give for a report of an account; its values are NULL."""

    model_config = ConfigDict(frozen=True)

    report: str
    account_id: str
    field: str
    reason: str


class Reconciled(BaseModel):
    """What comparing the levels with the accounts' totals came to; one comparison an account, day, level and metric."""

    model_config = ConfigDict(frozen=True)

    compared: int = 0
    equal: int = 0
    explained: int = 0
    incomplete: int = 0
    unexplained: int = 0


class Sighted(BaseModel):
    """Something that Meta sends and that was not there before; it is stored."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """`field`, `window`, `action_key`, `action`, `value`: no column takes it; `action_type`; `left_out`: too large to be kept."""
    report: str
    account_id: str
    name: str
    example: str | None
    text: str
    """One sentence, with where it is kept."""


class Receipt(BaseModel):
    """The receipt of one sync."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    mode: str
    state: str
    """`complete`, `partial` (something is missing and picked up later) or `failed`."""
    started_at: datetime
    finished_at: datetime
    since: date
    until: date
    levels: tuple[str, ...]
    accounts: tuple[str, ...]
    planned_calls: dict[str, int]
    """Calls by kind that the plan expected before the first report was asked for."""
    planned_calls_total: int
    calls: dict[str, int]
    """Calls by kind, each attempt counted."""
    calls_total: int
    requests: int
    """HTTP requests; a batch is one request with many calls."""
    retries: int
    waited_seconds: float
    """Time spent waiting because Meta asked for it or failed."""
    received_bytes: int
    highest_usage_percent: float | None
    repeated_rows: int
    """Rows that came on two pages; stored once."""
    tables: dict[str, TableReceipt]
    missing: tuple[Missing, ...]
    refused: tuple[Refused, ...]
    """Accounts that are not ours to read."""
    withheld: tuple[Withheld, ...]
    not_refreshed: tuple[NotRefreshed, ...] = ()
    """Accounts of which the campaigns, ad sets and ads should have been brought up to date, and were not."""
    reconciliation: Reconciled = Reconciled()
    drift: tuple[Sighted, ...] = ()
    """What this sync saw for the first time."""
    version_warnings: tuple[str, ...]
    """What answers said of the API's version, when another one answered or its end is announced."""
    warnings: tuple[str, ...]
    """Everything that a person should know, `version_warnings` among it."""
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
        cost = f"{self.calls_total} calls ({self.planned_calls_total} planned), {seconds:.1f} s"
        lines = [
            f"{self.since} to {self.until}, {len(self.accounts)} accounts, {cost}",
            "",
            f"{'table':<20}{'read':>10}{'new':>10}{'changed':>10}{'unchanged':>11}{'removed':>9}",
        ]
        lines += [
            f"{name:<20}{table.read:>10,}{table.inserted:>10,}{table.updated:>10,}{table.unchanged:>11,}{table.removed:>9,}"
            for name, table in self.tables.items()
        ]
        if self.reconciliation.compared:
            lines += ["", self._reconciliation_text()]
        lines += [f"left out: act_{account.account_id}: {account.reason}" for account in self.refused]
        lines += [f"without {one.field}: {one.report} of act_{one.account_id}: {one.reason}" for one in self.withheld]
        lines += [f"new: {one.text}" for one in self.drift]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += ["", f"Data for readers: {self.snapshot}"]
        return "\n".join(lines)

    def _reconciliation_text(self) -> str:
        found = self.reconciliation
        text = f"{found.equal + found.explained:,} of {found.compared:,} sums are reconciled with the account's totals"
        return text + (f"; {found.unexplained:,} residuals are unexplained" if found.unexplained else "")

    def missing_text(self) -> str:
        """What is missing and when it is asked for again, one sentence a part."""
        parts = [
            f"{gap.report} of act_{gap.account_id}, {gap.since} to {gap.until}: {gap.reason}"
            + (f" It is due again at {gap.retry_at:%Y-%m-%d %H:%M} UTC." if gap.retry_at else "")
            for gap in self.missing
        ]
        parts += [
            f"Campaigns, ad sets and ads of act_{one.account_id}: {one.reason} The next sync goes on with them."
            for one in self.not_refreshed
        ]
        more = f" And {len(parts) - 3} more, see the receipt." if len(parts) > 3 else ""
        what = "stored and published" if self.published else "stored, the last published snapshot stays"
        return f"{len(parts)} parts could not be collected; what came is {what}. " + " ".join(parts[:3]) + more

    def save(self, folder: Path) -> Path:
        """Write it below a folder, whole or not at all, and say where."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.run_id}.json"
        draft = folder / f"{self.run_id}.draft"
        try:
            draft.write_text(self.model_dump_json(indent=2) + "\n", "utf-8")
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        return file


def call_fields(counts: CallCounts) -> dict[str, object]:
    """What a receipt takes from the counts of the client."""
    return {
        "calls": counts.calls,
        "calls_total": counts.total,
        "requests": counts.requests,
        "retries": counts.retries,
        "waited_seconds": counts.waited_seconds,
        "received_bytes": counts.received_bytes,
        "highest_usage_percent": counts.highest_usage_percent,
    }
