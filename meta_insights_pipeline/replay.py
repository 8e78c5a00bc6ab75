"""A replay from end to end: the warehouse anew from the archive, beside the one that is there, and in its place at the end.

The order of the steps is decided here. Nothing is asked of Meta. Syncs go on meanwhile: the warehouse is locked for a moment at
the beginning, to copy it, and at the end, to bring in what they wrote and to change places. Until then it stays as it is.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from uuid import uuid4

import duckdb
from filelock import Timeout

from meta_insights_pipeline.archiving import settle_archive
from meta_insights_pipeline.catalog.conversions import Choice
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.full_disk import telling_full_disk
from meta_insights_pipeline.logs import log_context
from meta_insights_pipeline.replay_receipt import LeftOut, RebuiltTable, ReplayReceipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sync import counted_conversions
from meta_insights_pipeline.warehouse.account_book import note_accounts_of_rows
from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive
from meta_insights_pipeline.warehouse.archive_index import add_to_index, make_index, merges
from meta_insights_pipeline.warehouse.archive_names import report_behind
from meta_insights_pipeline.warehouse.conversion_events import store_choices
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse, WarehouseError, open_memory
from meta_insights_pipeline.warehouse.entity_takeover import (
    count_accounts_taken_over,
    keep_account,
    keep_newer_accounts,
    keep_unexplained_accounts,
    note_archived_accounts,
    put_accounts_back,
    seed_entities,
)
from meta_insights_pipeline.warehouse.history import note_thinned, thin_history
from meta_insights_pipeline.warehouse.publication import publish
from meta_insights_pipeline.warehouse.rebuilding import Failure, Rebuilder
from meta_insights_pipeline.warehouse.reconciliation import Moment, collected_days, reconcile
from meta_insights_pipeline.warehouse.schema import (
    entity_history_table,
    entity_table,
    history_table,
    tables,
)
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.takeover import (
    count_days_taken_over,
    earlier_attached,
    keep_days,
    keep_newer,
    keep_recovered,
    keep_unexplained,
    note_archived_days,
    put_back,
    seed,
    seed_recovered,
    take_over_rest,
    thinned_at,
)

log = logging.getLogger(__name__)

# Thinning takes seconds; whoever holds the archive for longer is another replay.
_ARCHIVE_LOCK_SECONDS = 60


class ReplayError(Exception):
    """Nothing was replayed; the message says why and what to do."""


def run_replay(settings: Settings, reports: Sequence[Report] | None = None) -> ReplayReceipt:
    """Rebuild the warehouse from the archive, and publish it.

    Days of which the archive does not hold all that the warehouse knows stay as they are there, and so do days of archived files
    that cannot be read, which the receipt names. The warehouse before is kept as a backup.

    Args:
        settings: Where, and of which mode.
        reports: What pages are read into; those of this program when left out.

    Raises:
        ReplayError: There is nothing to replay, or the warehouse is of the other mode.
        SettingsError: META_INSIGHTS_CONVERSIONS cannot be used.
        WarehouseError: The warehouse cannot be read or written; it is as before.
    """
    run_id = f"replay-{uuid4()}"
    counted_by = counted_conversions(settings)
    archive = Archive(settings.archive_path, settings.history_days)
    warehouse = Warehouse(settings.warehouse_path, settings.home / "tmp")
    warehouse.check_writable()
    with (
        log_context(run=run_id),
        telling_full_disk(settings.home, "replay"),
        _archive_locked(archive),
        _work_folder(settings.home / "tmp", run_id) as folder,
    ):
        reports = tuple(reports or builtin_reports())
        return _Replay(settings, reports, counted_by, archive, warehouse, folder, run_id).run()


class _Replay:
    """The steps of one replay and what they share."""

    def __init__(
        self,
        settings: Settings,
        reports: Sequence[Report],
        counted_by: Sequence[Choice],
        archive: Archive,
        warehouse: Warehouse,
        folder: Path,
        run_id: str,
    ) -> None:
        self._settings = settings
        self._reports = reports
        self._counted_by = counted_by
        self._archive = archive
        self._warehouse = warehouse
        self._folder = folder
        self._run_id = run_id
        self._started = datetime.now(UTC)
        path = warehouse.path
        self._building = Warehouse(path.with_name(f".{path.name}.replay"), warehouse.temporary)
        self._backup = path.with_name(f"{path.name}.before-replay.bak")
        self._failures: list[Failure] = []
        self._days, self._accounts = 0, 0

    def run(self) -> ReplayReceipt:
        """All steps, in order."""
        with self._without_drafts(), ExitStack() as locks:
            with (
                self._building.locked(),
                open_memory(self._warehouse.temporary) as connection,
                self._building.attached(connection),
            ):
                make_index(connection)
                with self._warehouse.locked():
                    earlier = self._copy_earlier()
                    self._index(connection)
                rebuilder = Rebuilder(
                    connection,
                    {report.name: report for report in self._reports},
                    self._folder,
                    self._warehouse.temporary,
                )
                if not merges(connection):
                    raise ReplayError(
                        f"The archive {self._archive.folder} holds no pages of {self._settings.mode} mode, so there is "
                        "nothing to replay; syncs fill it unless META_INSIGHTS_ARCHIVE_DAYS is 0."
                    )
                self._begin(connection, earlier)
                rebuilder.take()
                locks.enter_context(self._warehouse.locked())
                self._index(connection)
                rebuilder.take()
                self._failures += rebuilder.failures
                self._end(connection)
                counts = self._counts(connection)
                connection.execute(f"CHECKPOINT {ALIAS}")
            backup = self._change_places()
            publish(self._warehouse.path, self._settings.snapshot_path)
        receipt = ReplayReceipt(
            run_id=self._run_id,
            mode=self._settings.mode,
            state="partial" if self._failures else "complete",
            started_at=self._started,
            finished_at=datetime.now(UTC),
            archive=str(self._archive.folder),
            files=rebuilder.files,
            merges=rebuilder.merges,
            tables=counts,
            days_taken_over=self._days,
            accounts_taken_over=self._accounts,
            left_out=tuple(LeftOut(file=str(one.path), reason=one.reason) for one in self._failures),
            backup=str(backup) if backup else None,
            published=True,
            snapshot=str(self._settings.snapshot_path),
        )
        receipt.save(self._settings.home / "receipts")
        return receipt

    def _index(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Bring the index up to date; while the warehouse is locked, so that whatever is merged has its place."""
        settle_archive(self._settings, self._archive, self._warehouse, lost=True)
        known = {failure.path for failure in self._failures}
        strangers = add_to_index(connection, self._archive, [report.name for report in self._reports], self._folder)
        self._failures += [
            Failure(path, "its name does not tell what it holds") for path in strangers if path not in known
        ]

    def _copy_earlier(self) -> Path | None:
        """A copy of the warehouse as it is now, for reading at leisure; None when there is none."""
        if not self._warehouse.path.exists():
            return None
        copy = self._folder / "earlier.duckdb"
        try:
            self._put_down()
            shutil.copyfile(self._warehouse.path, copy)
        except OSError as error:
            raise WarehouseError(
                f"The warehouse {self._warehouse.path} cannot be copied to {copy} ({error.strerror or error}); make room "
                "and replay again."
            ) from None
        except WarehouseError as error:
            raise WarehouseError(
                f"{error} If it is damaged, rename it and replay again: it is then rebuilt from the archive alone."
            ) from None
        return copy

    def _put_down(self) -> None:
        """See to it that everything is in the warehouse's one file; it must be of the settings' mode."""
        mode = self._settings.mode
        with open_memory(self._warehouse.temporary) as connection, self._warehouse.attached(connection):
            row = connection.execute(f"SELECT max(mode) FROM {ALIAS}.pipeline.source").fetchone()
            if row and row[0] not in (None, mode):
                raise ReplayError(
                    f"The warehouse {self._warehouse.path} holds rows of {row[0]} mode, and META_INSIGHTS_MODE is {mode}; "
                    f"set it to {row[0]} to replay them."
                )
            connection.execute(f"CHECKPOINT {ALIAS}")

    def _begin(self, connection: duckdb.DuckDBPyConnection, earlier: Path | None) -> None:
        """What comes before the pages."""
        thinned_before = self._archive.thinned_before
        note_archived_days(connection, thinned_before)
        note_archived_accounts(connection)
        if earlier is None:
            connection.execute(f"INSERT INTO {ALIAS}.pipeline.source VALUES ({literal(self._settings.mode)})")
            return
        with earlier_attached(connection, earlier):
            seed(connection, self._reports)
            seed_recovered(connection, self._reports)
            seed_entities(connection)
            keep_unexplained(connection, self._reports, thinned_before)
            keep_unexplained_accounts(connection)
        earlier.unlink()

    def _end(self, connection: duckdb.DuckDBPyConnection) -> None:
        """What comes after the pages; while the warehouse is locked."""
        lost = not self._warehouse.path.exists()
        if not lost:
            self._bring_in_newer(connection)
        connection.execute("BEGIN")
        note_accounts_of_rows(connection, self._run_id)
        if store_choices(connection, ALIAS, self._counted_by) or lost:
            moment = Moment(self._run_id, datetime.now(UTC))
            reconcile(connection, collected_days(connection), moment, self._folder)
        connection.execute("COMMIT")
        if thinned := thinned_at(connection):
            connection.execute("BEGIN")
            thin_history(connection, thinned.replace(tzinfo=UTC), keep_all_days=self._settings.history_days)
            connection.execute("COMMIT")
        elif before := self._archive.thinned_before:
            # Nothing tells any more when the warehouse was thinned, but the pages that are there tell for which days.
            horizon = datetime.combine(before, time(), UTC)
            note_thinned(connection, horizon, horizon)

    def _bring_in_newer(self, connection: duckdb.DuckDBPyConnection) -> None:
        """What the warehouse has and the archive has not."""
        self._put_down()
        for file in [failure.file for failure in self._failures if failure.file]:
            question = file.name.question
            if file.report == ENTITIES:
                keep_account(connection, file.account_id)
            elif question.since is not None and question.until is not None:
                keep_days(connection, report_behind(file.report), file.account_id, question.since, question.until)
        with earlier_attached(connection, self._warehouse.path):
            keep_newer(connection)
            keep_recovered(connection)
            keep_newer_accounts(connection)
            put_back(connection, self._reports)
            put_accounts_back(connection)
            take_over_rest(connection, self._reports)
        self._days, self._accounts = count_days_taken_over(connection), count_accounts_taken_over(connection)

    def _counts(self, connection: duckdb.DuckDBPyConnection) -> dict[str, RebuiltTable]:
        pairs = [(table, history_table(table)) for table in tables(self._reports)]
        pairs += [(entity_table(kind), entity_history_table(kind)) for kind in EntityKind]
        return {
            current.name: RebuiltTable(
                rows=_count(connection, current.name), earlier_versions=_count(connection, earlier.name)
            )
            for current, earlier in pairs
        }

    def _change_places(self) -> Path | None:
        """Put the rebuilt file in the warehouse's place, whole; where the one before is now."""
        new, path = self._building.path, self._warehouse.path
        had_one = path.exists()
        try:
            with new.open("rb+") as file:
                os.fsync(file.fileno())
            if had_one:
                _second_name(path, self._backup_draft)
                self._backup_draft.replace(self._backup)
            new.replace(path)
        except OSError as error:
            raise WarehouseError(
                f"The rebuilt warehouse cannot take the place of {path} ({error.strerror or error}), which is as it was; "
                "make room or mend the permissions, then replay again."
            ) from None
        return self._backup if had_one else None

    @property
    def _backup_draft(self) -> Path:
        return self._backup.with_name(f".{self._backup.name}.draft")

    @contextmanager
    def _without_drafts(self) -> Iterator[None]:
        """Nothing is beside the warehouse at the beginning, after a replay that was killed, and at the end."""
        path = self._building.path
        drafts = (path, path.with_name(f"{path.name}.wal"), path.with_name(f"{path.name}.lock"), self._backup_draft)
        _remove(drafts)
        try:
            yield
        finally:
            _remove(drafts)


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _second_name(path: Path, name: Path) -> None:
    """Give a file a second name, or copy it where a file can have but one."""
    try:
        name.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, name)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f'SELECT count(*) FROM {ALIAS}."{table}"').fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _archive_locked(archive: Archive) -> Iterator[None]:
    """Keep what is archived in its place.

    Raises:
        ReplayError: Another replay is under way.
    """
    lock = archive.lock()
    try:
        lock.acquire(timeout=_ARCHIVE_LOCK_SECONDS)
    except Timeout:
        raise ReplayError(f"Another replay reads the archive {archive.folder}; wait for its end.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _work_folder(temporary: Path, run_id: str) -> Iterator[Path]:
    """A folder for what is on its way; what replays that were killed left there goes."""
    for left in temporary.glob("replay-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = temporary / run_id
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
