"""What a rebuilt warehouse takes over of accounts, campaigns, ad sets, ads and creatives from the earlier one.

As in `takeover`, whose two warehouses these are: what was current before the archive begins is there first, and accounts of which
the archive does not know all are put back as they were.
"""

import duckdb

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.warehouse.archive import ENTITIES
from meta_insights_pipeline.warehouse.archive_index import ARCHIVED
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import entity_history_table, entity_table
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.takeover import EARLIER, copy_rows

_REFRESHES = "archived_refreshes"
_REBUILT = "rebuilt_accounts"
_KEPT = "kept_accounts"
# A version that goes on into the time of the archive was seen at its beginning, and later as often as the archive tells.
_SEEN = {
    "last_seen_at": "CASE WHEN rebuilt_from IS NULL OR last_seen_at < rebuilt_from THEN last_seen_at ELSE valid_from END"
}


def note_archived_accounts(connection: duckdb.DuckDBPyConnection) -> None:
    """Note of which accounts there are refreshes, and from which moment on; the connection has an index of the archive."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_REFRESHES} AS SELECT DISTINCT account_id, collected_at FROM {ARCHIVED} "
        f"WHERE report = {literal(ENTITIES)}"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_REBUILT} AS "
        f"SELECT account_id, min(collected_at) AS rebuilt_from FROM {_REFRESHES} GROUP BY ALL"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_KEPT} (account_id VARCHAR)")


def seed_entities(connection: duckdb.DuckDBPyConnection) -> None:
    """Take over what was known before the archive begins: all of accounts without refreshes, of others what was current."""
    for kind in EntityKind:
        current, earlier = entity_table(kind), entity_history_table(kind)
        every = f"LEFT JOIN {_REBUILT} USING (account_id) WHERE rebuilt_from IS NULL OR"
        ended_later = f"JOIN {_REBUILT} USING (account_id) WHERE valid_from < rebuilt_from AND valid_to >= rebuilt_from"
        copy_rows(connection, current, current, f"{every} valid_from < rebuilt_from", _SEEN)
        copy_rows(connection, earlier, earlier, f"{every} valid_to < rebuilt_from")
        copy_rows(connection, earlier, current, ended_later, _SEEN)


def keep_unexplained_accounts(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the accounts of which the earlier warehouse knows a version that no archived refresh brought."""
    known = " UNION ".join(
        f'SELECT account_id, {moment} AS moment FROM {EARLIER}."{table.name}"'
        for kind in EntityKind
        for table, moments in (
            (entity_table(kind), ("valid_from", "last_seen_at")),
            (entity_history_table(kind), ("valid_from", "last_seen_at", "valid_to")),
        )
        for moment in moments
    )
    connection.execute(
        f"INSERT INTO {_KEPT} SELECT DISTINCT account_id FROM ({known}) AS k JOIN {_REBUILT} USING (account_id) "
        f"WHERE moment >= rebuilt_from AND NOT EXISTS (SELECT 1 FROM {_REFRESHES} AS r "
        "WHERE r.account_id = k.account_id AND r.collected_at = moment)"
    )


def keep_account(connection: duckdb.DuckDBPyConnection, account_id: str) -> None:
    """Keep an account."""
    connection.execute(f"INSERT INTO {_KEPT} VALUES ({literal(account_id)})")


def keep_newer_accounts(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the accounts of which the earlier warehouse has seen something later than the rebuilt one."""
    for kind in EntityKind:
        seen = f'SELECT account_id, max(last_seen_at) AS seen_at FROM {{}}."{kind.value}" GROUP BY account_id'
        connection.execute(
            f"INSERT INTO {_KEPT} SELECT account_id FROM ({seen.format(EARLIER)}) AS e "
            f"LEFT JOIN ({seen.format(ALIAS)}) AS r USING (account_id) WHERE r.seen_at IS NULL OR e.seen_at > r.seen_at"
        )


def put_accounts_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the entities of the kept accounts those of the earlier warehouse again, as far as it has any."""
    if connection.execute(f"SELECT count(*) FROM {_KEPT}").fetchone() == (0,):
        return
    present = " UNION ".join(f'SELECT account_id FROM {EARLIER}."{kind.value}"' for kind in EntityKind)
    connection.execute(f"DELETE FROM {_KEPT} WHERE account_id NOT IN ({present})")
    for kind in EntityKind:
        for table in (entity_table(kind), entity_history_table(kind)):
            connection.execute(f'DELETE FROM {ALIAS}."{table.name}" WHERE account_id IN (FROM {_KEPT})')
            copy_rows(connection, table, table, f"WHERE account_id IN (FROM {_KEPT})")


def count_accounts_taken_over(connection: duckdb.DuckDBPyConnection) -> int:
    """How many accounts are as the earlier warehouse had them, for want of refreshes or since they were kept."""
    every = " UNION ".join(f'SELECT account_id FROM {ALIAS}."{kind.value}"' for kind in EntityKind)
    row = connection.execute(
        f"SELECT count(*) FROM ({every}) WHERE account_id IN (FROM {_KEPT}) "
        f"OR account_id NOT IN (SELECT account_id FROM {_REBUILT})"
    ).fetchone()
    return int(row[0]) if row else 0
