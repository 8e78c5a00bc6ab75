"""Storing accounts, campaigns, ad sets, ads and creatives: the current version of each, and every earlier one.

A version ends when a later refresh sees another value in a column that does not change by itself. It moves to the table's
`_history` then, with the moment at which the next one was first seen.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import (
    EntityBatch,
    EntityRow,
    Ghost,
    KnownEntities,
    MissingEntity,
    Recovered,
    Value,
)
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.schema import Column, Table, entity_history_table, entity_table
from meta_insights_pipeline.warehouse.sql import literal, parquet

_BOOKS = f"{ALIAS}.pipeline"
# Rows that are merged together: enough for few passes over the table, few enough for a small memory.
_CHARACTERS_AT_ONCE = 8_000_000
_MAX_OBJECT_BYTES = 2_000_000
_BELOW_ACCOUNT = (EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS)
# The columns that are worked out here; the others come with the rows.
_VERSION_COLUMNS = ("valid_from", "last_seen_at")


def merge_entities(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[EntityBatch], run_id: str, folder: Path
) -> dict[str, MergeCounts]:
    """Bring refreshed entities into the attached warehouse, inside the caller's transaction.

    A row that somebody else saw later than its batch is left alone. Nothing is ever removed.

    Args:
        connection: With the warehouse attached.
        batches: One for each account that was refreshed.
        run_id: Written beside the listings and what is missing.
        folder: For rows on their way; it must exist, and what is put there is removed again.

    Returns:
        Counts by table. `updated` are the rows of which a new version began, and `inserted` of a history the versions that
        ended; rows in which only volatile columns moved count as unchanged.
    """
    counts: dict[str, MergeCounts] = {}
    # Under names of their own, since DuckDB remembers what it read from a file and takes a new one of the same name for it.
    with TemporaryDirectory(prefix="entities-", dir=folder) as own:
        for kind in EntityKind:
            current, history = MergeCounts(), MergeCounts()
            for number, rows in enumerate(_portions(_newest(kind, batches))):
                read, inserted, updated = _merge(connection, kind, rows, Path(own) / f"{kind.value}-{number}.json")
                current += MergeCounts(read, inserted, updated, read - inserted - updated)
                history += MergeCounts(read=updated, inserted=updated)
            counts |= {entity_table(kind).name: current, entity_history_table(kind).name: history}
    for batch in batches:
        _record_batch(connection, batch, run_id)
    return counts


def known_entities(connection: duckdb.DuckDBPyConnection, account_ids: Sequence[str]) -> dict[str, KnownEntities]:
    """What is stored of each of these accounts, by account id."""
    live: dict[str, dict[EntityKind, dict[str, str | None]]] = {each: {} for each in account_ids}
    deleted: dict[str, dict[EntityKind, set[str]]] = {each: {} for each in account_ids}
    updated: dict[str, dict[EntityKind, datetime]] = {each: {} for each in account_ids}
    listed: dict[str, datetime] = {}
    if account_ids:
        mine = f"account_id IN ({', '.join(literal(each) for each in account_ids)})"
        for kind in EntityKind:
            rows = connection.execute(
                f'SELECT account_id, "{kind.id_column}", "{kind.status_column}", is_deleted FROM {_name(kind)} WHERE {mine} '
                f'ORDER BY last_seen_at, "{kind.id_column}"'
            ).fetchall()
            for account, entity_id, status, is_deleted in rows:
                if is_deleted:
                    deleted[account].setdefault(kind, set()).add(entity_id)
                else:
                    live[account].setdefault(kind, {})[entity_id] = status
            for account, moment in _highest_updates(connection, kind, mine):
                updated[account][kind] = moment.replace(tzinfo=UTC)
        rows = connection.execute(f"SELECT account_id, listed_at FROM {_BOOKS}.entity_listings WHERE {mine}").fetchall()
        listed = {account: moment.replace(tzinfo=UTC) for account, moment in rows}
    return {
        each: KnownEntities(
            live[each],
            {kind: frozenset(ids) for kind, ids in deleted[each].items()},
            updated[each],
            listed.get(each),
        )
        for each in account_ids
    }


def unknown_ids(
    connection: duckdb.DuckDBPyConnection, account_ids: Sequence[str], since: date, until: date
) -> dict[str, tuple[Ghost, ...]]:
    """Campaigns, ad sets and ads that have insights on these days and no row, by account id.

    Args:
        connection: With the warehouse attached.
        account_ids: Of which accounts.
        since: First day to look at, an account day.
        until: Last day.
    """
    ghosts: dict[str, list[Ghost]] = {each: [] for each in account_ids}
    kinds: dict[Level, EntityKind] = {kind.level: kind for kind in _BELOW_ACCOUNT if kind.level is not None}
    for report in builtin_reports() if account_ids else ():
        kind = kinds.get(report.level)
        if kind is None:
            continue
        columns = _columns_in_insights(kind)
        newest = ", ".join(f'arg_max("{source}", date_start)' for source in columns.values())
        rows = connection.execute(
            f'SELECT account_id, "{kind.id_column}", {newest} FROM {ALIAS}."{report.name}" AS f '
            f"WHERE account_id IN ({', '.join(literal(each) for each in account_ids)}) "
            f"AND date_start BETWEEN {literal(since)} AND {literal(until)} "
            f"AND NOT EXISTS (SELECT 1 FROM {_name(kind)} AS e WHERE {_same(kind, 'e', 'f')}) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for account, entity_id, *values in rows:
            known = {column: value for column, value in zip(columns, values, strict=True) if value is not None}
            ghosts[account].append(Ghost(kind, entity_id, known))
    return {account: tuple(found) for account, found in ghosts.items()}


# ---- merging ----


@dataclass
class _Rows:
    """Rows that are merged together, as JSON."""

    lines: list[str] = field(default_factory=list)
    size: int = 0
    kept: bool = False
    """Whether they hold their keys alone."""

    def add(self, row: EntityRow) -> None:
        line = json.dumps(row, ensure_ascii=False, default=_as_text)
        self.lines.append(line)
        self.size += len(line)


def _newest(kind: EntityKind, batches: Sequence[EntityBatch]) -> list[EntityRow]:
    """Each entity of a kind once, as it was seen last."""
    rows: dict[tuple[Value, ...], EntityRow] = {}
    for batch in sorted(batches, key=lambda each: each.collected_at):
        for row in batch.rows.get(kind, ()):
            rows[tuple(row[name] for name in kind.key)] = {**row, "seen_at": batch.collected_at}
    return list(rows.values())


def _portions(rows: Iterable[EntityRow]) -> Iterator[_Rows]:
    """Some rows at a time, so that a small memory is enough."""
    pending = {kept: _Rows(kept=kept) for kept in (False, True)}
    for row in rows:
        kept = row.get("recovered") == Recovered.KEPT
        pending[kept].add(row)
        if pending[kept].size >= _CHARACTERS_AT_ONCE:
            yield pending[kept]
            pending[kept] = _Rows(kept=kept)
    yield from (some for some in pending.values() if some.lines)


def _merge(connection: duckdb.DuckDBPyConnection, kind: EntityKind, rows: _Rows, source: Path) -> tuple[int, int, int]:
    """Merge some rows; gives how many were read, were new, and began a new version."""
    source.write_text("[" + ",".join(rows.lines) + "]", "utf-8")
    file = source.with_suffix(".parquet")
    _stage(connection, kind, source, file, kept=rows.kept)
    staged = parquet([file])
    read, inserted, updated = _count(connection, kind, staged)
    if updated:
        _end_versions(connection, kind, staged)
        _begin_versions(connection, kind, staged)
    if inserted < read:
        _keep_up_to_date(connection, kind, staged)
    if inserted:
        _insert_new(connection, kind, staged)
    connection.execute(
        f"DELETE FROM {_BOOKS}.missing_entities AS m WHERE table_name = {literal(kind.value)} AND EXISTS (SELECT 1 FROM "
        f'{staged} AS s WHERE s.account_id = m.account_id AND s."{kind.id_column}" = m.entity_id)'
    )
    source.unlink()
    file.unlink()
    return read, inserted, updated


def _stage(connection: duckdb.DuckDBPyConnection, kind: EntityKind, source: Path, file: Path, *, kept: bool) -> None:
    """Write the rows to a typed file.

    Where Meta does not know an entity any more, the attributes are those that are stored, all but the status: what is known
    of it is past, and nobody can say what it is now.
    """
    types = {column.name: column.sql_type for column in _incoming(entity_table(kind))} | {"seen_at": "TIMESTAMP"}
    columns = ", ".join(f"{literal(name)}: {literal(sql_type)}" for name, sql_type in types.items())
    rows = f"read_json({literal(source)}, columns = {{{columns}}}, format = 'array', maximum_object_size = {_MAX_OBJECT_BYTES})"
    if kept:
        stored = [each.column for each in kind.attributes if each.column not in (*kind.key, kind.status_column)]
        values = ", ".join(f't."{name}"' if name in stored else f's."{name}"' for name in types)
        rows = f"(SELECT {values} FROM {rows} AS s LEFT JOIN {_name(kind)} AS t ON {_same(kind, 's', 't')})"
    connection.execute(f"COPY (SELECT * FROM {rows}) TO {literal(file)} (FORMAT parquet, COMPRESSION lz4_raw)")


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no value of an entity")


def _count(connection: duckdb.DuckDBPyConnection, kind: EntityKind, staged: str) -> tuple[int, int, int]:
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER (t.account_id IS NULL), "
        f"count(*) FILTER (t.account_id IS NOT NULL AND {_is_newer()} AND ({_differs(kind)})) "
        f"FROM {staged} AS s LEFT JOIN {_name(kind)} AS t ON {_same(kind, 's', 't')}"
    ).fetchone()
    assert row is not None
    return row


def _end_versions(connection: duckdb.DuckDBPyConnection, kind: EntityKind, staged: str) -> None:
    table = entity_table(kind)
    columns = ", ".join(f'"{name}"' for name in table.stored)
    values = ", ".join(f't."{name}"' for name in table.stored)
    connection.execute(
        f'INSERT INTO {ALIAS}."{entity_history_table(kind).name}" ({columns}, valid_to) SELECT {values}, s.seen_at '
        f"FROM {_name(kind)} AS t JOIN {staged} AS s ON {_same(kind, 's', 't')} "
        f"WHERE {_is_newer()} AND ({_differs(kind)})"
    )


def _insert_new(connection: duckdb.DuckDBPyConnection, kind: EntityKind, staged: str) -> None:
    names = [column.name for column in _incoming(entity_table(kind))]
    columns = ", ".join(f'"{name}"' for name in (*names, *_VERSION_COLUMNS))
    values = ", ".join(f's."{name}"' for name in names)
    connection.execute(
        f"INSERT INTO {_name(kind)} ({columns}) SELECT {values}, s.seen_at, s.seen_at FROM {staged} AS s "
        f"ANTI JOIN {_name(kind)} AS t ON {_same(kind, 's', 't')}"
    )


def _begin_versions(connection: duckdb.DuckDBPyConnection, kind: EntityKind, staged: str) -> None:
    names = [column.name for column in _incoming(entity_table(kind)) if column.name not in kind.key]
    _update(connection, kind, staged, [*names, "valid_from"], _differs(kind))


def _keep_up_to_date(connection: duckdb.DuckDBPyConnection, kind: EntityKind, staged: str) -> None:
    """Write what moves by itself; everything else stays where it is on disk."""
    fixed = (*kind.key, *kind.versioned, "is_deleted")
    names = [column.name for column in _incoming(entity_table(kind)) if column.name not in fixed]
    _update(connection, kind, staged, names, "true")


def _update(
    connection: duckdb.DuckDBPyConnection, kind: EntityKind, staged: str, names: Sequence[str], condition: str
) -> None:
    values = ", ".join(f'"{name}" = s."{"seen_at" if name == "valid_from" else name}"' for name in names)
    connection.execute(
        f"UPDATE {_name(kind)} AS t SET {values}, last_seen_at = s.seen_at FROM {staged} AS s "
        f"WHERE {_same(kind, 's', 't')} AND {_is_newer()} AND ({condition})"
    )


def _record_batch(connection: duckdb.DuckDBPyConnection, batch: EntityBatch, run_id: str) -> None:
    account, seen = literal(batch.account_id), literal(batch.collected_at)
    if batch.full:
        connection.execute(f"DELETE FROM {_BOOKS}.missing_entities WHERE account_id = {account}")
        connection.execute(f"DELETE FROM {_BOOKS}.entity_listings WHERE account_id = {account} AND listed_at <= {seen}")
        connection.execute(
            f"INSERT INTO {_BOOKS}.entity_listings SELECT {account}, {seen}, {literal(run_id)} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {_BOOKS}.entity_listings WHERE account_id = {account})"
        )
    if all(item.id is not None for item in batch.missing):
        # What lists lacked has been read.
        connection.execute(f"DELETE FROM {_BOOKS}.missing_entities WHERE account_id = {account} AND entity_id IS NULL")
    for item in batch.missing:
        _record_missing(connection, account, item, seen, literal(run_id))


def _record_missing(
    connection: duckdb.DuckDBPyConnection, account: str, item: MissingEntity, seen: str, run_id: str
) -> None:
    entity_id = "NULL::VARCHAR" if item.id is None else literal(item.id)
    connection.execute(
        f"DELETE FROM {_BOOKS}.missing_entities WHERE account_id = {account} AND table_name = {literal(item.kind.value)} "
        f"AND entity_id IS NOT DISTINCT FROM {entity_id}"
    )
    connection.execute(
        f"INSERT INTO {_BOOKS}.missing_entities VALUES ({account}, {literal(item.kind.value)}, {entity_id}, {seen}, "
        f"{run_id}, {literal(item.reason)})"
    )


# ---- pieces of SQL ----


def _incoming(table: Table) -> list[Column]:
    return [column for column in table.columns if column.name not in _VERSION_COLUMNS]


def _name(kind: EntityKind) -> str:
    return f'{ALIAS}."{kind.value}"'


def _same(kind: EntityKind, left: str, right: str) -> str:
    return " AND ".join(f'{left}."{name}" = {right}."{name}"' for name in kind.key)


def _key_columns(kind: EntityKind, table: str) -> str:
    return ", ".join(f'{table}."{name}"' for name in kind.key)


def _is_newer() -> str:
    return "s.seen_at > t.last_seen_at"


def _differs(kind: EntityKind) -> str:
    return " OR ".join(f't."{name}" IS DISTINCT FROM s."{name}"' for name in (*kind.versioned, "is_deleted"))


def _highest_updates(connection: duckdb.DuckDBPyConnection, kind: EntityKind, mine: str) -> list[tuple[str, datetime]]:
    """Of what lists showed: an entity that was read by id says nothing of what else changed before it."""
    if not any(each.column == "updated_time" for each in kind.attributes):
        return []
    return connection.execute(
        f"SELECT account_id, max(updated_time) FROM {_name(kind)} WHERE {mine} AND recovered IS NULL "
        "GROUP BY account_id HAVING max(updated_time) IS NOT NULL"
    ).fetchall()


def _columns_in_insights(kind: EntityKind) -> dict[str, str]:
    """The columns that insights know of a kind of entity, and what they are called there."""
    assert kind.level is not None
    parents = {each.column for each in kind.attributes} & set(kind.level.identity_fields) - set(kind.key)
    return {"name": f"{kind.level.value}_name"} | {name: name for name in sorted(parents)}
