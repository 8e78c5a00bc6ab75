"""Merging archived files into a warehouse that is being rebuilt: the same merges in the same order, some pages at a time."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.archive import ENTITIES, ArchivedFile
from meta_insights_pipeline.warehouse.archive_files import DamagedFileError
from meta_insights_pipeline.warehouse.archive_index import Merge, files_of, mark_taken, merges
from meta_insights_pipeline.warehouse.archive_names import report_behind
from meta_insights_pipeline.warehouse.archived_entities import read_batch
from meta_insights_pipeline.warehouse.archived_pages import OtherReportError, Pages, read_pages
from meta_insights_pipeline.warehouse.database import open_memory
from meta_insights_pipeline.warehouse.drift import note_drift
from meta_insights_pipeline.warehouse.entities import merge_entities
from meta_insights_pipeline.warehouse.merge import merge_slices
from meta_insights_pipeline.warehouse.recovered import Asked, carry_over, merge_recovered
from meta_insights_pipeline.warehouse.staging import BYTES_AT_ONCE, Staged, Staging, StagingError
from meta_insights_pipeline.warehouse.takeover import rebuilt_days

log = logging.getLogger(__name__)

_TELL_EVERY = 500


@dataclass(frozen=True)
class Failure:
    """An archived file that could not be used."""

    path: Path
    reason: str
    file: ArchivedFile | None = None
    """None when its name does not tell what it holds."""


@dataclass
class _Chunk:
    """Merges of which the pages are read together."""

    merges: list[tuple[Merge, list[tuple[ArchivedFile, Pages]]]] = field(default_factory=list)
    size: int = 0


class Rebuilder:
    """Takes what the index of the archive has and the warehouse has not."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, reports: Mapping[str, Report], folder: Path, temporary: Path
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            connection: With the warehouse attached, with an index, and with what `note_archived_days` notes.
            reports: By name, as they are today.
            folder: For pages and rows on their way; it must exist.
            temporary: For what does not fit into memory.
        """
        self._connection = connection
        self._reports = reports
        self._folder = folder
        self._temporary = temporary
        self.failures: list[Failure] = []
        self.files = 0
        """How many files were merged."""
        self.merges = 0
        """How many transactions of syncs they came from."""

    def take(self) -> None:
        """Merge everything that has not been taken."""
        chunk = _Chunk()
        for number, merge in enumerate(merges(self._connection), start=1):
            files = list(files_of(self._connection, merge))
            self._take_entities(merge, [file for file in files if file.report == ENTITIES])
            pages = [file for file in files if file.report != ENTITIES]
            if pages:
                self._unpack(chunk, merge, pages)
            if chunk.size >= BYTES_AT_ONCE:
                self._merge(chunk)
                chunk = _Chunk()
            self.merges += 1
            if number % _TELL_EVERY == 0:
                log.info("merged what came until %s", f"{merge.merged_at:%Y-%m-%d %H:%M} UTC")
        self._merge(chunk)
        mark_taken(self._connection)

    def _unpack(self, chunk: _Chunk, merge: Merge, files: Sequence[ArchivedFile]) -> None:
        unpacked: list[tuple[ArchivedFile, Pages]] = []
        for file in files:
            folder = self._folder / "pages" / f"{len(chunk.merges)}-{len(unpacked)}"
            folder.mkdir(parents=True)
            try:
                pages = read_pages(file, self._reports[report_behind(file.report)], folder)
            except (DamagedFileError, OtherReportError, FileNotFoundError) as error:
                self._fail(file, error)
                shutil.rmtree(folder)
            else:
                unpacked.append((file, pages))
                chunk.size += sum(page.path.stat().st_size for page in pages.files)
        chunk.merges.append((merge, unpacked))

    def _merge(self, chunk: _Chunk) -> None:
        rows = self._folder / "rows"
        rows.mkdir()
        with open_memory(self._temporary) as connection:
            staging = Staging(connection, rows)
            for _, unpacked in chunk.merges:
                for _, pages in unpacked:
                    staging.add(pages.part, pages.files)
            outcomes = iter(staging.finish())
        for merge, unpacked in chunk.merges:
            staged: list[Staged] = []
            of_nodes: list[tuple[Staged, Asked]] = []
            for (file, pages), outcome in zip(unpacked, outcomes, strict=False):
                if isinstance(outcome, StagingError):
                    self._fail(file, outcome)
                elif pages.asked is None:
                    staged.append(outcome)
                else:
                    of_nodes.append((outcome, pages.asked))
            with TemporaryDirectory(dir=self._folder, prefix="merge-") as folder:
                self._connection.execute("BEGIN")
                self._merge_slices(staged, merge.run_id, Path(folder))
                self._merge_recovered(of_nodes, merge.run_id, Path(folder))
                self._connection.execute("COMMIT")
            self.files += len(staged) + len(of_nodes)
        shutil.rmtree(rows)
        shutil.rmtree(self._folder / "pages", ignore_errors=True)

    def _merge_slices(self, staged: Sequence[Staged], run_id: str, folder: Path) -> None:
        whole = carry_over(self._connection, staged, folder)
        merge_slices(self._connection, whole, run_id, folder)
        note_drift(self._connection, staged, run_id)

    def _merge_recovered(self, answers: Sequence[tuple[Staged, Asked]], run_id: str, folder: Path) -> None:
        # Each is of another account, so that one at a time comes to the same.
        for staged, asked in answers:
            part = staged.part
            days = [day for _, day in asked.days]
            # Of other days it is in the rows that were taken over.
            made = rebuilt_days(self._connection, part.report.name, part.account_id, days, part.collected_at)
            merge_recovered(
                self._connection,
                [staged],
                replace(asked, days=[(part.account_id, day) for day in made]),
                run_id,
                folder,
            )

    def _take_entities(self, merge: Merge, files: Sequence[ArchivedFile]) -> None:
        # Each is of another account, so that one at a time comes to the same, and a small memory is enough.
        for file in files:
            try:
                batch = read_batch(file)
            except (DamagedFileError, FileNotFoundError) as error:
                self._fail(file, error)
                continue
            self._connection.execute("BEGIN")
            merge_entities(self._connection, [batch], merge.run_id, self._folder)
            self._connection.execute("COMMIT")
            self.files += 1

    def _fail(self, file: ArchivedFile, error: Exception) -> None:
        reason = "it is gone" if isinstance(error, FileNotFoundError) else str(error)
        log.error("%s was left out: %s", file.path, reason)
        self.failures.append(Failure(file.path, reason, file))
