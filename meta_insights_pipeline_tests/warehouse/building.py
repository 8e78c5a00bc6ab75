"""Pages, slices and warehouses for tests, as small as the thing that a test is about."""

import json
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.warehouse.database import Warehouse, open_memory
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.staging import Slice, Staged, Staging
from meta_insights_pipeline.warehouse.writing import Written, write

CAMPAIGNS: Report = builtin_reports()[1]
DAY = date(2026, 11, 1)
EARLY = datetime(2026, 11, 2, 8, tzinfo=UTC)
LATE = datetime(2026, 11, 2, 9, tzinfo=UTC)


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


class Desk:
    """A warehouse in a folder, and the way of pages into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshot = folder / "meta_insights.duckdb"
        self.warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
        self.warehouse.check_writable()
        self._pages = 0

    def page(self, rows: Sequence[dict[str, Any]] | str) -> Path:
        """One page on disk."""
        self._pages += 1
        file = self.folder / f"page-{self._pages}.json"
        file.write_text(rows if isinstance(rows, str) else json.dumps(list(rows)), "utf-8")
        return file

    def stage(
        self,
        *pages: Sequence[dict[str, Any]] | str,
        since: date = DAY,
        until: date = DAY,
        at: datetime = EARLY,
        report: Report = CAMPAIGNS,
        account: str = "1",
    ) -> Staged:
        """The pages of one slice, staged."""
        part = Slice(report, account, since, until, at)
        with open_memory(self.folder / "tmp") as connection:
            folder = self.folder / f"stage-{self._pages}-{len(list(self.folder.iterdir()))}"
            folder.mkdir()
            return Staging(connection, folder).stage(part, [self.page(page) for page in pages])

    def write(self, *staged: Staged, gaps: Sequence[Gap] = (), run_id: str = "run", source: str = "live") -> Written:
        """Merge and publish."""
        return write(self.warehouse, self.snapshot, staged, gaps, run_id=run_id, source=source)

    def sync(self, *pages: Sequence[dict[str, Any]] | str, **options: Any) -> Written:
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
