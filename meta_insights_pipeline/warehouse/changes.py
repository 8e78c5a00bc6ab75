"""Making the rows of one table those of a batch: what is new goes in, what changed or vanished goes to the history first.

The two are compared once, and only what differs is written down and acted upon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.pages import SLICE
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, SUPERSEDED_AT, Table, history_table
from meta_insights_pipeline.warehouse.scope import FIRST_LOAD, SCOPE, Batch
from meta_insights_pipeline.warehouse.sql import literal, parquet

# What differs is written some rows at a time and hardly encoded: with DuckDB's own defaults it takes 25 MB more.
_FORMAT = "FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 4096, STRING_DICTIONARY_PAGE_SIZE_LIMIT 10000"


_NUMBERS = count(1)


@dataclass(frozen=True)
class Changes:
    """What was done to a table, in rows."""

    inserted: int = 0
    updated: int = 0
    removed: int = 0


def insert_first(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> int:
    """Insert the rows of all account days of which a table has none; how many there are."""
    if not files:
        return 0
    columns = _listed(table.stored)
    return _row(
        connection,
        f'INSERT INTO {ALIAS}."{table.name}" ({columns}) SELECT {columns} FROM {parquet(files)} SEMI JOIN '
        f"(FROM {SCOPE} WHERE table_name = {literal(table.name)} AND batch = {FIRST_LOAD}) USING ({SLICE}, date_start)",
    )[0]


class Comparison:
    """The rows of a batch, and those that are stored for the same account days."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, batch: Batch, folder: Path) -> None:
        """Prepare; nothing is done yet.

        Args:
            connection: With the warehouse attached, inside a transaction, and with the scope of the batch.
            batch: Which rows.
            folder: For what differs; it must exist.
        """
        self._connection = connection
        self._batch = batch
        self._table = batch.table
        # A name is never used twice: DuckDB may keep what it has read of a file.
        self._file = folder / f"changes-{next(_NUMBERS):06d}.parquet"
        self._name = f'{ALIAS}."{batch.table.name}"'

    def merge(self, *, in_place: bool) -> Changes:
        """Make what is stored the same as what was staged; what is replaced goes to the history.

        Args:
            in_place: Whether changed rows are updated where they are. That is quicker while few of them change, but every
                updated value stays in memory until the transaction ends; otherwise rows are removed and put in again.
        """
        try:
            self._compare()
            changes = self._count()
            if changes.updated or changes.removed:
                self._keep_history()
            if changes != Changes():
                (self._update if in_place else self._replace)()
            return changes
        finally:
            self._file.unlink(missing_ok=True)

    def _compare(self) -> None:
        """Write down what differs: the new values (`new_`), those that are stored (`old_`), and where they are stored."""
        key = self._table.key
        same = " AND ".join(f't."{name}" = s."{name}"' for name in key)
        differs = " OR ".join(f't."{name}" IS DISTINCT FROM s."{name}"' for name in self._table.values)
        columns = [
            "stored_row",
            f's."{key[0]}" IS NULL AS gone',
            *(f'coalesce(s."{name}", t."{name}") AS "{name}"' for name in key),
            *(f's."{name}" AS "new_{name}"' for name in self._changing),
            *(f't."{name}" AS "old_{name}"' for name in self._changing),
            f"t.collected_at AS {SUPERSEDED_AT}",
        ]
        self._connection.execute(
            f"COPY (SELECT {', '.join(columns)} FROM {self._staged()} AS s FULL JOIN {self._stored()} AS t ON {same} "
            f'WHERE t."{key[0]}" IS NULL OR s."{key[0]}" IS NULL OR {differs}) '
            f"TO {literal(self._file)} ({_FORMAT})"
        )

    def _count(self) -> Changes:
        return Changes(
            *_row(
                self._connection,
                "SELECT count(*) FILTER (stored_row IS NULL), count(*) FILTER (stored_row IS NOT NULL AND NOT gone), "
                f"count(*) FILTER (gone) FROM {parquet([self._file])}",
            )
        )

    def _keep_history(self) -> None:
        columns = _listed((*self._table.key, *self._changing, SUPERSEDED_AT))
        old = _listed((*self._table.key, *(f"old_{name}" for name in self._changing), SUPERSEDED_AT))
        self._connection.execute(
            f'INSERT INTO {ALIAS}."{history_table(self._table).name}" ({columns}) '
            f"SELECT {old} FROM {parquet([self._file])} WHERE stored_row IS NOT NULL"
        )

    def _update(self) -> None:
        updates = ", ".join(f'"{name}" = c."new_{name}"' for name in self._changing)
        self._connection.execute(
            f"MERGE INTO {self._name} AS t USING {parquet([self._file])} AS c "
            f"ON t.rowid = c.stored_row AND {self._batch.days('t')} "
            f"WHEN MATCHED AND c.gone THEN DELETE WHEN MATCHED THEN UPDATE SET {updates} "
            f"WHEN NOT MATCHED THEN INSERT ({self._columns}) VALUES ({self._new})"
        )

    def _replace(self) -> None:
        differing = parquet([self._file])
        self._connection.execute(
            f"DELETE FROM {self._name} AS t WHERE {self._batch.days('t')} "
            f"AND rowid IN (SELECT stored_row FROM {differing} WHERE stored_row IS NOT NULL)"
        )
        self._connection.execute(
            f"INSERT INTO {self._name} ({self._columns}) SELECT {self._new} FROM {differing} WHERE NOT gone"
        )

    @property
    def _changing(self) -> tuple[str, ...]:
        """The columns that a change writes."""
        return (*self._table.values, CHANGED_AT)

    @property
    def _columns(self) -> str:
        return _listed((*self._table.key, *self._changing))

    @property
    def _new(self) -> str:
        return _listed((*self._table.key, *(f"new_{name}" for name in self._changing)))

    def _staged(self) -> str:
        """The staged rows of the batch."""
        if not self._batch.files:
            return f"(FROM {self._name} LIMIT 0)"
        return (
            f"(SELECT r.* FROM {parquet(self._batch.files)} AS r "
            f"SEMI JOIN {self._batch.account_days} AS b USING ({SLICE}, date_start) WHERE {self._batch.days('r')})"
        )

    def _stored(self) -> str:
        """The rows that are there for the account days of the batch, with the moment at which the new ones were true."""
        # An expression instead of the bare account_id: from that DuckDB makes a filter on the table's own text column, which
        # takes longer than everything else here.
        return (
            f"(SELECT r.*, r.rowid AS stored_row, b.collected_at FROM {self._name} AS r JOIN {self._batch.account_days} AS b "
            "ON r.account_id || '' = b.account_id AND r.date_start = b.date_start "
            f"WHERE {self._batch.days('r')} AND {self._batch.own_rows})"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _row(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[int, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row
