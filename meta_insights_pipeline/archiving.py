"""How a sync gives to the archive: pages are written down as they come, and get their names once they are merged.

Nothing here stops a sync: what cannot be archived is in the warehouse all the same, and a warning says so.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial

from filelock import Timeout

from meta_insights_pipeline.catalog.entity_batches import EntityBatch
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.collect import Collected
from meta_insights_pipeline.life import is_alive
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive, Intake
from meta_insights_pipeline.warehouse.archive_names import Question, by_id
from meta_insights_pipeline.warehouse.archive_settling import settle
from meta_insights_pipeline.warehouse.archived_entities import write_batch
from meta_insights_pipeline.warehouse.archived_pages import question_of, write_pages
from meta_insights_pipeline.warehouse.database import Warehouse, open_memory
from meta_insights_pipeline.warehouse.recovered import Asked
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged

log = logging.getLogger(__name__)

# Small files wait for the disk, a few milliseconds each; several at once wait together.
WRITERS = 4


class Admission:
    """What one transaction merges, on its way into the archive."""

    def __init__(self, settings: Settings, intake: Intake, failed: list[str]) -> None:
        """Prepare; nothing is written yet.

        Args:
            settings: Of this process.
            intake: Where it is written down.
            failed: Takes a sentence for everything that could not be archived.
        """
        self._settings = settings
        self._intake = intake
        self._failed = failed

    def add_pages(self, event: Collected) -> None:
        """Write down what was collected."""
        request, settings = event.request, self._settings
        days = request.days
        part = Slice(
            request.report, request.account.id, days.since, days.until, event.asked_at, withheld=event.withheld
        )
        pages = [PageFile(page, each.fields) for each in event.parts for page in each.pages]
        write = partial(write_pages, part=part, pages=pages, mode=settings.mode, api_version=settings.graph_api_version)
        with self._noting_loss(str(part)):
            self._intake.add(part.account_id, part.report.name, question_of(part), write)

    def add_nodes(self, part: Slice, pages: Sequence[PageFile], asked: Asked) -> None:
        """Write down what nodes of an account answered."""
        settings = self._settings
        write = partial(
            write_pages, part=part, pages=pages, mode=settings.mode, api_version=settings.graph_api_version, asked=asked
        )
        with self._noting_loss(f"{part}, asked by id"):
            self._intake.add(part.account_id, by_id(part.report.name), question_of(part), write)

    def add_entities(self, batch: EntityBatch) -> None:
        """Write down what a refresh brought; one that brought nothing is not kept."""
        if not (batch.full or batch.missing or any(batch.rows.values())):
            return
        settings = self._settings
        write = partial(write_batch, batch=batch, mode=settings.mode, api_version=settings.graph_api_version)
        with self._noting_loss(f"campaigns, ad sets and ads of account {batch.account_id}"):
            self._intake.add(batch.account_id, ENTITIES, Question(batch.collected_at), write)

    def confine(self, staged: Sequence[Staged]) -> None:
        """Forget the pages that will not be merged; call before the merge."""
        wanted = {(item.part.account_id, item.part.report.name, question_of(item.part)) for item in staged}
        with _going_on():
            self._intake.drop(
                file for file in self._intake.files() if (file.account_id, file.report, file.question) not in wanted
            )

    def forget(self) -> None:
        """Forget everything: it changed nothing in the warehouse."""
        with _going_on():
            self._intake.forget()

    def mark_merged(self) -> None:
        """Note that everything was merged; call while the warehouse is locked, after the transaction's end."""
        # The machine's own time, whatever clock the collector goes by: it tells the order of the merges and nothing else.
        with _going_on():
            self._intake.mark_merged(datetime.now(UTC))

    def settle(self) -> None:
        """Give what was merged its place; only then may it be forgotten elsewhere."""
        with _going_on():
            if merged_at := self._intake.merged_at:
                self._intake.settle(merged_at)

    @contextmanager
    def _noting_loss(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed.append(f"{what} ({error.strerror or error})")
            log.warning("Not archived: %s.", self._failed[-1])


@contextmanager
def _going_on() -> Iterator[None]:
    """What is written down and cannot be given its place is settled by the next sync."""
    try:
        yield
    except OSError as error:
        log.warning("The archive is not up to date before the next sync (%s).", error.strerror or error)


class SyncArchive:
    """What one sync gives to the archive."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        """Prepare; nothing is written yet.

        Args:
            settings: Where, and for how long; with a retention of 0 days nothing is archived.
            run_id: The sync.
        """
        self._settings = settings
        self._run_id = run_id
        self._archive = Archive(settings.archive_path, settings.history_days)
        self._failed: list[str] = []
        self._transactions = 0
        self.insights = self._admission()
        """What was collected in the last block of `listening`."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a receipt says of it."""
        if not self._failed:
            return ()
        text = (
            f"{len(self._failed)} answers are in the warehouse and not in the archive {self._archive.folder}, so that a "
            f"replay takes their days over from the warehouse. The first: {self._failed[0]}."
        )
        return (text,)

    @contextmanager
    def listening(self) -> Iterator[Callable[[Collected], None]]:
        """Something to be told of all that is collected; at the end of the block it is written down for the archive.

        It is compressed beside the collection, which waits for Meta most of the time.
        """
        self.insights = admission = self._admission()
        if not self._settings.archive_days:
            yield lambda _event: None
            return
        pool, told = ThreadPoolExecutor(WRITERS, "archive"), list[Future[None]]()

        def hear(event: Collected) -> None:
            # In the context of the caller, so that a warning names the run.
            told.append(pool.submit(copy_context().run, admission.add_pages, event))

        try:
            yield hear
            for one in told:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def entities(self, batches: Sequence[EntityBatch]) -> Admission:
        """Write down refreshes of entities that are merged in one transaction."""
        admission = self._admission()
        for batch in batches if self._settings.archive_days else ():
            admission.add_entities(batch)
        return admission

    def nodes(self, answers: Sequence[tuple[Slice, Sequence[PageFile]]], asked: Asked) -> Admission:
        """Write down what nodes answered, account by account, before it is merged in one transaction."""
        admission = self._admission()
        for part, pages in answers if self._settings.archive_days else ():
            admission.add_nodes(part, pages, asked)
        return admission

    def _admission(self) -> Admission:
        self._transactions += 1
        return Admission(self._settings, self._archive.intake(self._run_id, self._transactions), self._failed)

    def settle_earlier(self, warehouse: Warehouse) -> None:
        """Settle what syncs left that ended before their time; opens the warehouse if there is anything.

        Raises:
            WarehouseError: The warehouse cannot be opened.
        """
        alive = partial(is_alive, self._settings.home)
        if any(not alive(intake.run_id) for intake in self._archive.unsettled()):
            settle_archive(self._settings, self._archive, warehouse)
        self._archive.sweep(alive)

    def thin(self, now: datetime) -> None:
        """Remove what is too old, once a day; not while a replay reads the archive."""
        if not self._archive.is_thinning_due(now):
            return
        try:
            with self._archive.lock().acquire(timeout=0):
                removed = self._archive.thin(now, self._settings.archive_days)
            if removed:
                log.info("%s files of the archive were thinned away.", f"{removed:,}")
        except Timeout:
            log.info("The archive is not thinned, since it is being read.")
        except OSError as error:
            log.warning("The archive %s could not be thinned (%s).", self._archive.folder, error.strerror or error)


def settle_archive(settings: Settings, archive: Archive, warehouse: Warehouse, *, lost: bool = False) -> None:
    """Settle everything that is merged and has no place yet; opens the warehouse if there is anything.

    Args:
        settings: Of this process.
        archive: The archive.
        warehouse: Tells what was merged.
        lost: Whether a warehouse that is not there was there before, so that whatever came is taken for merged.

    Raises:
        WarehouseError: The warehouse cannot be opened.
    """
    unsettled, now = archive.unsettled(), datetime.now(UTC)
    if not unsettled:
        return

    def is_at_work(run_id: str) -> bool:
        return is_alive(settings.home, run_id)

    if not warehouse.path.exists():
        for intake in unsettled:
            if intake.merged_at or (lost and not is_at_work(intake.run_id)):
                intake.settle(intake.merged_at or now)
            elif not is_at_work(intake.run_id):
                intake.forget()
        return
    with warehouse.locked(), open_memory(warehouse.temporary) as connection, warehouse.attached(connection):
        reports = {report.name: report for report in builtin_reports()}
        settle(archive, connection, reports, is_at_work, now)
