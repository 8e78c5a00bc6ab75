"""Everything in a warehouse that is made from the tables and holds nothing that was collected: marts, dictionary, compat views.

It follows the program, not the schema version: whenever the statements that make it differ from those that made what is there,
all of it is made again. Stored rows are never touched.
"""

import hashlib
from functools import cache

import duckdb

from meta_insights_pipeline.warehouse import compat, conversion_events, dictionary, marts
from meta_insights_pipeline.warehouse.schema import VIEWS
from meta_insights_pipeline.warehouse.sql import literal

PROGRAM_TABLES = (VIEWS, conversion_events.NAME, dictionary.NAME)
"""Tables with rows that the program itself writes: they stay when collected rows are removed."""


def views_are_current(connection: duckdb.DuckDBPyConnection, database: str) -> bool:
    """Whether an attached warehouse has the views of this program."""
    exists = connection.execute(
        f"SELECT count(*) FROM duckdb_tables() WHERE database_name = {literal(database)} AND schema_name = 'pipeline' "
        f"AND table_name = {literal(VIEWS)}"
    ).fetchone()
    if exists == (0,):
        return False
    row = connection.execute(f'SELECT any_value(fingerprint) FROM "{database}".pipeline.{VIEWS}').fetchone()
    return row == (_fingerprint(),)


def view_statements(database: str) -> list[str]:
    """Make all of it, to be run in one transaction while `database` is the default one."""
    book = f'"{database}".pipeline.{VIEWS}'
    return [
        *_statements(database),
        f"DELETE FROM {book}",
        f"INSERT INTO {book} VALUES ({literal(_fingerprint())})",
    ]


@cache
def _statements(database: str) -> tuple[str, ...]:
    rooms = (marts, dictionary, compat)
    return tuple(statement for room in rooms for statement in room.create_statements(database))


@cache
def _fingerprint() -> str:
    return hashlib.sha256("\n".join(_statements("warehouse")).encode()).hexdigest()
