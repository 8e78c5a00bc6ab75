"""Rows that no report lists and that were asked for by themselves: kept beside the others, and marked in a book of their own.

Meta's reports leave some deleted entities out although the totals above hold them. An ordinary sync of such a day would take
the recovered rows for vanished; so they are carried over into what it merges, as if Meta had listed them again. That they are
still true is seen by the ledger: once the level no longer adds up, they are asked for again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.changes import Changes, Comparison, insert_first
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.drift import note_drift
from meta_insights_pipeline.warehouse.level_sums import DaysTable, report_name
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.pages import SLICE
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, RECOVERED_ROWS, Table, actions_table, fact_table
from meta_insights_pipeline.warehouse.scope import SCOPE, Batch, draw_scope
from meta_insights_pipeline.warehouse.sql import literal, parquet
from meta_insights_pipeline.warehouse.staging import RowFiles, Staged

BOOK = f"{ALIAS}.pipeline.{RECOVERED_ROWS}"
_KEYS, _ASKED, _OPEN = "recovered_keys", "recovered_asked", "recovered_open"


def recovered_levels(connection: duckdb.DuckDBPyConnection, days: DaysTable) -> list[Level]:
    """The levels that have recovered rows on some of these days."""
    rows = connection.execute(
        f"SELECT DISTINCT r.report FROM {BOOK} AS r JOIN {days.name} AS b ON {days.same} WHERE {days.bounds}"
    ).fetchall()
    found = {row[0] for row in rows}
    return [level for level in Level if report_name(level) in found]


def is_recovered(level: Level) -> str:
    """What tells the recovered rows `r` of a level's table from the others, as a condition."""
    return (
        f"(r.account_id, r.{level.id_field}, r.date_start) IN (SELECT (account_id, entity_id, date_start) "
        f"FROM {BOOK} WHERE report = {literal(report_name(level))})"
    )


# ---- carrying over ----


def carry_over(connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], folder: Path) -> list[Staged]:
    """Staged slices together with the recovered rows of their days that Meta did not list this time either.

    A row that Meta lists by itself again is no longer marked.

    Args:
        connection: With the warehouse attached; inside the caller's transaction.
        staged: What is about to be merged.
        folder: For the rows; it must exist until everything is merged.
    """
    marked = {row[0] for row in connection.execute(f"SELECT DISTINCT report FROM {BOOK}").fetchall()}
    groups: dict[tuple[str, RowFiles], list[Staged]] = {}
    for each in staged:
        if each.part.report.name in marked:
            groups.setdefault((each.part.report.name, each.files), []).append(each)
    longer: dict[tuple[str, RowFiles], RowFiles] = {}
    for number, (group, slices) in enumerate(groups.items()):
        if found := _carried(connection, slices, folder / f"carried-{number}"):
            longer[group] = found
    return [replace(each, files=longer.get((each.part.report.name, each.files), each.files)) for each in staged]


def _carried(connection: duckdb.DuckDBPyConnection, slices: Sequence[Staged], stem: Path) -> RowFiles | None:
    """The files of slices that share them, with those of carried rows; None when there are none."""
    report, files = slices[0].part.report, slices[0].files
    entity = report.level.id_field
    lines = ", ".join(
        f"({each.number}, {literal(each.part.account_id)}, {literal(each.part.since)}, {literal(each.part.until)})"
        for each in slices
    )
    since, until = min(each.part.since for each in slices), max(each.part.until for each in slices)
    of_report = f"k.report = {literal(report.name)} AND k.date_start BETWEEN {literal(since)} AND {literal(until)}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_KEYS} AS SELECT s.{SLICE}, k.account_id, k.entity_id, k.date_start FROM {BOOK} AS k "
        f"JOIN (FROM (VALUES {lines}) AS v({SLICE}, account_id, since, until)) AS s "
        f"ON k.account_id = s.account_id AND k.date_start BETWEEN s.since AND s.until WHERE {of_report}"
    )
    if files.facts:
        listed = f"(SELECT DISTINCT {SLICE}, {entity} AS entity_id, date_start FROM {parquet(files.facts)})"
        same = f"t.{SLICE} = k.{SLICE} AND t.entity_id = k.entity_id AND t.date_start = k.date_start"
        connection.execute(
            f"DELETE FROM {BOOK} AS k USING (SELECT t.* FROM {_KEYS} AS t SEMI JOIN {listed} AS k ON {same}) AS t "
            f"WHERE {of_report} AND k.account_id = t.account_id AND k.entity_id = t.entity_id AND k.date_start = t.date_start"
        )
        connection.execute(f"DELETE FROM {_KEYS} AS k USING {listed} AS t WHERE {same}")
    if connection.execute(f"SELECT count(*) FROM {_KEYS}").fetchone() == (0,):
        return None
    bounds = f"r.date_start BETWEEN {literal(since)} AND {literal(until)}"
    facts, actions = stem.with_suffix(".facts.parquet"), stem.with_suffix(".actions.parquet")
    _copy(
        connection,
        f"SELECT k.{SLICE}, {_columns(fact_table(report).stored)} FROM {ALIAS}.{report.name} AS r JOIN {_KEYS} AS k "
        f"ON r.account_id = k.account_id AND r.{entity} = k.entity_id AND r.date_start = k.date_start WHERE {bounds}",
        facts,
    )
    _copy(
        connection,
        f"SELECT k.{SLICE}, {_columns(actions_table().stored)} FROM {ALIAS}.{ACTIONS_TABLE} AS r JOIN {_KEYS} AS k "
        "ON r.account_id = k.account_id AND r.entity_id = k.entity_id AND r.date_start = k.date_start "
        f"WHERE r.level = {literal(report.level.value)} AND {bounds}",
        actions,
    )
    return RowFiles((*files.facts, facts), (*files.actions, actions))


# ---- storing ----


@dataclass(frozen=True)
class Asked:
    """What was asked for by itself, and for which days its answer counts."""

    owner: Level
    """The level of the nodes that were asked: that of the rows, or one above."""
    nodes: Mapping[str, Sequence[str]]
    """Ids by account."""
    days: Sequence[tuple[str, date]]
    """Account days; what came for other days is left alone."""


@dataclass(frozen=True)
class _KeysBatch(Batch):
    """A part of a merge that is about the recovered rows alone."""

    @property
    def own_rows(self) -> str:
        """What tells these rows from others, as a condition on `r`."""
        entity = "entity_id" if self.table.name == ACTIONS_TABLE else self.report.level.id_field
        return (
            f"{super().own_rows} AND (r.account_id, r.{entity}, r.date_start) IN "
            f"(SELECT (account_id, entity_id, date_start) FROM {_KEYS})"
        )


def merge_recovered(
    connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], asked: Asked, run_id: str, folder: Path
) -> dict[str, MergeCounts]:
    """Store the rows that no report had listed, and bring those up to date that were recovered before.

    Rows that a report did list stay as they are: they belong to the moment of their report.

    Args:
        connection: With the warehouse attached; inside the caller's transaction.
        staged: What came, of one report.
        asked: What was asked for.
        run_id: Written beside each row.
        folder: For rows on their way; it must exist.

    Returns:
        Counts by table.
    """
    if not staged or not asked.days:
        return {}
    report = staged[0].part.report
    facts, actions = fact_table(report), actions_table()
    shared = dict.fromkeys(each.files for each in staged)
    numbers = [each.number for each in staged]
    coming = _rows_of(facts, [file for each in shared for file in each.facts], numbers)
    acting = _rows_of(actions, [file for each in shared for file in each.actions], numbers)
    _draw_keys(connection, report, coming, asked)
    files = RowFiles(
        (_chosen(connection, facts, coming, report.level.id_field, folder),),
        (_chosen(connection, actions, acting, "entity_id", folder),),
    )
    counts: dict[str, MergeCounts] = {}
    for batch in draw_scope(connection, [replace(each, files=files) for each in staged]):
        if batch.is_first_load:
            changes = Changes(insert_first(connection, batch.table, batch.files))
        else:
            changes = Comparison(connection, _KeysBatch(**vars(batch)), folder).merge(in_place=True)
        unchanged = batch.rows - changes.inserted - changes.updated
        mine = MergeCounts(batch.rows, changes.inserted, changes.updated, unchanged, changes.removed)
        counts[batch.table.name] = counts.get(batch.table.name, MergeCounts()) + mine
    _write_book(connection, report, files.facts[0], run_id)
    note_drift(connection, staged, run_id)
    return counts


def _draw_keys(connection: duckdb.DuckDBPyConnection, report: Report, coming: str, asked: Asked) -> None:
    """The rows that the answers decide on: those that no report listed, and recovered ones of the nodes that were asked."""
    entity, owner = report.level.id_field, asked.owner.id_field
    nodes = ", ".join(f"({literal(account)}, {literal(node)})" for account, ids in asked.nodes.items() for node in ids)
    days = ", ".join(f"({literal(account)}, {literal(day)})" for account, day in asked.days)
    since, until = (literal(pick(day for _, day in asked.days)) for pick in (min, max))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_ASKED} AS FROM (VALUES {nodes}) AS v(account_id, node)")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_OPEN} AS FROM (VALUES {days}) AS v(account_id, date_start)")
    key = "account_id, entity_id, date_start"
    marked = f"(SELECT {key} FROM {BOOK} WHERE report = {literal(report.name)})"
    stored = (
        f"(SELECT account_id, {entity} AS entity_id, {owner} AS node, date_start FROM {ALIAS}.{report.name} "
        f"WHERE date_start BETWEEN {since} AND {until})"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_KEYS} AS "
        f"SELECT {key} FROM (SELECT DISTINCT account_id, {entity} AS entity_id, date_start FROM {coming}) "
        f"SEMI JOIN {_OPEN} USING (account_id, date_start) "
        f"ANTI JOIN (FROM {stored} ANTI JOIN {marked} USING ({key})) USING ({key}) "
        f"UNION SELECT {key} FROM {stored} SEMI JOIN {marked} USING ({key}) "
        f"SEMI JOIN {_OPEN} USING (account_id, date_start) SEMI JOIN {_ASKED} USING (account_id, node)"
    )


def _rows_of(table: Table, files: Sequence[Path], numbers: Sequence[int]) -> str:
    """The staged rows of some slices as a table expression, also when there are none."""
    if not files:
        return f"(SELECT 0 AS {SLICE}, * FROM {ALIAS}.{table.name} LIMIT 0)"
    # Slices that were read together share their files.
    return f"(FROM {parquet(files)} WHERE {SLICE} IN ({', '.join(map(str, numbers))}))"


def _chosen(connection: duckdb.DuckDBPyConnection, table: Table, coming: str, entity: str, folder: Path) -> Path:
    """A file with the staged rows of a table that are to be stored."""
    file = folder / f"recovered-{table.name}.parquet"
    _copy(
        connection,
        f"SELECT r.{SLICE}, {_columns(table.stored)} FROM {coming} AS r SEMI JOIN {_KEYS} AS k "
        f"ON r.account_id = k.account_id AND r.{entity} = k.entity_id AND r.date_start = k.date_start",
        file,
    )
    return file


def _write_book(connection: duckdb.DuckDBPyConnection, report: Report, facts: Path, run_id: str) -> None:
    """Mark the rows that came, and no longer those that did not; days that somebody else knows better are left alone."""
    name = literal(report.name)
    merged = f"(SELECT {SLICE}, account_id, date_start, collected_at FROM {SCOPE} WHERE table_name = {name})"
    connection.execute(
        f"DELETE FROM {BOOK} AS b USING (FROM {_KEYS} SEMI JOIN {merged} USING (account_id, date_start)) AS k "
        f"WHERE b.report = {name} AND b.account_id = k.account_id AND b.entity_id = k.entity_id "
        "AND b.date_start = k.date_start"
    )
    connection.execute(
        f"INSERT INTO {BOOK} (report, account_id, date_start, entity_id, recovered_at, run_id) "
        f"SELECT {name}, r.account_id, r.date_start, r.{report.level.id_field}, m.collected_at, {literal(run_id)} "
        f"FROM {parquet([facts])} AS r JOIN {merged} AS m USING ({SLICE}, date_start)"
    )


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f'r."{name}"' for name in names)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    connection.execute(f"COPY ({query}) TO {literal(file)} (FORMAT parquet, COMPRESSION lz4_raw)")
