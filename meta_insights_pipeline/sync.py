"""One sync from end to end: accounts, plan, collection, staging, merge, publication, receipt.

The order of the steps and what holds when one fails is decided here; how each step works is decided in its own room. Knows
nothing of Dagster: the assets and the command line both end here.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.accounts import AdAccount, find_accounts
from meta_insights_pipeline.collector.collect import Answer, Arrival, Collector, Try, expected_rows
from meta_insights_pipeline.collector.days import DayRange, newest_day
from meta_insights_pipeline.collector.plan import Task, plan, unseen_accounts
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.receipt import Missing, Receipt, TableReceipt, call_fields
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline.warehouse.database import Warehouse, open_memory
from meta_insights_pipeline.warehouse.inspection import TableInspection, inspect_table, rows_a_day
from meta_insights_pipeline.warehouse.merge import Gap, MergeCounts
from meta_insights_pipeline.warehouse.schema import actions_table, fact_table
from meta_insights_pipeline.warehouse.staging import Draft, Slice, Staged, Staging, StagingError
from meta_insights_pipeline.warehouse.writing import Written, write

log = logging.getLogger(__name__)


class NothingToCollectError(Exception):
    """No account has begun any of the days that were asked for; the message says so."""


@dataclass(frozen=True)
class SyncRequest:
    """What to bring up to date."""

    run_id: str
    days: DayRange
    reports: tuple[Report, ...]
    account_ids: tuple[str, ...] = ()
    """Only these; empty: those of the settings, or all that the token can read."""


@dataclass(frozen=True)
class SyncOutcome:
    """What a sync leaves behind."""

    receipt: Receipt
    receipt_file: Path
    tables: Mapping[str, TableInspection]
    """By table name."""

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is in the warehouse and published."""
        return not self.receipt.missing


@dataclass
class _Stopwatch:
    """Time by stage, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 3)


def run_sync(settings: Settings, request: SyncRequest) -> SyncOutcome:
    """Bring the warehouse up to date for a range of days.

    What could not be collected is recorded in the warehouse as missing and named in the receipt; everything else is
    stored. Readers get a new snapshot only when nothing is missing.

    Raises:
        SettingsError, NoAccountError, NothingToCollectError, WarehouseError, GraphApiError: Nothing could be collected or
            stored at all; the warehouse is as before.
    """
    started, watch = datetime.now(UTC), _Stopwatch()
    warehouse = Warehouse(settings.warehouse_path, settings.home / "tmp")
    warehouse.check_writable()
    folder = settings.home / "tmp" / f"sync-{request.run_id}"
    with open_graph_api(settings) as api, alive(settings.home, request.run_id), _work_folder(folder):
        with watch.stage("accounts"):
            accounts = find_accounts(api, request.account_ids or settings.ad_account_ids)
        if not request.account_ids:
            # A sync of some accounts must not make the schedule forget the zones of the others.
            AccountBook(settings.home).save(accounts)
        collector = Collector(api, folder)
        with watch.stage("plan"):
            tasks = _plan(warehouse, collector, accounts, request, started)
        with watch.stage("collect_and_stage"):
            staged, gaps = _collect(collector, tasks, folder, warehouse.temporary)
        inspections: dict[str, TableInspection] = {}
        with watch.stage("merge_and_publish"):
            written = write(
                warehouse,
                settings.snapshot_path,
                staged,
                gaps,
                run_id=request.run_id,
                source=settings.mode,
                read_back=lambda connection: inspections.update(_inspect(connection, request, newest_day(started))),
            )
        receipt = _receipt(settings, request, accounts, api, staged, gaps, written, watch, started)
    file = receipt.save(settings.home / "receipts")
    log.info(
        "%d rows read, %d written, %d calls; %s",
        receipt.rows_read,
        receipt.rows_written,
        receipt.calls_total,
        f"published {receipt.snapshot}" if receipt.published else f"{len(receipt.missing)} parts are missing",
    )
    return SyncOutcome(receipt, file, inspections)


def _plan(
    warehouse: Warehouse, collector: Collector, accounts: Sequence[AdAccount], request: SyncRequest, now: datetime
) -> list[Task]:
    expected: dict[tuple[str, str], float] = {}
    if warehouse.path.exists():
        with warehouse.connect() as connection:
            expected = rows_a_day(connection)
    unseen = unseen_accounts(accounts, request.reports, request.days, expected)
    if unseen:
        expected = {**expected_rows(collector.count_ads(unseen), request.reports), **expected}
    tasks = plan(accounts, request.reports, request.days, now, expected)
    if not tasks:
        raise NothingToCollectError(
            f"The days {request.days} have not begun in any of the {len(accounts)} ad accounts; ask for earlier ones."
        )
    log.info("%d accounts, %s: %d reports to ask for", len(accounts), request.days, len(tasks))
    return tasks


def _collect(
    collector: Collector, tasks: Sequence[Task], folder: Path, temporary: Path
) -> tuple[list[Staged], list[Gap]]:
    """Collect every task and stage its pages as they come, while others are still under way."""
    staged: list[Staged] = []
    gaps: list[Gap] = []
    drafts: dict[Try, Draft] = {}
    broken: dict[Try, StagingError] = {}
    with open_memory(temporary) as connection, closing(collector.collect(tasks)) as events:
        staging = Staging(connection, folder)
        for event in events:
            attempt = event.attempt
            draft = drafts.setdefault(attempt, Draft(_slice(attempt)))
            try:
                if isinstance(event, Arrival):
                    if attempt not in broken:
                        staging.add(draft, event.page)
                elif event.error is not None:
                    gaps.append(_gap(attempt.task, str(event.error)))
                elif attempt in broken:
                    gaps.append(_gap(attempt.task, str(broken[attempt])))
                else:
                    staged.append(staging.finish(draft))
                    log.info(
                        "%d of %d: %s, %d rows", len(staged) + len(gaps), len(tasks), attempt.task, staged[-1].rows
                    )
            except StagingError as error:
                log.error("%s", error)
                broken[attempt] = error
                if isinstance(event, Answer):
                    gaps.append(_gap(attempt.task, str(error)))
    return staged, gaps


def _slice(attempt: Try) -> Slice:
    task = attempt.task
    return Slice(task.report, task.account.id, task.days.since, task.days.until, attempt.asked_at)


def _gap(task: Task, reason: str) -> Gap:
    return Gap(task.report.name, task.account.id, task.days.since, task.days.until, reason)


def _inspect(connection: duckdb.DuckDBPyConnection, request: SyncRequest, newest: date) -> dict[str, TableInspection]:
    tables = [*(fact_table(report) for report in request.reports), actions_table()]
    days = request.days
    return {
        table.name: inspect_table(connection, table, days.since, days.until, newest, request.run_id) for table in tables
    }


def _receipt(
    settings: Settings,
    request: SyncRequest,
    accounts: Sequence[AdAccount],
    api: GraphApi,
    staged: Sequence[Staged],
    gaps: Sequence[Gap],
    written: Written,
    watch: _Stopwatch,
    started: datetime,
) -> Receipt:
    names = [*(report.name for report in request.reports), actions_table().name]
    tables = {name: TableReceipt.model_validate(asdict(written.counts.get(name, MergeCounts()))) for name in names}
    return Receipt.model_validate(
        {
            "run_id": request.run_id,
            "mode": settings.mode,
            "started_at": started,
            "finished_at": datetime.now(UTC),
            "since": request.days.since,
            "until": request.days.until,
            "levels": [report.level.value for report in request.reports],
            "accounts": [account.id for account in accounts],
            **call_fields(api.meter.counts()),
            "repeated_rows": sum(item.repeats for item in staged),
            "tables": tables,
            "missing": [Missing.model_validate(asdict(gap)) for gap in gaps],
            "warnings": api.version_warnings,
            "published": written.published,
            "snapshot": str(settings.snapshot_path),
            "seconds": watch.seconds,
        }
    )


class AccountBook:
    """The accounts of the last sync, on disk: their zones tell a schedule which days to ask for, without a call."""

    def __init__(self, home: Path) -> None:
        self._file = home / "accounts.json"

    def save(self, accounts: Sequence[AdAccount]) -> None:
        """Write them down, whole or not at all."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps([asdict(account) for account in accounts], indent=1), "utf-8")
        draft.replace(self._file)

    def zones(self) -> tuple[str, ...]:
        """The time zones of the accounts; empty when no sync has been."""
        try:
            rows = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return ()
        return tuple(sorted({row["timezone_name"] for row in rows}))


@contextmanager
def alive(home: Path, run_id: str) -> Iterator[None]:
    """Hold a lock that the operating system releases however this process ends, so that others can tell whether it lives."""
    lock = _life_lock(home, run_id)
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    with lock:
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)


def is_dead(home: Path, run_id: str) -> bool:
    """Whether a sync began with this id and its process is gone without having finished."""
    lock = _life_lock(home, run_id)
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return True
    except Timeout:
        return False


def forget_dead(home: Path, run_id: str) -> None:
    """Remove what a dead sync left on disk."""
    shutil.rmtree(home / "tmp" / f"sync-{run_id}", ignore_errors=True)
    Path(_life_lock(home, run_id).lock_file).unlink(missing_ok=True)


def _life_lock(home: Path, run_id: str) -> FileLock:
    return FileLock(home / "tmp" / f"alive-{run_id}.lock")


@contextmanager
def _work_folder(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
