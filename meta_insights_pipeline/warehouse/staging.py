"""Reading the pages of a slice into typed Parquet files; nothing of the warehouse is touched.

DuckDB's own JSON reader reads the rows as Meta wrote them, with declared types. Where a page holds a number of a form that
the typed reader refuses (an empty text for instance), the slice is read again as text and converted value by value.
Files, and not tables, since DuckDB keeps a table that was dropped inside a transaction in memory until its end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.fields import Field, Kind, Unit
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, DECIMAL, actions_table, fact_table
from meta_insights_pipeline.warehouse.sql import literal, parquet

# Bytes of pages that are read together: enough to keep both readers busy, few enough for a small memory.
BYTES_AT_ONCE = 8_000_000
_MAX_OBJECT_BYTES = 2_000_000
_RAW = "raw_rows"
_UNREADABLE = (duckdb.InvalidInputException, duckdb.ConversionException)


class StagingError(Exception):
    """Pages hold something that cannot be a row of the report; the message says what."""


@dataclass(frozen=True)
class Slice:
    """What a set of pages answers: one report of one account over a range of days."""

    report: Report
    account_id: str
    since: date
    until: date
    collected_at: datetime
    """When (UTC) the answer was true: the moment before it was asked for."""

    def __str__(self) -> str:
        """For messages."""
        return f"{self.report.name} of account {self.account_id}, {self.since} to {self.until}"


@dataclass(frozen=True)
class Staged:
    """A slice as typed rows in Parquet files."""

    part: Slice
    facts: tuple[Path, ...]
    actions: tuple[Path, ...]
    rows: int
    repeats: int = 0
    """Rows that came on two pages; one of each was kept."""


@dataclass
class Draft:
    """A slice whose pages are still coming."""

    part: Slice
    pages: list[Path] = field(default_factory=list)
    """Pages that wait to be read with others."""
    size: int = 0
    facts: list[Path] = field(default_factory=list)
    actions: list[Path] = field(default_factory=list)
    rows: int = 0


class Staging:
    """Reads slices with an in-memory database of its own; pages are read as soon as enough of them have come."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Name the folder into which the typed rows go; it must exist."""
        self._connection = connection
        self._folder = folder
        self._files = 0

    def stage(self, part: Slice, pages: Iterable[Path]) -> Staged:
        """Read the pages of one slice, each a file with a JSON array of rows.

        Raises:
            StagingError: A page cannot be read, or holds rows that were not asked for.
        """
        draft = Draft(part)
        for page in pages:
            self.add(draft, page)
        return self.finish(draft)

    def add(self, draft: Draft, page: Path) -> None:
        """Take a page of a slice; it must stay in place until the slice is finished.

        Raises:
            StagingError: As `stage`.
        """
        draft.pages.append(page)
        draft.size += page.stat().st_size
        if draft.size >= BYTES_AT_ONCE:
            self._flush(draft)

    def finish(self, draft: Draft) -> Staged:
        """All pages have come.

        Raises:
            StagingError: As `stage`.
        """
        self._flush(draft)
        return self._without_repeats(Staged(draft.part, tuple(draft.facts), tuple(draft.actions), draft.rows))

    def _flush(self, draft: Draft) -> None:
        if not draft.pages:
            return
        part = draft.part
        self._read_pages(part, draft.pages)
        draft.facts.append(self._copy(self._facts(part)))
        if part.report.action_fields:
            draft.actions.append(self._copy(self._actions(part)))
        draft.rows += self._count(f"SELECT count(*) FROM {_RAW}")
        self._connection.execute(f"DROP TABLE {_RAW}")
        draft.pages, draft.size = [], 0

    def _read_pages(self, part: Slice, pages: Sequence[Path]) -> None:
        try:
            self._read(part.report, pages, typed=True)
        except _UNREADABLE:
            try:
                self._read(part.report, pages, typed=False)
            except _UNREADABLE as error:
                raise StagingError(f"{part}: a page cannot be read ({str(error).splitlines()[0]}).") from None
        self._check(part)

    def _copy(self, query: str) -> Path:
        self._files += 1
        file = self._folder / f"rows-{self._files:06d}.parquet"
        self._connection.execute(f"COPY ({query}) TO {literal(str(file))} (FORMAT parquet, COMPRESSION lz4_raw)")
        return file

    def _facts(self, part: Slice) -> str:
        values = [f'{_stored_value(field)} AS "{field.name}"' for field in part.report.column_fields]
        return f"SELECT {', '.join(values)}, {literal(part.collected_at)} AS {CHANGED_AT} FROM {_RAW}"

    def _actions(self, part: Slice) -> str:
        entity = part.report.level.id_field
        lists = " UNION ALL ".join(
            f"SELECT account_id, {entity} AS entity_id, date_start, '{field.name}' AS field, unnest(\"{field.name}\") AS a "
            f'FROM {_RAW} WHERE "{field.name}" IS NOT NULL'
            for field in part.report.action_fields
        )
        asked = set(part.report.windows)
        values = [
            f'a."{name}" AS "{windows()[name].column}"'
            if name in asked
            else f'NULL::{DECIMAL} AS "{windows()[name].column}"'
            for name in default_windows()
        ]
        return (
            f"SELECT '{part.report.level}' AS level, account_id, entity_id, date_start, field, a.action_type AS action_type, "
            f'a."value" AS "value", {", ".join(values)}, {literal(part.collected_at)} AS {CHANGED_AT} '
            f"FROM ({lists}) WHERE a.action_type IS NOT NULL"
        )

    def _without_repeats(self, staged: Staged) -> Staged:
        """Keep one of the rows that came on two pages."""
        facts, repeats = self._distinct(staged.facts, fact_table(staged.part.report).key)
        actions, _ = self._distinct(staged.actions, actions_table().key)
        return replace(staged, facts=facts, actions=actions, rows=staged.rows - repeats, repeats=repeats)

    def _distinct(self, files: tuple[Path, ...], key: Sequence[str]) -> tuple[tuple[Path, ...], int]:
        if not files:
            return files, 0
        rows = parquet(files)
        names = ", ".join(key)
        # Hashes are several times quicker to count than keys of text; equal hashes are only a reason to look closer.
        if not self._count(f"SELECT count(*) - count(DISTINCT hash({names})) FROM {rows}"):
            return files, 0
        before = self._count(f"SELECT count(*) FROM {rows}")
        file = self._copy(f"SELECT * FROM {rows} QUALIFY row_number() OVER (PARTITION BY {names}) = 1")
        return (file,), before - self._count(f"SELECT count(*) FROM {parquet((file,))}")

    def _count(self, statement: str) -> int:
        row = self._connection.execute(statement).fetchone()
        return int(row[0]) if row else 0

    def _read(self, report: Report, files: Sequence[Path], *, typed: bool) -> None:
        types = {
            field.name: _json_type(field, report, typed=typed)
            for field in (*report.column_fields, *report.action_fields)
        }
        columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
        values = [_read_value(field, report, typed=typed) for field in (*report.column_fields, *report.action_fields)]
        names = ", ".join(literal(str(file)) for file in files)
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_RAW} AS SELECT {', '.join(values)} FROM read_json([{names}], "
            f"columns = {{{columns}}}, format = 'array', maximum_object_size = {_MAX_OBJECT_BYTES})"
        )

    def _check(self, part: Slice) -> None:
        """Rows that were not asked for are a sign of a wrong request or a wrong answer: never store them."""
        entity = part.report.level.id_field
        row = self._connection.execute(
            f"SELECT count(*), min(account_id), min(date_start), max(date_start), count(*) FILTER ({entity} IS NULL) "
            f"FROM {_RAW} WHERE account_id IS DISTINCT FROM {literal(part.account_id)} OR {entity} IS NULL "
            f"OR date_start IS NULL OR date_start NOT BETWEEN {literal(part.since)} AND {literal(part.until)}"
        ).fetchone()
        if row and row[0]:
            raise StagingError(
                f"{part}: Meta answered {row[0]} rows that were not asked for "
                f"(account {row[1]}, days {row[2]} to {row[3]}, {row[4]} without an id)."
            )


def _json_type(field: Field, report: Report, *, typed: bool) -> str:
    if field.kind is Kind.ACTIONS:
        number = DECIMAL if typed else "VARCHAR"
        numbers = ", ".join(f'"{name}" {number}' for name in ("value", *report.windows))
        return f"STRUCT(action_type VARCHAR, {numbers})[]"
    # Dates are read as text, since the typed reader takes "2026-10-1x" for a date.
    if not typed or field.kind is Kind.TEXT:
        return "VARCHAR"
    return "BIGINT" if field.unit is Unit.COUNT else DECIMAL


def _read_value(field: Field, report: Report, *, typed: bool) -> str:
    name = f'"{field.name}"'
    if field.unit is Unit.DATE:
        return f"CAST({name} AS DATE) AS {name}"
    if typed or field.kind is Kind.TEXT:
        return name
    if field.kind is Kind.ACTIONS:
        keys = ("value", *report.windows)
        numbers = ", ".join(f""""{key}" := CAST(nullif(a."{key}", '') AS {DECIMAL})""" for key in keys)
        return f"[struct_pack(action_type := a.action_type, {numbers}) FOR a IN {name}] AS {name}"
    return f"CAST(nullif({name}, '') AS {'BIGINT' if field.unit is Unit.COUNT else DECIMAL}) AS {name}"


def _stored_value(field: Field) -> str:
    """Meta leaves out counts that are 0; a count that was asked for and did not come is 0, anything else is unknown."""
    name = f'"{field.name}"'
    return f"coalesce({name}, 0)" if field.additive else name
