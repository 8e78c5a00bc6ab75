"""The receipt of a sync: what was asked for, what came, what it cost, what is missing. A value, and its file."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from meta_insights_pipeline.graph_api.meter import CallCounts

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_ACCOUNT: Final = "Id of the ad account, without the prefix act_."
_ACCOUNT_EXAMPLE: Final = "1010101010"


class TableReceipt(BaseModel):
    """What became of one table, in rows."""

    model_config = ConfigDict(frozen=True)

    read: int = Field(description="Rows that came.", examples=[420])
    inserted: int = Field(description="Rows that were new.", examples=[20])
    updated: int = Field(description="Rows that changed.", examples=[35])
    unchanged: int = Field(description="Rows that were as before.", examples=[365])
    removed: int = Field(description="Rows that are gone.", examples=[0])


class Missing(BaseModel):
    """What could not be collected."""

    model_config = ConfigDict(frozen=True)

    report: str = Field(description="The table that lacks it.", examples=["ad_insights"])
    account_id: str = Field(description=_ACCOUNT, examples=[_ACCOUNT_EXAMPLE])
    since: date = Field(description="First day that lacks.", examples=["2026-11-01"])
    until: date = Field(description="Last day that lacks.", examples=["2026-11-01"])
    reason: str = Field(description="Why, as a sentence.", examples=["The limit of calls is reached."])
    kind: str = Field(
        "failed",
        description="`deferred`: picked up by itself at `retry_at`; `failed`: asked for again then; `refused`: the account is "
        "closed to us; `unavailable`: Meta does not give it.",
        examples=["deferred"],
    )
    retry_at: datetime | None = Field(
        None,
        description="When it is asked for again by itself; null when it is not. UTC.",
        examples=["2026-11-02T07:00:00Z"],
        json_schema_extra={"x-unit": "UTC"},
    )


class Refused(BaseModel):
    """An account of which something cannot be had."""

    model_config = ConfigDict(frozen=True)

    account_id: str = Field(description=_ACCOUNT, examples=[_ACCOUNT_EXAMPLE])
    reason: str = Field(description="Why, as a sentence.", examples=["The account is closed."])


class NotRefreshed(BaseModel):
    """An account whose campaigns, ad sets and ads are not all up to date; the next sync that refreshes them goes on."""

    model_config = ConfigDict(frozen=True)

    account_id: str = Field(description=_ACCOUNT, examples=[_ACCOUNT_EXAMPLE])
    reason: str = Field(description="Why, as a sentence.", examples=["The limit of calls is reached."])


class Withheld(BaseModel):
    """A field that Meta would not give for a report of an account; its values are NULL."""

    model_config = ConfigDict(frozen=True)

    report: str = Field(description="The table of the rows.", examples=["ad_insights"])
    account_id: str = Field(description=_ACCOUNT, examples=[_ACCOUNT_EXAMPLE])
    field: str = Field(description="Name of the field.", examples=["action_values"])
    reason: str = Field(description="Why, as a sentence.", examples=["Meta gave it for some rows only."])


class Reconciled(BaseModel):
    """What comparing the levels with the accounts' totals came to; one comparison an account, day, level and metric."""

    model_config = ConfigDict(frozen=True)

    compared: int = Field(0, description="Comparisons in all.", examples=[120])
    equal: int = Field(0, description="Those in which both sides were equal.", examples=[116])
    explained: int = Field(0, description="Those whose difference is explained.", examples=[3])
    incomplete: int = Field(0, description="Those of which a side is not there.", examples=[1])
    unexplained: int = Field(0, description="Those whose difference is not explained.", examples=[0])


class Sighted(BaseModel):
    """Something that Meta sends and that was not there before; it is stored."""

    model_config = ConfigDict(frozen=True)

    kind: str = Field(
        description="`field`, `window`, `action_key`, `action`, `value`: no column takes it; `action_type`; `left_out`: too "
        "large to be kept.",
        examples=["field"],
    )
    report: str = Field(description="The report that it came with.", examples=["ad_insights"])
    account_id: str = Field(description=_ACCOUNT, examples=[_ACCOUNT_EXAMPLE])
    name: str = Field(description="What it is called.", examples=["quality_score"])
    example: str | None = Field(description="A value of it; null when it has none.", examples=["7"])
    text: str = Field(description="One sentence, with where it is kept.", examples=["It is kept in other_fields."])


class Receipt(BaseModel):
    """The receipt of one sync."""

    model_config = ConfigDict(frozen=True)

    run_id: str = Field(
        description="Id of the run, also in Dagster.", examples=["3f0c2b9e-8a51-4e0f-9d2b-0a8a1c6f7e11"]
    )
    mode: str = Field(description="stub or live.", examples=["live"])
    state: str = Field(
        description="`complete`, `partial` (something is missing and picked up later) or `failed`.",
        examples=["complete"],
    )
    error: str | None = Field(
        None,
        description="One sentence on why nothing could be collected or stored at all; null when something was.",
        examples=[None],
    )
    started_at: datetime = Field(
        description="When it began. UTC.", examples=["2026-11-02T06:30:00Z"], json_schema_extra={"x-unit": "UTC"}
    )
    finished_at: datetime = Field(
        description="When it ended. UTC.", examples=["2026-11-02T06:30:41Z"], json_schema_extra={"x-unit": "UTC"}
    )
    since: date = Field(description="First account day that was asked for.", examples=["2026-11-01"])
    until: date = Field(description="Last account day that was asked for.", examples=["2026-11-02"])
    levels: tuple[str, ...] = Field(
        description="The levels that were asked for; empty when entities alone were.",
        examples=[["account", "campaign"]],
    )
    accounts: tuple[str, ...] = Field(
        description="Ids of the ad accounts that were asked, without the prefix act_.", examples=[[_ACCOUNT_EXAMPLE]]
    )
    planned_calls: dict[str, int] = Field(
        description="Calls by kind that the plan expected before the first report was asked for.",
        examples=[{"insights": 8}],
    )
    planned_calls_total: int = Field(description="Sum of `planned_calls`.", examples=[8])
    calls: dict[str, int] = Field(description="Calls by kind, each attempt counted.", examples=[{"insights": 9}])
    calls_total: int = Field(description="Sum of `calls`.", examples=[9])
    requests: int = Field(description="HTTP requests; a batch is one request with many calls.", examples=[9])
    retries: int = Field(description="Calls that were made again after an error.", examples=[1])
    waited_seconds: float = Field(
        description="Time spent waiting because Meta asked for it or failed, over all threads. In seconds.",
        examples=[0.5],
        json_schema_extra={"x-unit": "seconds"},
    )
    received_bytes: int = Field(
        description="Size of all answers, after decompression. In bytes.",
        examples=[48213],
        json_schema_extra={"x-unit": "bytes"},
    )
    highest_usage_percent: float | None = Field(
        description="The fullest call budget that any answer told of; null when none did. In percent.",
        examples=[12.5],
        json_schema_extra={"x-unit": "percent"},
    )
    repeated_rows: int = Field(description="Rows that came on two pages; stored once.", examples=[0])
    tables: dict[str, TableReceipt] = Field(
        description="Rows by table.",
        examples=[{"ad_insights": {"read": 420, "inserted": 20, "updated": 35, "unchanged": 365, "removed": 0}}],
    )
    missing: tuple[Missing, ...] = Field(description="What could not be collected.", examples=[[]])
    refused: tuple[Refused, ...] = Field(description="Accounts that are not ours to read.", examples=[[]])
    withheld: tuple[Withheld, ...] = Field(description="Fields that Meta would not give.", examples=[[]])
    not_refreshed: tuple[NotRefreshed, ...] = Field(
        (),
        description="Accounts whose campaigns, ad sets and ads were due and are not all up to date; the next sync goes on.",
        examples=[[]],
    )
    reconciliation: Reconciled = Field(
        Reconciled(),
        description="Whether the levels add up to their accounts.",
        examples=[{"compared": 120, "equal": 120}],
    )
    drift: tuple[Sighted, ...] = Field((), description="What this sync saw for the first time.", examples=[[]])
    version_warnings: tuple[str, ...] = Field(
        description="What answers said of the API's version, when another one answered or its end is announced.",
        examples=[[]],
    )
    warnings: tuple[str, ...] = Field(
        description="Everything that a person should know, `version_warnings` among it.", examples=[[]]
    )
    published: bool = Field(description="Whether readers got a new snapshot.", examples=[True])
    snapshot: str = Field(description="The readers' file.", examples=["meta_insights.duckdb"])
    seconds: dict[str, float] = Field(
        description="Time by stage. In seconds.", examples=[{"merge": 0.4}], json_schema_extra={"x-unit": "seconds"}
    )

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
        """Why nothing was collected; or what is missing and when it is asked for again, one sentence a part."""
        if self.error is not None:
            return self.error
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
        """Write it below a folder, whole or not at all, and say where. The time of the file is when the sync ended."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.run_id}.json"
        draft = folder / f"{self.run_id}.draft"
        try:
            draft.write_text(self.model_dump_json(indent=2) + "\n", "utf-8")
            # By it the newest are found without opening all.
            os.utime(draft, ns=(nanoseconds(self.finished_at),) * 2)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        return file


def nanoseconds(moment: datetime) -> int:
    """Since 1970, as times of files are told; exact to the microsecond."""
    return int((moment - _EPOCH) / timedelta(microseconds=1)) * 1000


def failed_receipt(
    *,
    run_id: str,
    mode: str,
    error: str,
    started_at: datetime,
    finished_at: datetime,
    since: date,
    until: date,
    levels: Sequence[str],
    accounts: Sequence[str],
    counts: CallCounts | None = None,
) -> Receipt:
    """The receipt of a sync that could not collect or store anything.

    Args:
        run_id: Id of the run.
        mode: stub or live.
        error: One sentence on why.
        started_at: When it began.
        finished_at: When it ended.
        since: First day asked for.
        until: Last day asked for.
        levels: The levels asked for.
        accounts: The accounts that were named; none when all were asked for.
        counts: The calls that were made; None when none were.
    """
    return Receipt.model_validate(
        {
            "run_id": run_id,
            "mode": mode,
            "state": "failed",
            "error": error,
            "started_at": started_at,
            "finished_at": finished_at,
            "since": since,
            "until": until,
            "levels": levels,
            "accounts": accounts,
            "planned_calls": {},
            "planned_calls_total": 0,
            **call_fields(counts or CallCounts()),
            "repeated_rows": 0,
            "tables": {},
            "missing": (),
            "refused": (),
            "withheld": (),
            "version_warnings": (),
            "warnings": (),
            "published": False,
            "snapshot": "",
            "seconds": {},
        }
    )


def prune(folder: Path, before: datetime) -> None:
    """Remove the receipts of syncs that ended before a moment."""
    oldest = nanoseconds(before)
    with suppress(OSError):
        for file in folder.glob("*.json"):
            with suppress(OSError):
                if file.stat().st_mtime_ns < oldest:
                    file.unlink()


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
