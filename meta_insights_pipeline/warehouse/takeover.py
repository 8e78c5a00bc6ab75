"""What a rebuilt warehouse takes over from the earlier one: everything that the archive does not tell.

Rows before the archive begins are there first, as they were known then, so that merging the archived pages goes on from them. At
the end days of which the archive does not know all are put back as they were. Two warehouses are attached: the rebuilt one under
its usual name, and the earlier one for reading.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType

import duckdb

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.archive import ENTITIES
from meta_insights_pipeline.warehouse.archive_index import ARCHIVED
from meta_insights_pipeline.warehouse.archive_names import by_id
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import (
    CHANGED_AT,
    RECOVERED_ROWS,
    SUPERSEDED_AT,
    Table,
    actions_table,
    entity_tables,
    fact_table,
    history_table,
)
from meta_insights_pipeline.warehouse.sql import literal

EARLIER = "earlier"
KEPT = "kept_days"
"""A temporary table `(report, account_id, date_start)`: what is put back as it was."""
_MOMENTS = "archived_moments"
_REBUILT = "rebuilt_days"
_COLUMNS = "columns_of_both"
_COVERAGE = "pipeline.coverage"
_RECOVERED = f"pipeline.{RECOVERED_ROWS}"
_DAY = "report, account_id, date_start"
# DuckDB tells it nowhere else.
_COMPUTED = re.compile(r'(?:"([^"]+)"|(\w+)) [A-Z]+(?:\([^()]*\))? GENERATED ALWAYS')


@contextmanager
def earlier_attached(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    """Attach a warehouse file as the earlier one, for reading."""
    connection.execute(f"ATTACH {literal(path)} AS {EARLIER} (READ_ONLY)")
    # Once, since DuckDB works out the columns of all views whenever it is asked for those of one table.
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_COLUMNS} AS SELECT database_name, schema_name, table_name, column_name, column_index, "
        "sql FROM duckdb_columns() JOIN duckdb_tables() USING (database_name, schema_name, table_name)"
    )
    try:
        yield
    finally:
        connection.execute(f"DETACH {EARLIER}")


def note_archived_days(connection: duckdb.DuckDBPyConnection, thinned_before: date | None) -> None:
    """Note of which account days there are pages, and from which moment on.

    Args:
        connection: With an index of the archive.
        thinned_before: What was asked for before this day (UTC) was thinned to the last answers of each day, which stand for
            the whole day; None: nothing was.
    """
    thinned = "false" if thinned_before is None else f"min(collected_at) < {literal(thinned_before)}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_MOMENTS} AS SELECT DISTINCT report, account_id, "
        "unnest(generate_series(since, until, INTERVAL 1 DAY))::DATE AS date_start, collected_at "
        f"FROM {ARCHIVED} WHERE report <> {literal(ENTITIES)}"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_REBUILT} AS SELECT {_DAY}, CASE WHEN {thinned} "
        f"THEN date_trunc('day', min(collected_at)) ELSE min(collected_at) END AS rebuilt_from FROM {_MOMENTS} "
        # What nodes were asked for begins no day: it adds to what a report has listed.
        f"WHERE NOT ends_with(report, {literal(by_id(''))}) GROUP BY ALL"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {KEPT} (report VARCHAR, account_id VARCHAR, date_start DATE)")


def seed(connection: duckdb.DuckDBPyConnection, reports: Sequence[Report]) -> None:
    """Take over what was known before the archive begins: of days without pages everything, of others what was current then."""
    for report in reports:
        archived = f"(FROM {_REBUILT} WHERE report = {literal(report.name)}) AS a"
        for table in _tables_of(report):
            earlier = history_table(table)
            own = _own_rows(report, table)
            joined = f"LEFT JOIN {archived} USING (account_id, date_start) WHERE {own}"
            copy_rows(connection, table, table, f"{joined} AND (rebuilt_from IS NULL OR {CHANGED_AT} < rebuilt_from)")
            copy_rows(
                connection, earlier, earlier, f"{joined} AND (rebuilt_from IS NULL OR {SUPERSEDED_AT} < rebuilt_from)"
            )
            ended_later = f"{CHANGED_AT} < rebuilt_from AND {SUPERSEDED_AT} >= rebuilt_from"
            copy_rows(
                connection,
                earlier,
                table,
                f"JOIN {archived} USING (account_id, date_start) WHERE {own} AND {ended_later}",
            )
    connection.execute(
        f"INSERT INTO {ALIAS}.{_COVERAGE} SELECT c.* FROM {EARLIER}.{_COVERAGE} AS c ANTI JOIN {_REBUILT} USING ({_DAY})"
    )


def seed_recovered(connection: duckdb.DuckDBPyConnection, reports: Sequence[Report]) -> None:
    """Take over which of the rows that were there before the archive begins no report had listed; call after `seed`.

    The book of recovered rows has no history. A day is kept where it does not tell how the first page found the row.
    """
    if not _exists(connection, EARLIER, RECOVERED_ROWS, "pipeline"):
        return
    book = f"(FROM {EARLIER}.{_RECOVERED} AS b LEFT JOIN {_REBUILT} USING ({_DAY}))"
    connection.execute(
        f"INSERT INTO {ALIAS}.{_RECOVERED} SELECT * EXCLUDE (rebuilt_from) FROM {book} "
        "WHERE rebuilt_from IS NULL OR recovered_at < rebuilt_from"
    )
    for report in reports:
        connection.execute(
            f"INSERT INTO {KEPT} SELECT DISTINCT {_DAY} FROM {book} AS b WHERE report = {literal(report.name)} "
            f'AND recovered_at >= rebuilt_from AND EXISTS (FROM {ALIAS}."{report.name}" AS t '
            "WHERE t.account_id = b.account_id AND t.date_start = b.date_start "
            f"AND t.{report.level.id_field} = b.entity_id)"
        )


def rebuilt_days(
    connection: duckdb.DuckDBPyConnection, report: str, account_id: str, days: Sequence[date], moment: datetime
) -> list[date]:
    """Those of some days of a report of an account that are made from pages, and of which pages were there at a moment."""
    rows = connection.execute(
        f"SELECT date_start FROM {_REBUILT} WHERE report = {literal(report)} AND account_id = {literal(account_id)} "
        f"AND date_start IN ({', '.join(map(literal, days))}) AND rebuilt_from <= {literal(moment)} ORDER BY date_start"
    ).fetchall()
    return [row[0] for row in rows]


def keep_unexplained(
    connection: duckdb.DuckDBPyConnection, reports: Sequence[Report], thinned_before: date | None
) -> None:
    """Keep the days of which the earlier warehouse knows a version that no archived page brought.

    Args:
        connection: With both warehouses.
        reports: Which.
        thinned_before: See `note_archived_days`; before this day a later page of the same day explains a version, too.
    """
    for report in reports:
        name = literal(report.name)
        of_report = f"m.report IN ({name}, {literal(by_id(report.name))})"
        page = f"FROM {_MOMENTS} AS m WHERE {of_report} AND m.account_id = k.account_id AND m.date_start = k.date_start"
        unexplained = f"NOT EXISTS ({page} AND m.collected_at = moment)"
        if thinned_before is not None:
            later = "m.collected_at > moment AND m.collected_at::DATE = moment::DATE"
            unexplained += f" AND NOT EXISTS ({page} AND m.collected_at < {literal(thinned_before)} AND {later})"
        for table in _tables_of(report):
            if not _exists(connection, EARLIER, table.name):
                continue
            current, earlier = f'{EARLIER}."{table.name}"', f'{EARLIER}."{history_table(table).name}"'
            known = " UNION ".join(
                f"SELECT account_id, date_start, {moment} AS moment FROM {source} AS t WHERE {_own_rows(report, table)}"
                for source, moment in ((current, CHANGED_AT), (earlier, CHANGED_AT), (earlier, SUPERSEDED_AT))
            )
            connection.execute(
                f"INSERT INTO {KEPT} SELECT DISTINCT {name}, account_id, date_start FROM ({known}) AS k "
                f"JOIN (FROM {_REBUILT} WHERE report = {name}) USING (account_id, date_start) "
                f"WHERE moment >= rebuilt_from AND {unexplained}"
            )


def keep_days(connection: duckdb.DuckDBPyConnection, report: str, account_id: str, since: date, until: date) -> None:
    """Keep the days of a report of an account."""
    connection.execute(
        f"INSERT INTO {KEPT} SELECT {literal(report)}, {literal(account_id)}, "
        f"unnest(generate_series({literal(since)}, {literal(until)}, INTERVAL 1 DAY))::DATE"
    )


def keep_recovered(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the days of which the archive tells of other rows that no report lists than the earlier warehouse."""
    if not _exists(connection, EARLIER, RECOVERED_ROWS, "pipeline"):
        return
    earlier, rebuilt = (f"(SELECT {_DAY}, entity_id FROM {database}.{_RECOVERED})" for database in (EARLIER, ALIAS))
    connection.execute(
        f"INSERT INTO {KEPT} SELECT DISTINCT {_DAY} FROM "
        f"((FROM {earlier} EXCEPT FROM {rebuilt}) UNION ALL (FROM {rebuilt} EXCEPT FROM {earlier}))"
    )


def keep_newer(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the days that the earlier warehouse has read later than the rebuilt one."""
    connection.execute(
        f"INSERT INTO {KEPT} SELECT {_DAY} FROM {EARLIER}.{_COVERAGE} AS e LEFT JOIN {ALIAS}.{_COVERAGE} AS r USING ({_DAY}) "
        "WHERE r.collected_at IS NULL OR e.collected_at > r.collected_at"
    )


def put_back(connection: duckdb.DuckDBPyConnection, reports: Sequence[Report]) -> None:
    """Make the kept days those of the earlier warehouse again, as far as it has them."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {KEPT} AS SELECT DISTINCT {_DAY} FROM {KEPT} "
        f"SEMI JOIN {EARLIER}.{_COVERAGE} USING ({_DAY})"
    )
    if connection.execute(f"SELECT count(*) FROM {KEPT}").fetchone() == (0,):
        return
    for report in reports:
        kept = f"(SELECT account_id, date_start FROM {KEPT} WHERE report = {literal(report.name)}) AS k"
        for table in _tables_of(report):
            own = _own_rows(report, table)
            for each in (table, history_table(table)):
                connection.execute(
                    f'DELETE FROM {ALIAS}."{each.name}" AS t USING {kept} '
                    f"WHERE t.account_id = k.account_id AND t.date_start = k.date_start AND {own}"
                )
                copy_rows(connection, each, each, f"JOIN {kept} USING (account_id, date_start) WHERE {own}")
    connection.execute(f"DELETE FROM {ALIAS}.{_COVERAGE} AS c USING {KEPT} AS k WHERE {_same_day('k')}")
    connection.execute(
        f"INSERT INTO {ALIAS}.{_COVERAGE} SELECT c.* FROM {EARLIER}.{_COVERAGE} AS c SEMI JOIN {KEPT} USING ({_DAY})"
    )


def count_days_taken_over(connection: duckdb.DuckDBPyConnection) -> int:
    """How many days of a report of an account are as the earlier warehouse had them: they have no pages, or were kept."""
    row = connection.execute(
        f"SELECT count(*) FROM {ALIAS}.{_COVERAGE} AS c WHERE EXISTS (FROM {KEPT} AS k WHERE {_same_day('k')}) "
        f"OR NOT EXISTS (FROM {_REBUILT} AS r WHERE {_same_day('r')})"
    ).fetchone()
    return int(row[0]) if row else 0


def take_over_rest(connection: duckdb.DuckDBPyConnection, reports: Sequence[Report]) -> None:
    """Take over every table that is not made from pages: what is missing, what a sync found, reports that are gone."""
    made = {table.name for report in reports for table in _tables_of(report)}
    made |= {history_table(table).name for report in reports for table in _tables_of(report)}
    made |= {table.name for table in entity_tables()}
    rows = connection.execute(
        f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = {literal(EARLIER)} "
        "AND NOT internal AND table_name NOT IN ('schema_version', 'coverage')"
    ).fetchall()
    for schema, name in rows:
        if schema == "main" and name in made:
            continue
        target, source = f'{ALIAS}."{schema}"."{name}"', f'{EARLIER}."{schema}"."{name}"'
        if _exists(connection, ALIAS, name, schema):
            columns = ", ".join(f'"{each}"' for each in _common(connection, schema, name, name))
            connection.execute(f"DELETE FROM {target}")
            connection.execute(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source}")
        else:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS {ALIAS}."{schema}"')
            connection.execute(f"CREATE TABLE {target} AS FROM {source}")


def thinned_at(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """When (UTC, without a zone) the history of the rebuilt warehouse was last thinned, as far as it was taken over."""
    row = connection.execute(f"SELECT max(thinned_at) FROM {ALIAS}.pipeline.history_thinning").fetchone()
    return row[0] if row else None


def copy_rows(
    connection: duckdb.DuckDBPyConnection,
    source: Table,
    target: Table,
    condition: str,
    values: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Copy rows of the earlier warehouse, as far as both have the columns.

    Args:
        connection: With both warehouses.
        source: In the earlier one, where it may be missing.
        target: In the rebuilt one.
        condition: What follows the name `t` of the source in a FROM clause.
        values: What goes into a column in place of its own value, as SQL.
    """
    if not _exists(connection, EARLIER, source.name):
        return
    columns = _common(connection, "main", source.name, target.name)
    listed = ", ".join(f'"{name}"' for name in columns)
    selected = ", ".join(values.get(name, f'"{name}"') for name in columns)
    connection.execute(
        f'INSERT INTO {ALIAS}."{target.name}" ({listed}) SELECT {selected} FROM {EARLIER}."{source.name}" AS t {condition}'
    )


def _common(connection: duckdb.DuckDBPyConnection, schema: str, source: str, target: str) -> list[str]:
    """The columns that both have and that are not computed on reading."""
    rows = connection.execute(
        f"SELECT t.column_name, t.sql FROM {_COLUMNS} AS t JOIN {_COLUMNS} AS s USING (schema_name, column_name) "
        f"WHERE t.database_name = {literal(ALIAS)} AND t.table_name = {literal(target)} AND schema_name = {literal(schema)} "
        f"AND s.database_name = {literal(EARLIER)} AND s.table_name = {literal(source)} ORDER BY t.column_index"
    ).fetchall()
    computed = {quoted or plain for quoted, plain in _COMPUTED.findall(rows[0][1])} if rows else set()
    return [name for name, _ in rows if name not in computed]


def _same_day(table: str) -> str:
    return f"c.report = {table}.report AND c.account_id = {table}.account_id AND c.date_start = {table}.date_start"


def _exists(connection: duckdb.DuckDBPyConnection, database: str, table: str, schema: str = "main") -> bool:
    row = connection.execute(
        f"SELECT count(*) FROM {_COLUMNS} WHERE database_name = {literal(database)} "
        f"AND schema_name = {literal(schema)} AND table_name = {literal(table)}"
    ).fetchone()
    return row != (0,)


def _tables_of(report: Report) -> list[Table]:
    return [fact_table(report), actions_table()] if report.action_fields else [fact_table(report)]


def _own_rows(report: Report, table: Table) -> str:
    """What tells the report's rows of a table from those of others, as a condition on `t`."""
    return f"t.level = {literal(report.level.value)}" if table.name == actions_table().name else "true"
