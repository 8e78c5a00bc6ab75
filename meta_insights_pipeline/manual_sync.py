"""A sync by hand: the days from the options, one recorded Dagster run in this process, its receipt."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.accounts import NoAccountError, find_accounts
from meta_insights_pipeline.collector.days import DayRange, days_back_range, newest_day, refresh_range
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.instance.home import open_instance, prepare_dagster_home
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline.sync import AccountBook
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE


class ManualSyncError(Exception):
    """The sync failed; the message is one sentence, the receipt is there if anything was collected."""

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
    try:
        Warehouse(settings.warehouse_path, settings.home / "tmp").check_writable()
        zones = _zones(settings, accounts)
    except (WarehouseError, NoAccountError, GraphApiError) as error:
        raise ManualSyncError(str(error)) from None
    days = wanted.resolve(datetime.now(UTC), zones)
    return _run_job(settings, days, levels, accounts)


def _check_token(settings: Settings) -> None:
    """Live mode without a token is told before anything is made on disk."""
    if settings.mode == "live":
        open_graph_api(settings).close()


def _zones(settings: Settings, accounts: Sequence[str]) -> tuple[str, ...]:
    """The accounts' time zones: from the last sync, or asked for when there was none or accounts are named."""
    known = AccountBook(settings.home).zones()
    if known and not accounts:
        return known
    with open_graph_api(settings) as api:
        return tuple({account.timezone_name for account in find_accounts(api, accounts or settings.ad_account_ids)})


def _run_job(settings: Settings, days: DayRange, levels: Sequence[str], accounts: Sequence[str]) -> Receipt:
    home = prepare_dagster_home(settings)
    warnings.filterwarnings("ignore", module="dagster")
    # Dagster takes a second to import, so it comes after everything that can fail at once.
    import dagster as dg

    from meta_insights_pipeline.definitions import defs
    from meta_insights_pipeline.defs.schedules import range_tags
    from meta_insights_pipeline.instance.runs import JOB, running_syncs

    reports = reports_of_levels([Level(level) for level in levels] or list(Level))
    selection = [dg.AssetKey(name) for name in (*(report.name for report in reports), ACTIONS_TABLE)]
    with open_instance(home) as instance:
        running_syncs(instance, settings.home)
        result = (
            defs()
            .resolve_job_def(JOB)
            .execute_in_process(
                instance=instance,
                tags={**range_tags(days), "meta_insights/by": "command line"},
                asset_selection=selection,
                run_config={
                    "ops": {"insights": {"config": {"accounts": list(accounts)}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                raise_on_error=False,
            )
        )
        file = settings.home / "receipts" / f"{result.run_id}.json"
        receipt = Receipt.model_validate_json(file.read_text("utf-8")) if file.exists() else None
        if not result.success or receipt is None:
            raise ManualSyncError(_cause(result), receipt)
        return receipt


def _cause(result: object) -> str:
    """The sentence of the step that failed, or Dagster's own."""
    import dagster as dg

    assert isinstance(result, dg.ExecuteInProcessResult)
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return error.message.strip()
    return f"Run {result.run_id} failed; look at it in the Dagster UI."
