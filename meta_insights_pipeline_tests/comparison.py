"""Comparing a warehouse with the simulator's truth, row by row and value by value."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import ACTION_LISTS
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.simulator.truth import truth
from meta_insights_pipeline.simulator.world import World

Row = dict[str, Any]


def read_rows(file: Path, statement: str) -> list[Row]:
    """The rows of a query on a DuckDB file that is opened read-only and closed again."""
    with duckdb.connect(str(file), read_only=True) as connection:
        cursor = connection.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def is_stored_action(action: Row) -> bool:
    """Whether `insight_actions` has a row for an action of the truth."""
    return action["field"] in ACTION_LISTS


def action_values(action: Row) -> Row:
    """The numbers of a row of `insight_actions`, None where absent."""
    return {
        "value": action["value"],
        **{windows()[name].column: action["windows"].get(name) for name in default_windows()},
    }


def expected_facts(world: World, level: Level, since: date, until: date, at: datetime) -> dict[tuple[Any, ...], Row]:
    """The truth of a level's fact table for every account, by key."""
    rows = (row for account in world.accounts for row in truth(world, level.value, account.id, since, until, at).rows)
    return {(row["account_id"], row[level.id_field], row["date_start"]): row for row in rows}


def expected_actions(
    world: World, levels: Iterable[Level], since: date, until: date, at: datetime
) -> dict[tuple[Any, ...], dict[str, Decimal | None]]:
    """The truth of `insight_actions` for every account, by key: the value and one number a window, None where absent."""
    return {
        (row["level"], row["account_id"], row["entity_id"], row["date_start"], row["field"], row["action_type"]): (
            action_values(row)
        )
        for level in levels
        for account in world.accounts
        for row in truth(world, level.value, account.id, since, until, at).actions
        if is_stored_action(row)
    }


def assert_equals_truth(
    file: Path, world: World, since: date, until: date, at: datetime, levels: Iterable[Level] = tuple(Level)
) -> int:
    """Every row and value of the fact tables and of `insight_actions` equals the truth; says how many rows there are.

    The account's clock decides what there is: an account for which `until` has not begun has no rows for it.
    """
    checked = 0
    within = f"date_start BETWEEN DATE '{since}' AND DATE '{until}'"
    for level in levels:
        expected = expected_facts(world, level, since, until, at)
        stored = read_rows(file, f"SELECT * FROM {level}_insights WHERE {within}")
        found = {(row["account_id"], row[level.id_field], row["date_start"]): row for row in stored}
        assert len(found) == len(stored), f"{level}_insights has rows with the same key"
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            assert {name: found[key][name] for name in row} == row, key
        checked += len(stored)
    names = ", ".join(f"'{level}'" for level in levels)
    actions = read_rows(file, f"SELECT * FROM insight_actions WHERE {within} AND level IN ({names})")
    numbers = ("value", *(windows()[name].column for name in default_windows()))
    found_actions = {
        tuple(row[name] for name in ("level", "account_id", "entity_id", "date_start", "field", "action_type")): {
            name: row[name] for name in numbers
        }
        for row in actions
    }
    assert len(found_actions) == len(actions), "insight_actions has rows with the same key"
    assert found_actions == expected_actions(world, levels, since, until, at)
    return checked + len(actions)
