"""What must hold after a soak: each day of each report is what it was when it was collected, and entities are true.

Belongs here: comparisons with the simulator's truth. Does not belong here: the truth itself, and what a soak does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.collector.entity_values import entity_row
from meta_insights_pipeline.simulator.days import floor_step
from meta_insights_pipeline.simulator.entity_truth import entity_truth
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.truth import truth
from meta_insights_pipeline.simulator.world import Account, World
from meta_insights_pipeline_tests.comparison import Row, action_values, is_stored_action, read_rows

STEP = timedelta(minutes=15)
"""So often the simulator's numbers change."""

_Unit = tuple[Row, dict[tuple[str, str], Row]]
"""A row and its actions, by field and action type."""
_Units = dict[str, _Unit]
"""By entity id."""


@dataclass(frozen=True)
class AsCollected:
    """What was compared with the truth as of its own collection."""

    days: int = 0
    """Days of reports of accounts."""
    rows: int = 0
    """Rows on these days, those of actions too."""
    later: int = 0
    """Those that needed the truth of a later moment of the same sync: an answer may come a moment after it was asked for."""


def assert_as_collected(
    file: Path, world: World, first_day: date, last_sync: datetime, ended: Mapping[str, datetime]
) -> AsCollected:
    """Every day of every report of every account was collected, and is the truth as of then.

    Args:
        file: The published file.
        world: Of the simulator.
        first_day: The first one that was to be collected.
        last_sync: When the last sync of all accounts ended; each account's today is the last day.
        ended: When each sync ended, by run id.
    """
    coverage = _coverage(file)
    days = rows = later = 0
    for level in Level:
        stored = _stored(file, level)
        for account in world.accounts:
            covered = coverage[level, account.id]
            today = last_sync.astimezone(ZoneInfo(account.timezone_name)).date()
            expected = {first_day + timedelta(days=n) for n in range((today - first_day).days + 1)}
            assert covered.keys() >= expected, (level, account.id, sorted(expected - covered.keys()))
            mine = stored[account.id]
            assert mine.keys() <= covered.keys(), (level, account.id, "rows of a day that was never collected")
            days += len(covered)
            rows += sum(1 + len(actions) for units in mine.values() for _, actions in units.values())
            later += _compare(world, level, account, mine, _moments(covered, ended))
    return AsCollected(days, rows, later)


def _coverage(file: Path) -> Mapping[tuple[Level, str], dict[date, tuple[datetime, str]]]:
    """When each day was collected, and by which sync."""
    found: dict[tuple[Level, str], dict[date, tuple[datetime, str]]] = defaultdict(dict)
    for row in read_rows(file, "SELECT report, account_id, date_start, collected_at, run_id FROM pipeline.coverage"):
        level = Level(row["report"].removesuffix("_insights"))
        found[level, row["account_id"]][row["date_start"]] = (row["collected_at"].replace(tzinfo=UTC), row["run_id"])
    return found


def _moments(
    covered: Mapping[date, tuple[datetime, str]], ended: Mapping[str, datetime]
) -> dict[date, tuple[datetime, datetime]]:
    """The step in which each day was asked for, and the last one in which it can have been answered."""
    return {day: (_step(asked), _step(max(asked, ended[run]))) for day, (asked, run) in covered.items()}


def _step(at: datetime) -> datetime:
    return datetime.fromtimestamp(floor_step(at), UTC)


def _stored(file: Path, level: Level) -> Mapping[str, dict[date, dict[str, _Unit]]]:
    """What the tables hold of a level, by account, day and entity."""
    found: dict[str, dict[date, dict[str, _Unit]]] = defaultdict(lambda: defaultdict(dict))
    for row in read_rows(file, f"SELECT * FROM {level}_insights"):
        units = found[row["account_id"]][row["date_start"]]
        assert row[level.id_field] not in units, f"{level}_insights has rows with the same key"
        units[row[level.id_field]] = (row, {})
    for row in read_rows(file, f"SELECT * FROM insight_actions WHERE level = '{level}'"):
        actions = found[row["account_id"]][row["date_start"]][row["entity_id"]][1]
        actions[row["field"], row["action_type"]] = {
            name: row[name] for name in ("value", *(windows()[one].column for one in default_windows()))
        }
    return found


def _compare(
    world: World,
    level: Level,
    account: Account,
    stored: Mapping[date, _Units],
    moments: Mapping[date, tuple[datetime, datetime]],
) -> int:
    """Compare an account's days; says how many needed a later moment than that of the question."""
    by_step: dict[datetime, list[date]] = defaultdict(list)
    for day, (asked, _) in moments.items():
        by_step[asked].append(day)
    later = 0
    for step, days in by_step.items():
        expected = _expected(world, level, account, min(days), max(days), step)
        for day in days:
            candidates, mine = [expected[day]], stored.get(day, {})
            wrong = _wrong(mine, candidates)
            later += bool(wrong)
            for moment in _steps_after(*moments[day]) if wrong else ():
                candidates.append(_expected(world, level, account, day, day, moment)[day])
                if not (wrong := _wrong(mine, candidates)):
                    break
            assert not wrong, (level, account.id, day, step, wrong, mine.get(wrong[0]), expected[day].get(wrong[0]))
    return later


def _steps_after(first: datetime, last: datetime) -> Iterator[datetime]:
    moment = first + STEP
    while moment <= last:
        yield moment
        moment += STEP


def _expected(
    world: World, level: Level, account: Account, since: date, until: date, at: datetime
) -> Mapping[date, _Units]:
    """The truth as of a moment, by day and entity."""
    found: dict[date, _Units] = defaultdict(dict)
    told = truth(world, level.value, account.id, since, until, at)
    for row in told.rows:
        found[row["date_start"]][row[level.id_field]] = (row, {})
    for action in told.actions:
        if is_stored_action(action):
            unit = found[action["date_start"]][action["entity_id"]]
            unit[1][action["field"], action["action_type"]] = action_values(action)
    return found


def _wrong(stored: _Units, candidates: Iterable[_Units]) -> list[str]:
    """The entities that are not as any of the candidates says."""
    every = list(candidates)
    ids = dict.fromkeys([*stored, *(each for units in every for each in units)])
    return [each for each in ids if not any(_is_same(stored.get(each), units.get(each)) for units in every)]


def _is_same(stored: _Unit | None, expected: _Unit | None) -> bool:
    if stored is None or expected is None:
        return stored is expected
    row, actions = stored
    # Of a field that Meta withheld the tables hold nothing, and say so.
    withheld = set((row["withheld_fields"] or "").split(","))
    if any(row[name] != (None if name in withheld else value) for name, value in expected[0].items()):
        return False
    return actions == {key: value for key, value in expected[1].items() if key[0] not in withheld}


# ---- entities ----


def assert_entities_equal_truth(file: Path, simulator: Simulator, at: datetime) -> int:
    """Whatever can be listed is in the tables, everything there is true, and what was deleted is marked; says how many.

    Everything must have been listed at the moment that is given.
    """
    checked = 0
    for kind in EntityKind:
        rows = read_rows(file, f"SELECT * FROM {kind.value}")
        stored = {(row["account_id"], row[kind.id_column]): row for row in rows}
        assert len(stored) == len(rows), f"{kind.value} has an entity twice"
        seen = set()
        for account in simulator.world.accounts:
            for told in entity_truth(simulator.world, kind.value, account.id, at, states=simulator.states):
                entity_id = account.id if kind is EntityKind.AD_ACCOUNTS else told["id"]
                row = stored.get((account.id, entity_id))
                # Creatives are read with the ads that use them.
                assert row is not None or not told["listed"] or kind is EntityKind.CREATIVES, (kind, told)
                if row is not None:
                    seen.add((account.id, entity_id))
                    _assert_same_entity(kind, row, told, account)
        assert stored.keys() == seen, f"{kind.value} has what never was"
        checked += len(stored)
    return checked


def _assert_same_entity(kind: EntityKind, row: Row, told: Row, account: Account) -> None:
    expected = entity_row(kind, told, account_id=account.id, currency=account.currency)
    for name, value in expected.items():
        if name != "recovered":
            assert row[name] == _as_stored(value), (kind, told["id"], name, row["recovered"])


def _as_stored(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
