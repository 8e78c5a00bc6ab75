"""Comparing a warehouse with the simulator's truth, row by row and value by value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
Key = tuple[Any, ...]
_ACTION_KEY = ("level", "account_id", "entity_id", "date_start", "field", "action_type")


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


@dataclass(frozen=True)
class Expected:
    """The truth about every account at a moment, worked out once: it takes longer than the sync that is compared with it."""

    since: date
    until: date
    facts: Mapping[Level, Mapping[Key, Row]]
    """By level, account, entity and day."""
    actions: Mapping[Key, Mapping[str, Decimal | None]]
    """By the key of `insight_actions`: the value and one number a window, None where absent."""


def expected_tables(world: World, levels: Iterable[Level], since: date, until: date, at: datetime) -> Expected:
    """What the fact tables of these levels and `insight_actions` should hold of some days."""
    facts: dict[Level, dict[Key, Row]] = {}
    actions: dict[Key, dict[str, Decimal | None]] = {}
    for level in levels:
        rows = facts[level] = {}
        for account in world.accounts:
            found = truth(world, level.value, account.id, since, until, at)
            rows |= {(row["account_id"], row[level.id_field], row["date_start"]): row for row in found.rows}
            actions |= {
                tuple(row[name] for name in _ACTION_KEY): action_values(row)
                for row in found.actions
                if is_stored_action(row)
            }
    return Expected(since, until, facts, actions)


def assert_equals_truth(
    file: Path, world: World, since: date, until: date, at: datetime, levels: Iterable[Level] = tuple(Level)
) -> int:
    """Every row and value of the fact tables and of `insight_actions` equals the truth; says how many rows there are.

    The account's clock decides what there is: an account for which `until` has not begun has no rows for it.
    """
    return assert_equals(file, expected_tables(world, levels, since, until, at))


def assert_equals(file: Path, wanted: Expected) -> int:
    """The same, with a truth that is known already."""
    checked = 0
    within = f"date_start BETWEEN DATE '{wanted.since}' AND DATE '{wanted.until}'"
    for level, facts in wanted.facts.items():
        stored = read_rows(file, f"SELECT * FROM {level}_insights WHERE {within}")
        found = {(row["account_id"], row[level.id_field], row["date_start"]): row for row in stored}
        assert len(found) == len(stored), f"{level}_insights has rows with the same key"
        assert found.keys() == facts.keys()
        for key, row in facts.items():
            assert {name: found[key][name] for name in row} == row, key
        checked += len(stored)
    names = ", ".join(f"'{level}'" for level in wanted.facts)
    actions = read_rows(file, f"SELECT * FROM insight_actions WHERE {within} AND level IN ({names})")
    numbers = ("value", *(windows()[name].column for name in default_windows()))
    found_actions = {tuple(row[name] for name in _ACTION_KEY): {name: row[name] for name in numbers} for row in actions}
    assert len(found_actions) == len(actions), "insight_actions has rows with the same key"
    assert found_actions == wanted.actions
    return checked + len(actions)
