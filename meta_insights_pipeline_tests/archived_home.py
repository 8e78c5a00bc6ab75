"""A home in which answers are merged and archived as a sync does it, without Meta; and the warehouse as plain rows."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import duckdb

from meta_insights_pipeline.catalog.entity_batches import EntityBatch
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive
from meta_insights_pipeline.warehouse.archive_names import Question, by_id
from meta_insights_pipeline.warehouse.archived_entities import write_batch
from meta_insights_pipeline.warehouse.archived_pages import question_of, write_pages
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse, open_memory
from meta_insights_pipeline.warehouse.entities import merge_entities
from meta_insights_pipeline.warehouse.history import thin_history
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.recovered import Asked, merge_recovered
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged, Staging
from meta_insights_pipeline.warehouse.writing import write

CAMPAIGNS: Report = builtin_reports()[1]
FORM: Any = {"mode": "live", "api_version": "v26.0"}
Rows = dict[str, list[str]]
"""Rows by table, each as text, in an order of their own."""


@dataclass(frozen=True)
class Answer:
    """What Meta answers about the campaigns of an account."""

    at: datetime
    since: date
    until: date
    rows: Sequence[dict[str, Any]]
    account: str = "1"
    report: Report = CAMPAIGNS
    fields: tuple[str, ...] | None = None
    withheld: tuple[str, ...] = ()

    @property
    def part(self) -> Slice:
        """What it is about."""
        return Slice(self.report, self.account, self.since, self.until, self.at, withheld=self.withheld)


@dataclass
class ArchivedHome:
    """A warehouse and an archive below a folder."""

    folder: Path
    empty: Path | None = None
    """A warehouse without rows to begin with, which is quicker to copy than to make."""
    settings: Settings = field(init=False)
    warehouse: Warehouse = field(init=False)
    archive: Archive = field(init=False)
    _pages: int = 0
    _runs: int = 0

    def __post_init__(self) -> None:
        self.settings = Settings(
            _env_file=None, META_INSIGHTS_MODE="live", META_ACCESS_TOKEN="token-123", META_INSIGHTS_HOME=self.folder
        )
        self.warehouse = Warehouse(self.settings.warehouse_path, self.folder / "tmp")
        self.warehouse.check_writable()
        if self.empty is not None:
            copyfile(self.empty, self.warehouse.path)
        self.archive = Archive(self.settings.archive_path)

    def pages(self, answer: Answer) -> list[PageFile]:
        """The pages of an answer: no more than two rows each."""
        chunks = [answer.rows[at : at + 2] for at in range(0, len(answer.rows), 2)] or [[]]
        return [PageFile(self._page(chunk), answer.fields) for chunk in chunks]

    def merge(self, *answers: Answer, archived: bool = True, gaps: Sequence[Gap] = (), settled: bool = True) -> str:
        """Merge answers in one transaction and archive them; the id of the run.

        Args:
            answers: What came.
            archived: Whether the archive gets it.
            gaps: What did not come.
            settled: Whether the process lives long enough to give the archived files their names.
        """
        self._runs += 1
        run_id = f"run-{self._runs}"
        pages = {id(answer): self.pages(answer) for answer in answers}
        intake = self.archive.intake(run_id)
        if archived:
            for answer in answers:
                writer = partial(write_pages, part=answer.part, pages=pages[id(answer)], **FORM)
                intake.add(answer.account, answer.report.name, question_of(answer.part), writer)
        rows = self.folder / "tmp" / run_id
        rows.mkdir()
        with open_memory(self.folder / "tmp") as connection:
            staging = Staging(connection, rows)
            for answer in answers:
                staging.add(answer.part, pages[id(answer)])
            staged = [outcome for outcome in staging.finish() if isinstance(outcome, Staged)]
        assert len(staged) == len(answers)
        write(
            self.warehouse,
            self.settings.snapshot_path,
            staged,
            gaps,
            run_id=run_id,
            source="live",
            publish_result=True,
            read_back=lambda _: intake.mark_merged(datetime.now(UTC)) if settled else None,
        )
        if settled and (moment := intake.merged_at):
            intake.settle(moment)
        return run_id

    def recover(self, answer: Answer, ids: Sequence[str], *, archived: bool = True, settled: bool = True) -> None:
        """Merge what campaigns answered that were asked for by themselves, and archive it.

        Args:
            answer: What came.
            ids: The campaigns.
            archived: Whether the archive gets it.
            settled: Whether the process lives long enough to give the archived file its name.
        """
        self._runs += 1
        run_id = f"run-{self._runs}"
        asked = Asked(
            Level.CAMPAIGN, {answer.account: ids}, [(answer.account, day) for day in question_of(answer.part).days]
        )
        pages = self.pages(answer)
        intake = self.archive.intake(run_id)
        if archived:
            writer = partial(write_pages, part=answer.part, pages=pages, asked=asked, **FORM)
            intake.add(answer.account, by_id(answer.report.name), question_of(answer.part), writer)
        folder = self.folder / "tmp" / run_id
        folder.mkdir()
        with open_memory(self.folder / "tmp") as connection:
            staging = Staging(connection, folder)
            staging.add(answer.part, pages)
            staged = [outcome for outcome in staging.finish() if isinstance(outcome, Staged)]
        with self.warehouse.connect() as connection:
            connection.execute("BEGIN")
            merge_recovered(connection, staged, asked, run_id, folder)
            connection.execute("COMMIT")
            if settled:
                intake.mark_merged(datetime.now(UTC))
        if settled and (moment := intake.merged_at):
            intake.settle(moment)

    def refresh(self, *batches: EntityBatch, archived: bool = True) -> None:
        """Merge refreshes of entities and archive them."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        intake = self.archive.intake(run_id, 1)
        for batch in batches if archived else ():
            writer = partial(write_batch, batch=batch, **FORM)
            intake.add(batch.account_id, ENTITIES, Question(batch.collected_at), writer)
        with self.warehouse.connect() as connection:
            connection.execute("BEGIN")
            merge_entities(connection, batches, run_id, self.folder / "tmp")
            connection.execute("COMMIT")
            intake.mark_merged(datetime.now(UTC))
        if moment := intake.merged_at:
            intake.settle(moment)

    def thin_history(self, now: datetime) -> None:
        """Thin the history of the warehouse as of a moment."""
        with self.warehouse.connect() as connection:
            connection.execute("BEGIN")
            thin_history(connection, now)
            connection.execute("COMMIT")
            connection.execute(f"CHECKPOINT {ALIAS}")

    def files(self, report: str = CAMPAIGNS.name) -> list[Path]:
        """The archived files of a report, in the order in which they were asked for."""
        return sorted(self.archive.folder.glob(f"act_*/{report}/*"), key=lambda file: file.name)

    def dump(self) -> Rows:
        """Every table of the warehouse, row by row."""
        return dump(self.settings.warehouse_path)

    def as_of(self, moment: datetime) -> list[tuple[Any, ...]]:
        """The campaigns' rows as they were known at a moment, without the time of the change."""
        text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
        with closing(duckdb.connect(str(self.settings.snapshot_path), read_only=True)) as connection:
            return connection.execute(
                f"SELECT * EXCLUDE (changed_at) FROM campaign_insights_as_of('{text}') ORDER BY ALL"
            ).fetchall()

    def _page(self, rows: Sequence[dict[str, Any]]) -> Path:
        self._pages += 1
        file = self.folder / "tmp" / f"page-{self._pages}.json"
        file.write_text(json.dumps(list(rows)), "utf-8")
        return file


def dump(file: Path) -> Rows:
    """Every table of a DuckDB file, row by row."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        names = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        return {
            f"{schema}.{table}": sorted(map(repr, connection.execute(f'FROM "{schema}"."{table}"').fetchall()))
            for schema, table in names
        }


def campaign_row(campaign: str, day: date, *, account: str = "1", **values: Any) -> dict[str, Any]:
    """A campaign's row as Meta writes it: numbers are texts, what is not there is left out."""
    return {
        "account_id": account,
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
