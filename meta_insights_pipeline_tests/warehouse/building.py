"""Pages, slices and warehouses for tests, as small as the thing that a test is about."""

import json
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import copyfile
from tempfile import mkdtemp
from typing import Any

import duckdb

from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.warehouse.database import MEMORY_LIMIT, Warehouse, open_memory
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged, Staging, StagingError
from meta_insights_pipeline.warehouse.writing import Written, write

CAMPAIGNS: Report = builtin_reports()[1]
DAY = date(2026, 11, 1)
EARLY = datetime(2026, 11, 2, 8, tzinfo=UTC)
LATE = datetime(2026, 11, 2, 9, tzinfo=UTC)
Answer = tuple[Slice, list[PageFile]]


def row(campaign: str = "c1", day: date = DAY, **values: Any) -> dict[str, Any]:
    """A campaign's row as Meta writes it: numbers are texts, what is not there is left out."""
    return {
        "account_id": "1",
        "account_name": "Shop",
        "account_currency": "EUR",
        "campaign_id": campaign,
        "campaign_name": f"Campaign {campaign}",
        "objective": "OUTCOME_SALES",
        "impressions": "100",
        "clicks": "10",
        "spend": "12.4",
        "reach": "80",
        "date_start": day.isoformat(),
        "date_stop": day.isoformat(),
        **values,
    }


class Counting:
    """A connection that counts its statements."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.statements = 0

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        self.statements += 1
        return self._connection.execute(statement)


class Desk:
    """A warehouse in a folder, and the way of pages into it."""

    def __init__(self, folder: Path, empty: Path | None = None) -> None:
        """Set one up.

        Args:
            folder: An empty folder.
            empty: A warehouse without rows to begin with, which is quicker to copy than to make.
        """
        self.folder = folder
        self.snapshot = folder / "meta_insights.duckdb"
        self.warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
        self.warehouse.check_writable()
        if empty is not None:
            copyfile(empty, self.warehouse.path)
        self.statements = 0
        self._pages = 0

    def page(self, rows: Sequence[dict[str, Any]] | str) -> Path:
        """One page on disk."""
        self._pages += 1
        file = self.folder / f"page-{self._pages}.json"
        file.write_text(rows if isinstance(rows, str) else json.dumps(list(rows)), "utf-8")
        return file

    def answer(
        self,
        *pages: Sequence[dict[str, Any]] | str | PageFile,
        since: date = DAY,
        until: date = DAY,
        at: datetime = EARLY,
        report: Report = CAMPAIGNS,
        account: str = "1",
        withheld: Sequence[str] = (),
    ) -> Answer:
        """A slice and its pages, not read yet."""
        files = [page if isinstance(page, PageFile) else PageFile(self.page(page)) for page in pages]
        return Slice(report, account, since, until, at, tuple(withheld)), files

    def stage_all(self, answers: Iterable[Answer]) -> list[Staged | StagingError]:
        """What becomes of slices that are staged together; `statements` says how many statements it took."""
        folder = Path(mkdtemp(dir=self.folder, prefix="stage-"))
        with open_memory(self.folder / "tmp") as connection:
            counting: Any = Counting(connection)
            staging = Staging(counting, folder)
            for part, pages in answers:
                staging.add(part, pages)
            outcomes = staging.finish()
        self.statements = counting.statements
        return outcomes

    def stage_good(self, *answers: Answer) -> list[Staged]:
        """Slices that are staged together, none of which fails."""
        outcomes = self.stage_all(answers)
        assert not any(isinstance(outcome, StagingError) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, Staged)]

    def stage(self, *pages: Sequence[dict[str, Any]] | str | PageFile, **options: Any) -> Staged:
        """The pages of one slice, staged."""
        (outcome,) = self.stage_all([self.answer(*pages, **options)])
        if isinstance(outcome, StagingError):
            raise outcome
        return outcome

    def write(
        self,
        *staged: Staged,
        gaps: Sequence[Gap] = (),
        run_id: str = "run",
        source: str = "live",
        publish_result: bool = True,
        now: datetime | None = None,
        memory_limits: Sequence[str] = (MEMORY_LIMIT,),
    ) -> Written:
        """Merge and publish."""
        return write(
            self.warehouse,
            self.snapshot,
            staged,
            gaps,
            run_id=run_id,
            source=source,
            publish_result=publish_result,
            # The machine's own time would make old days of what tests call the present.
            now=now or max((each.part.collected_at for each in staged), default=None),
            memory_limits=memory_limits,
        )

    def sync(self, *pages: Sequence[dict[str, Any]] | str | PageFile, **options: Any) -> Written:
        """Stage and merge one slice."""
        return self.write(self.stage(*pages, **options))

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the pipeline's own file."""
        with self.warehouse.connect() as connection:
            return connection.execute(statement).fetchall()

    @contextmanager
    def reading(self) -> Any:
        """A reader's connection to the snapshot."""
        connection = duckdb.connect(str(self.snapshot), read_only=True)
        try:
            yield connection
        finally:
            connection.close()
