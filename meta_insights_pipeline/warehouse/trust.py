"""What a sync asks of the warehouse about its own reports: whether they add up, are fresh, as long as usual, and as before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb

from meta_insights_pipeline.warehouse.drift import NEW_FOR, Drift, read_drift
from meta_insights_pipeline.warehouse.freshness import Freshness, freshness
from meta_insights_pipeline.warehouse.level_sums import report_name
from meta_insights_pipeline.warehouse.reconciliation import LedgerFinding, Residual, findings, residuals
from meta_insights_pipeline.warehouse.row_counts import RowCounts, row_counts


@dataclass(frozen=True)
class Run:
    """The run that asks."""

    run_id: str
    reports: Sequence[str]
    """Names of the reports that it collected."""
    since: date
    """Its first day."""
    until: date
    """Its last day."""
    zones: Mapping[str, str]
    """IANA name of the time zone of each of its accounts, by id."""


@dataclass(frozen=True)
class Trust:
    """What was found, by table; a table is left out where the run says nothing of it."""

    ledger: Mapping[str, LedgerFinding] = field(default_factory=dict)
    residuals: Sequence[Residual] = ()
    """Those that the run has to look into, the largest first."""
    freshness: Mapping[str, Freshness] = field(default_factory=dict)
    row_counts: Mapping[str, RowCounts] = field(default_factory=dict)
    drift: Sequence[Drift] = ()
    """What Meta has begun to send of late, the newest first."""


def read_trust(connection: duckdb.DuckDBPyConnection, run: Run, now: datetime) -> Trust:
    """Look at what a run has stored; the warehouse is attached, `now` is the moment in UTC."""
    since, until = run.since, run.until
    todays = {account: now.astimezone(ZoneInfo(zone)).date() for account, zone in run.zones.items()}
    closed = {account: today - timedelta(days=1) for account, today in todays.items()}
    # A run looks into nothing that it could not ask about.
    open_residuals = [
        one
        for one in residuals(connection, run.run_id, since, until, now)
        if one.account_id in run.zones and report_name(one.level) in run.reports
    ]
    return Trust(
        findings(connection, run.run_id, since, until, now, todays),
        open_residuals,
        freshness(connection, run.zones, run.reports, since, until, now),
        row_counts(connection, closed, run.reports, since, until),
        [one for one in read_drift(connection, now - NEW_FOR, run.run_id) if one.report in run.reports],
    )
