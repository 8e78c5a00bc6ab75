"""The archive as a table, so that a million files need no memory: which there are, in which order they were merged."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive, ArchivedFile
from meta_insights_pipeline.warehouse.archive_names import MergedName, Question, report_behind
from meta_insights_pipeline.warehouse.sql import literal

ARCHIVED = "archived_files"
"""A temporary table `(report, account_id, since, until, collected_at, merged_at, run_id, path, is_taken)`."""
_COLUMNS = {
    "report": "VARCHAR",
    "account_id": "VARCHAR",
    "since": "DATE",
    "until": "DATE",
    "collected_at": "TIMESTAMP",
    "merged_at": "TIMESTAMP",
    "run_id": "VARCHAR",
    "path": "VARCHAR",
}


@dataclass(frozen=True)
class Merge:
    """One transaction of a sync, of which the content was archived."""

    merged_at: datetime
    run_id: str


def make_index(connection: duckdb.DuckDBPyConnection) -> None:
    """Make an empty index, in place of the last one."""
    columns = ", ".join(f"{name} {sql_type}" for name, sql_type in _COLUMNS.items())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {ARCHIVED} ({columns}, is_taken BOOLEAN)")


def add_to_index(
    connection: duckdb.DuckDBPyConnection, archive: Archive, reports: Sequence[str], folder: Path
) -> list[Path]:
    """Add the files that are not in the index yet.

    Args:
        connection: With an index.
        archive: The archive.
        reports: Names of the reports that there are today; pages of others are left out.
        folder: For the list on its way; it must exist.

    Returns:
        Files of which the name tells nothing.
    """
    strangers: list[Path] = []
    wanted = {*reports, ENTITIES}
    listing = folder / "archive.csv"
    with listing.open("w", encoding="utf-8", newline="") as target:
        lines = csv.writer(target)
        for file in archive.files():
            if isinstance(file, Path):
                strangers.append(file)
            elif report_behind(file.report) in wanted:
                lines.writerow(_line(file))
    types = ", ".join(f"{literal(name)}: {literal(sql_type)}" for name, sql_type in _COLUMNS.items())
    connection.execute(
        f"INSERT INTO {ARCHIVED} SELECT *, false FROM read_csv({literal(listing)}, header = false, auto_detect = false, "
        f"""delim = ',', quote = '"', escape = '"', nullstr = '', columns = {{{types}}}) """
        f"ANTI JOIN {ARCHIVED} USING (path) ORDER BY merged_at, run_id, collected_at"
    )
    listing.unlink()
    return strangers


def merges(connection: duckdb.DuckDBPyConnection) -> list[Merge]:
    """What has not been taken yet, in the order in which it was merged."""
    rows = connection.execute(
        f"SELECT DISTINCT merged_at, run_id FROM {ARCHIVED} WHERE NOT is_taken ORDER BY merged_at, run_id"
    ).fetchall()
    return [Merge(moment.replace(tzinfo=UTC), run_id) for moment, run_id in rows]


def files_of(connection: duckdb.DuckDBPyConnection, merge: Merge) -> Iterator[ArchivedFile]:
    """The files of one transaction."""
    rows = connection.execute(
        f"SELECT report, account_id, since, until, collected_at, path FROM {ARCHIVED} WHERE NOT is_taken "
        f"AND merged_at = {literal(merge.merged_at)} AND run_id = {literal(merge.run_id)} ORDER BY collected_at, path"
    ).fetchall()
    for report, account_id, since, until, collected_at, path in rows:
        question = Question(collected_at.replace(tzinfo=UTC), since, until)
        yield ArchivedFile(Path(path), account_id, report, MergedName(question, merge.merged_at, merge.run_id))


def mark_taken(connection: duckdb.DuckDBPyConnection) -> None:
    """Note that everything in the index has been taken."""
    connection.execute(f"UPDATE {ARCHIVED} SET is_taken = true")


def _line(file: ArchivedFile) -> list[str]:
    question, name = file.name.question, file.name
    return [
        file.report,
        file.account_id,
        "" if question.since is None else question.since.isoformat(),
        "" if question.until is None else question.until.isoformat(),
        question.collected_at.replace(tzinfo=None).isoformat(),
        name.merged_at.replace(tzinfo=None).isoformat(),
        name.run_id,
        str(file.path),
    ]
