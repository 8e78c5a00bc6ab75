"""Checks of the entity tables: one row a key, parents that exist, versions that do not overlap."""

import duckdb

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.inspection import CheckFinding
from meta_insights_pipeline.warehouse.schema import entity_history_table

_EXAMPLES = 5

CHECKS = {
    "key_is_unique": "No two rows have the same key.",
    "parents_exist": "The campaign, ad set and account of every row have rows too.",
    "versions_are_apart": "Every version ends after it begins, and before the next one of the same entity begins.",
}


def inspect_entities(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, CheckFinding]]:
    """Check every entity table of the attached warehouse: findings by table and name of the check, as in `CHECKS`."""
    return {
        kind.value: {
            "key_is_unique": _find(
                connection,
                kind,
                f"SELECT {_key(kind)} AS key, count(*) - 1 AS n FROM {_name(kind)} GROUP BY ALL HAVING n > 0",
            ),
            "parents_exist": _find(connection, kind, _orphans(kind)),
            "versions_are_apart": _find(connection, kind, _overlaps(kind)),
        }
        for kind in EntityKind
    }


def _parents(kind: EntityKind) -> list[EntityKind]:
    columns = {each.column for each in kind.attributes}
    return [
        other
        for other in EntityKind
        if other is not kind and other.id_column in columns and other is not EntityKind.CREATIVES
    ]


def _orphans(kind: EntityKind) -> str:
    parts = []
    for parent in _parents(kind):
        same = " AND ".join(f'p."{name}" = t."{name}"' for name in parent.key)
        parts.append(
            f'SELECT {_key(kind)} AS key, 1 AS n FROM {_name(kind)} AS t WHERE "{parent.id_column}" IS NOT NULL '
            f"AND NOT EXISTS (SELECT 1 FROM {_name(parent)} AS p WHERE {same})"
        )
    return " UNION ALL ".join(parts) or "SELECT NULL::VARCHAR AS key, 0 AS n WHERE false"


def _overlaps(kind: EntityKind) -> str:
    key = ", ".join(f'"{name}"' for name in kind.key)
    versions = (
        f'SELECT {key}, valid_from, valid_to FROM {ALIAS}."{entity_history_table(kind).name}" '
        f"UNION ALL SELECT {key}, valid_from, NULL::TIMESTAMP AS valid_to FROM {_name(kind)}"
    )
    following = f"lead(valid_from) OVER (PARTITION BY {key} ORDER BY valid_from)"
    return (
        f"SELECT {_key(kind)} AS key, 1 AS n FROM (SELECT *, {following} AS next FROM ({versions})) "
        "WHERE valid_to <= valid_from OR next < valid_to OR (next IS NOT NULL AND valid_to IS NULL)"
    )


def _find(connection: duckdb.DuckDBPyConnection, kind: EntityKind, bad: str) -> CheckFinding:
    row = connection.execute(
        f"SELECT (SELECT count(*) FROM {_name(kind)}), coalesce(sum(n), 0), list(key)[1:{_EXAMPLES}] FROM ({bad})"
    ).fetchone()
    assert row is not None
    return CheckFinding(
        passed=row[1] == 0, checked_rows=int(row[0]), bad_rows=int(row[1]), examples=tuple(row[2] or ())
    )


def _name(kind: EntityKind) -> str:
    return f'{ALIAS}."{kind.value}"'


def _key(kind: EntityKind) -> str:
    return "concat_ws(' ', " + ", ".join(f'"{name}"' for name in kind.key) + ")"
