"""A sync by hand: the days from the options, one recorded Dagster run in this process, its receipt."""

import gc
import uuid
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import uuid4

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collection import Handed, accounts_of, handing_on, open_collection
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.collector.days import DayRange, days_back_range, newest_day, refresh_range
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.harvest import COMPLETE
from meta_insights_pipeline.home_files import AccountBook, MissingBook
from meta_insights_pipeline.instance.home import prepare_dagster_home
from meta_insights_pipeline.receipt import Receipt, failed_receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError


class ManualSyncError(Exception):
    """The sync failed; the message is one sentence, the receipt is there unless a token or room on the disk lacks."""

    def __init__(self, message: str, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


@dataclass(frozen=True)
class DaysWanted:
    """The days as the options name them."""

    days_back: int | None = None
    start: date | None = None
    end: date | None = None

    def problem(self, now: datetime, first: date) -> str | None:
        """What is wrong with the options, as one sentence with the remedy, or None.

        Args:
            now: The moment of the command.
            first: First day partition, from META_INSIGHTS_START_DATE.
        """
        newest = newest_day(now)
        if self.days_back is not None and (self.start or self.end):
            return "--days-back cannot be used together with --start or --end; leave one of them out."
        if self.end is not None and self.start is None:
            return "--end needs --start; give both, or use --days-back."
        if self.start is not None and self.end is not None and self.end < self.start:
            return f"--end {self.end} is before --start {self.start}; swap them."
        for name, day in (("--start", self.start), ("--end", self.end)):
            if day is not None and day > newest:
                return f"{name} {day} is in the future; the newest day that has begun anywhere is {newest}."
        start = self.start or (newest if self.days_back is None else None)
        if start is None:
            start = days_back_range(now, self.days_back or 0).since
        if start < first:
            option = "--start" if self.start else "--days-back"
            return (
                f"{option} leads to {start}, before the first day partition {first}; "
                "choose a later day or set META_INSIGHTS_START_DATE."
            )
        return None

    def resolve(self, now: datetime, zones: Sequence[str]) -> DayRange:
        """The days, for accounts in these time zones."""
        if self.start is not None:
            return DayRange(self.start, self.end or max(self.start, refresh_range(now, zones).until))
        if self.days_back is not None:
            return days_back_range(now, self.days_back, zones)
        return refresh_range(now, zones)


def run_manual_sync(
    settings: Settings, wanted: DaysWanted, levels: Sequence[str] = (), accounts: Sequence[str] = ()
) -> Receipt:
    """Run the job `sync_insights` in this process and wait for its end.

    Raises:
        SettingsError: A setting cannot be used.
        ManualSyncError: The sync failed, or something is missing.
    """
    _check_token(settings)
    began = datetime.now(UTC)
    try:
        Warehouse(settings.warehouse_path, settings.home / "tmp").check_writable()
        zones, handed = zones_of(settings, accounts)
    except (WarehouseError, NoAccountError, GraphApiError) as error:
        receipt = _failed(settings, wanted.resolve(began, ()), levels, accounts, str(error), began)
        raise ManualSyncError(str(error), receipt) from None
    days = wanted.resolve(datetime.now(UTC), zones)
    with handing_on(handed) if handed else nullcontext():
        return _run_job(settings, days, levels, accounts)


def run_missing(settings: Settings) -> Receipt | None:
    """Run the job for whatever is missing and due, as Dagster's sensor does; None when there is nothing.

    Raises:
        SettingsError: A setting cannot be used.
        ManualSyncError: The sync failed, or something is still missing.
    """
    _check_token(settings)
    due = MissingBook(settings.home).due(datetime.now(UTC))
    if not due:
        return None
    days = DayRange(min(part.since for part in due), max(part.until for part in due))
    levels = [report.level for report in builtin_reports() if report.name in {part.report for part in due}]
    return _run_job(settings, days, levels, sorted({part.account_id for part in due}), only_missing=True)


def _failed(
    settings: Settings, days: DayRange, levels: Sequence[str], accounts: Sequence[str], error: str, began: datetime
) -> Receipt:
    """The receipt of what failed before there was a run; it has an id of its own."""
    receipt = failed_receipt(
        run_id=str(uuid.uuid4()),
        mode=settings.mode,
        error=error,
        started_at=began,
        finished_at=datetime.now(UTC),
        since=days.since,
        until=days.until,
        levels=[level.value for level in Level if level.value in levels or not levels],
        accounts=tuple(accounts) or settings.ad_account_ids,
    )
    with suppress(OSError):
        receipt.save(settings.receipts_path)
    return receipt


def _check_token(settings: Settings) -> None:
    """Live mode without a token is told before anything is made on disk."""
    if settings.mode == "live":
        open_graph_api(settings).close()


def zones_of(settings: Settings, wanted: Sequence[str]) -> tuple[tuple[str, ...], Handed | None]:
    """The accounts' time zones, as the last sync found them; or asked for, and then what was found, for the sync to go on with.

    Raises:
        SettingsError, NoAccountError, GraphApiError: They are not known and cannot be had.
    """
    known = {account.id: account.timezone_name for account in AccountBook(settings.home).accounts()}
    if known and set(wanted) <= set(known):
        return tuple({known[account] for account in wanted or known}), None
    with open_collection(settings, f"accounts-{uuid4()}") as collection:
        found = accounts_of(collection, wanted)
        handed = Handed(tuple(wanted), found, collection.api.meter.counts().calls)
    return tuple({account.timezone_name for account in found.accounts}), handed


def _run_job(
    settings: Settings,
    days: DayRange,
    levels: Sequence[str],
    accounts: Sequence[str],
    *,
    only_missing: bool = False,
) -> Receipt:
    prepare_dagster_home(settings)
    # Dagster takes a second to import, so it comes after everything that can fail at once. Nothing that an import makes is
    # garbage; looking for it all the same took a quarter of that time here.
    gc.disable()
    try:
        from meta_insights_pipeline.recorded_run import RunFailedError, run_recorded

        gc.freeze()
    finally:
        gc.enable()
    try:
        receipt = run_recorded(settings, days, [Level(level) for level in levels], accounts, only_missing=only_missing)
    except RunFailedError as error:
        raise ManualSyncError(str(error), error.receipt) from None
    if receipt.state != COMPLETE:
        raise ManualSyncError(receipt.missing_text(), receipt)
    return receipt
