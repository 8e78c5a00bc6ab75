"""What must be known of a warehouse after any sequence of syncs: for each report, account and day, every version and its moment.

A model that is kept beside the warehouse. It takes from the warehouse only which account days a sync has brought and as of which
moment (`pipeline.coverage`); what the rows must be, it has from the simulator's truth of that moment.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.simulator.world import World
from meta_insights_pipeline_tests.comparison import expected_tables

Place = tuple[str, str, date]
"""Level, account, day."""
Rows = dict[Place, list[tuple[Any, ...]]]
"""Facts (entity, names, numbers) and actions (entity, field, type, numbers) of each place that has any, sorted."""

_NAMES = {
    Level.ACCOUNT: ("account_name", "account_currency"),
    Level.CAMPAIGN: ("campaign_name", "objective"),
    Level.ADSET: ("adset_name", "campaign_id", "campaign_name", "objective"),
    Level.AD: ("ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name", "objective"),
}
_NUMBERS = ("impressions", "clicks", "inline_link_clicks", "spend", "reach")
_WINDOWS = ("value", *(windows()[name].column for name in default_windows()))


@dataclass(frozen=True)
class Seen:
    """What a file of the warehouse holds."""

    collected_at: Mapping[Place, datetime]
    rows: Rows


def read_warehouse(file: Path) -> Seen:
    """What a file holds."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        books = connection.execute(
            "SELECT report, account_id, date_start, collected_at FROM pipeline.coverage"
        ).fetchall()
        collected_at = {
            (report.removesuffix("_insights"), account, day): at.replace(tzinfo=UTC)
            for report, account, day, at in books
        }
        return Seen(collected_at, _read_rows(connection, ""))


def read_as_of(file: Path, moments: Iterable[datetime]) -> dict[datetime, Rows]:
    """What a file's macros show of some moments."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        return {
            moment: _read_rows(connection, f"_as_of(TIMESTAMP '{moment.astimezone(UTC).replace(tzinfo=None)}')")
            for moment in moments
        }


def _read_rows(connection: duckdb.DuckDBPyConnection, suffix: str) -> Rows:
    rows: Rows = {}
    for level in Level:
        names = ", ".join((level.id_field, *_NAMES[level], *_NUMBERS))
        for account, day, *values in connection.execute(
            f"SELECT account_id, date_start, {names} FROM {level}_insights{suffix}"
        ).fetchall():
            rows.setdefault((level.value, account, day), []).append(tuple(values))
    for level_name, account, day, *values in connection.execute(
        f"SELECT level, account_id, date_start, entity_id, field, action_type, {', '.join(_WINDOWS)} "
        f"FROM insight_actions{suffix}"
    ).fetchall():
        rows.setdefault((level_name, account, day), []).append(tuple(values))
    return {place: sorted(found, key=repr) for place, found in rows.items()}


def true_rows(world: World, places: Iterable[Place], at: datetime) -> Rows:
    """What some places must hold at a moment."""
    wanted = set(places)
    since, until = min(day for _, _, day in wanted), max(day for _, _, day in wanted)
    rows: Rows = {}
    tables = expected_tables(world, {Level(name) for name, _, _ in wanted}, since, until, at)
    for level, facts in tables.facts.items():
        for (account, entity, day), row in facts.items():
            values = (entity, *(row[name] for name in (*_NAMES[level], *_NUMBERS)))
            rows.setdefault((level.value, account, day), []).append(values)
    for (level_name, account, entity, day, name, kind), numbers in tables.actions.items():
        values = (entity, name, kind, *(numbers[window] for window in _WINDOWS))
        rows.setdefault((level_name, account, day), []).append(values)
    return {place: sorted(found, key=repr) for place, found in rows.items() if place in wanted}


@dataclass
class Known:
    """Every version of every place that was ever brought."""

    world: World
    versions: dict[Place, dict[datetime, list[tuple[Any, ...]]]] = field(default_factory=dict)

    def learn(self, seen: Seen, now: datetime, *, truthful: bool = True) -> None:
        """Take up what a sync has left, and check it.

        Args:
            seen: What the warehouse holds.
            now: The simulated time.
            truthful: Whether Meta has told the truth, and all of it.

        Raises:
            AssertionError: Rows changed that were not collected, or what was collected is not what was true at its moment.
        """
        assert seen.rows.keys() <= seen.collected_at.keys(), "there are rows of a day that was never collected"
        assert self.versions.keys() <= seen.collected_at.keys(), "a day is no longer known to have been collected"
        new: dict[datetime, set[Place]] = {}
        for place, at in seen.collected_at.items():
            versions, rows = self.versions.setdefault(place, {}), seen.rows.get(place, [])
            assert max(versions, default=at) <= at <= now, (place, at, "older numbers have replaced newer ones")
            if at not in versions:
                new.setdefault(at, set()).add(place)
            elif truthful:
                assert versions[at] == rows, (place, at, "rows have changed that nobody has collected")
            versions[at] = rows
        for at, places in new.items() if truthful else ():
            expected = true_rows(self.world, places, at)
            for place in places:
                assert seen.rows.get(place, []) == expected.get(place, []), (place, at)

    def as_of(self, moment: datetime) -> Rows:
        """The rows that were known at a moment."""
        found: Rows = {}
        for place, versions in self.versions.items():
            if (earlier := [at for at in versions if at <= moment]) and (rows := versions[max(earlier)]):
                found[place] = rows
        return found
