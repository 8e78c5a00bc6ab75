"""Reading pages: JSON arrays of rows, as Meta wrote them, into one table with typed columns, and what is asked of that table.

DuckDB's own JSON reader does the work. It reads every value as text, which is converted afterwards: its typed reader refuses
some forms of numbers that Meta writes (an empty text for instance), and takes longer for lists of actions.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.fields import Field, Kind, Unit
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, DECIMAL, OTHER_FIELDS, OTHER_WINDOWS, WITHHELD
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.unknown_parts import ENTRY_KEYS, KEPT_NOWHERE, OTHER_KEY

SLICES = "asked_slices"
"""A table `(slice, account_id, since, until, collected_at)`, to be made before pages are read."""
SLICE = "slice"
PART = "part"
_RAW = "raw_rows"
_MAX_OBJECT_BYTES = 2_000_000


class UnreadablePageError(Exception):
    """A page cannot be read; the message says why, not which."""


@dataclass(frozen=True)
class Page:
    """A file with rows, and what it is part of."""

    path: Path
    slice: int
    """The number of its slice."""
    part: int
    """The number of the group of fields that was asked for."""


@contextmanager
def telling_unreadable() -> Iterator[None]:
    """To be put around reading pages and asking for their rows.

    Raises:
        UnreadablePageError: Some page is no array of rows, a value is not of its field's type, or there are too many actions
            in the rows for the memory.
    """
    try:
        yield
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfMemoryException) as error:
        raise UnreadablePageError(str(error).splitlines()[0]) from None


def read_pages(connection: duckdb.DuckDBPyConnection, report: Report, pages: Sequence[Page]) -> None:
    """Make a table of the rows of some pages, each row with the numbers of its slice and part, in place of the last one."""
    # First, since the memory does not hold two such tables.
    forget_pages(connection)
    fields = (*report.column_fields, *report.action_fields)
    types = {
        **{field.name: _json_type(field) for field in fields},
        **dict.fromkeys(_kept_nowhere(report), "VARCHAR"),
        OTHER_KEY: "VARCHAR[]",
    }
    columns = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in types.items())
    others = (*(f'"{name}"' for name in _kept_nowhere(report)), f'"{OTHER_KEY}" AS {OTHER_FIELDS}')
    values = ", ".join((*(_read_value(field) for field in fields), *others))
    names = ", ".join(literal(page.path) for page in pages)
    slices, parts = ", ".join(str(page.slice) for page in pages), ", ".join(str(page.part) for page in pages)
    # A lookup, and not a join with a table of files, which takes several times the memory.
    position = f"list_position([{names}], page_file)"
    connection.execute(
        f"CREATE TEMP TABLE {_RAW} AS SELECT ([{slices}])[{position}] AS {SLICE}, ([{parts}])[{position}] AS {PART}, {values} "
        f"FROM read_json([{names}], columns = {{{columns}}}, format = 'array', "
        f"maximum_object_size = {_MAX_OBJECT_BYTES}, filename = 'page_file')"
    )


def forget_pages(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the table that was made last."""
    connection.execute(f"DROP TABLE IF EXISTS {_RAW}")


def count_keys_read(connection: duckdb.DuckDBPyConnection, report: Report, actions: Path | None) -> int:
    """How many keys of the pages have been read into something.

    Args:
        connection: With the rows that were read.
        report: Whose rows.
        actions: The file that was made of their lists; None for a report without any.
    """
    names = (*(field.name for field in (*report.column_fields, *report.action_fields)), *_kept_nowhere(report))
    counts = " + ".join(f'count("{name}")' for name in names)
    number = connection.execute(f"SELECT {counts} FROM {_RAW}").fetchone()
    if actions is None:
        return int(number[0]) if number else 0
    columns = ", ".join(literal(name) for name in _entry_columns())
    # What the file says of itself, which takes no reading of it.
    inside = connection.execute(
        f"SELECT coalesce(sum(num_values - stats_null_count), 0)::BIGINT FROM parquet_metadata({literal(actions)}) "
        f"WHERE path_in_schema IN ({columns})"
    ).fetchone()
    return (int(number[0]) if number else 0) + (int(inside[0]) if inside else 0)


def wrong_rows(connection: duckdb.DuckDBPyConnection, report: Report) -> dict[int, str]:
    """What is wrong with the rows that were read, by number of the slice; slices that are right are left out.

    Rows that were not asked for are a sign of a wrong request or a wrong answer.
    """
    entity = f"r.{report.level.id_field}"
    rows = connection.execute(
        f"SELECT {SLICE}, count(*), min(r.account_id), min(date_start), max(date_start), "
        f"count(*) FILTER ({entity} IS NULL) FROM {_RAW} AS r LEFT JOIN {SLICES} AS s USING ({SLICE}) "
        f"WHERE r.account_id IS DISTINCT FROM s.account_id OR {entity} IS NULL OR date_start IS NULL "
        f"OR date_start NOT BETWEEN since AND until GROUP BY {SLICE}"
    ).fetchall()
    assert all(row[0] is not None for row in rows), "DuckDB read a file that was not named"
    return {
        number: f"Meta answered {bad} rows that were not asked for (account {account}, days {first} to {last}, "
        f"{nameless} without an id)."
        for number, bad, account, first, last, nameless in rows
    }


def facts_query(report: Report) -> str:
    """The rows that were read as a fact table has them, with the numbers of their slices."""
    values = [f"{stored_value(field)} AS {quoted(field)}" for field in report.column_fields]
    rows = f"SELECT * REPLACE ({other_fields(OTHER_FIELDS)} AS {OTHER_FIELDS}) FROM {_RAW}"
    return (
        f"SELECT {SLICE}, {', '.join(values)}, collected_at AS {CHANGED_AT}, NULL::VARCHAR AS {WITHHELD}, {OTHER_FIELDS} "
        f"FROM ({rows}) JOIN (SELECT {SLICE}, collected_at FROM {SLICES}) USING ({SLICE})"
    )


def part_rows_query(report: Report) -> str:
    """The values that were read, not yet joined with those of other parts, with the numbers of their slices and parts."""
    return f"SELECT {SLICE}, {PART}, {', '.join(map(quoted, report.column_fields))}, {OTHER_FIELDS} FROM {_RAW}"


def actions_query(report: Report, parts: Mapping[str, Sequence[int]] | None = None) -> str:
    """The lists that were read as `insight_actions` has them, with the numbers of their slices.

    Args:
        report: What was read; it has action fields.
        parts: The parts that have each field; None: all of them do.
    """
    entity = report.level.id_field
    lists = " UNION ALL ".join(
        f"SELECT {SLICE}, account_id, {entity} AS entity_id, date_start, '{field.name}' AS field, "
        f"unnest({_list(field)}) AS a FROM {_RAW} WHERE {_has(field, parts)}"
        for field in report.action_fields
    )
    values = [f'{_number(name)} AS "{windows()[name].column}"' for name in default_windows()]
    return (
        f"SELECT {SLICE}, '{report.level}' AS level, l.account_id, entity_id, date_start, field, "
        f'a.action_type AS action_type, {_number("value")} AS "value", {", ".join(values)}, collected_at AS {CHANGED_AT}, '
        f'a."{OTHER_KEY}" AS {OTHER_WINDOWS} '
        f"FROM ({lists}) AS l JOIN {SLICES} AS s USING ({SLICE}) WHERE a.action_type IS NOT NULL"
    )


def other_fields(pieces: str) -> str:
    """Parts of rows that no column takes, each `"key":value`, as one JSON text; NULL when there are none."""
    return f"'{{' || nullif(array_to_string(list_sort(list_distinct({pieces})), ','), '') || '}}'"


def stored_value(field: Field) -> str:
    """Meta leaves out counts that are 0; a count that was asked for and did not come is 0, anything else is unknown.

    A count that came and that its column cannot hold is among the other fields, and unknown in the column.
    """
    if not field.additive:
        return quoted(field)
    apart = f"{OTHER_FIELDS} IS NOT NULL AND json_exists({OTHER_FIELDS}, {literal(f'$.{quoted(field)}')})"
    return f"CASE WHEN {apart} THEN NULL ELSE coalesce({quoted(field)}, 0) END"


def quoted(field: Field) -> str:
    """A field's column as SQL."""
    return f'"{field.name}"'


def _has(field: Field, parts: Mapping[str, Sequence[int]] | None) -> str:
    if parts is None:
        return f"{quoted(field)} IS NOT NULL"
    numbers = ", ".join(map(str, parts[field.name]))
    return f"{quoted(field)} IS NOT NULL AND {PART} IN ({numbers})" if numbers else "false"


def _kept_nowhere(report: Report) -> tuple[str, ...]:
    return tuple(name for name in KEPT_NOWHERE if name not in {field.name for field in report.column_fields})


def _entry_columns() -> tuple[str, ...]:
    """The columns of `insight_actions` with the values of the keys of an action."""
    return "action_type", "value", *(windows()[name].column for name in default_windows())


def _json_type(field: Field) -> str:
    return "JSON" if field.kind is Kind.ACTIONS else "VARCHAR"


def _read_value(field: Field) -> str:
    name = quoted(field)
    if field.unit is Unit.DATE:
        return f"CAST({name} AS DATE) AS {name}"
    if field.kind in (Kind.TEXT, Kind.ACTIONS):
        return name
    if field.unit is not Unit.COUNT:
        return f"CAST(nullif({name}, '') AS {DECIMAL}) AS {name}"
    # A cast would round; what is no whole number is set aside with what no column takes.
    whole, exact = f"CAST({name} AS BIGINT)", f"CAST({name} AS DECIMAL(38, 10))"
    return (
        f"CASE WHEN {name} = '' THEN NULL WHEN contains({name}, '.') OR contains(lower({name}), 'e') "
        f"THEN CASE WHEN {exact} = {whole} THEN {whole} END ELSE {whole} END AS {name}"
    )


def _list(field: Field) -> str:
    """A list of actions, every value of them as text."""
    name = quoted(field)
    keys = ", ".join(f'"{key}":"VARCHAR"' for key in (*ENTRY_KEYS, OTHER_KEY))
    # What does not fit the structure would become NULL without a word.
    return (
        f"CASE WHEN {name}[1:2] IN ('[{{', '[]') THEN from_json({name}, '[{{{keys}}}]') "
        f"ELSE error('{field.name} is no list of actions: ' || {name}[1:80]) END"
    )


def _number(key: str) -> str:
    return f"""CAST(nullif(a."{key}", '') AS {DECIMAL})"""
