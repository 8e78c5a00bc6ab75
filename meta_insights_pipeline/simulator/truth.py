"""What any table should hold at a time: the statement against which a reader of the API is judged.

Belongs here: facts taken from the integer model ad by ad and added up in plain Python. Does not belong here, on
purpose: anything of the way through queries, frames and JSON that an answer takes; the two must agree without sharing
mistakes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from meta_insights_pipeline.simulator.conversions import EVENTS, PRICED_EVENTS, WINDOWS, Conversions, Windowed
from meta_insights_pipeline.simulator.days import floor_step
from meta_insights_pipeline.simulator.delivery import AdDays
from meta_insights_pipeline.simulator.metrics import ACTION_SPECS, ActionSpec
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.reach import runs
from meta_insights_pipeline.simulator.structure import AccountGraph
from meta_insights_pipeline.simulator.world import World

_BELOW_ACCOUNT = ("campaign", "adset", "ad")
_COUNTS = ("impressions", "clicks", "inline_link_clicks")


@dataclass(frozen=True)
class Truth:
    """Rows of entities and days, and their actions, each by (entity, day) in the order of day and id."""

    rows: list[dict[str, Any]]
    """Keys: the attributes of the level and those above, date_start, the numbers, spend as an exact Decimal."""
    actions: list[dict[str, Any]]
    """Keys: level, account_id, entity_id, date_start, field, action_type, value, windows (non-zero ones)."""


def truth(world: World, level: str, account_id: str, since: date, until: date, at: datetime) -> Truth:
    """Return every row of a level that an account should show at `at`, deleted and archived entities included."""
    account = world.account(account_id)
    graph = world.graph(account_id)
    step = floor_step(at)
    unit = Decimal(10) ** -account.decimals
    rows: list[dict[str, Any]] = []
    actions: list[dict[str, Any]] = []
    attributes = {
        "account_id": account.id,
        "account_name": account.name,
        "account_currency": account.currency,
    }
    for cells in _portions(graph, account.currency, (since.toordinal(), until.toordinal()), step):
        tally = _tally(graph, level, cells)
        for (day, place), numbers in sorted(tally.numbers.items()):
            row = {**attributes, **_names(graph, level, place, step), "date_start": date.fromordinal(day)}
            row |= {name: numbers[name] for name in _COUNTS}
            row["reach"] = _union(tally.people[day, place])
            row["spend"] = numbers["spend"] * unit
            rows.append(row)
        for (day, place, spec), amounts in sorted(tally.actions.items(), key=lambda item: item[0][:2]):
            scale = unit if spec.kind == "money" else Decimal(1)
            actions.append(
                {
                    "level": level,
                    "account_id": account.id,
                    "entity_id": account.id if level == "account" else graph.table(level).ids[place],
                    "date_start": date.fromordinal(day),
                    "field": spec.field,
                    "action_type": spec.action_type,
                    "value": amounts["value"] * scale,
                    "windows": {name: amounts[name] * scale for name in WINDOWS if amounts[name]},
                }
            )
    return Truth(rows, actions)


@dataclass(frozen=True)
class _Tally:
    """Sums of some days, by day and place of the entity."""

    numbers: dict[tuple[int, int], dict[str, int]]
    people: dict[tuple[int, int], list[tuple[int, int]]]
    actions: dict[tuple[int, int, ActionSpec], dict[str, int]]


def _portions(graph: AccountGraph, currency: str, period: tuple[int, int], at: int) -> Iterator[AdDays]:
    """Yield the ad-days of a period, a week at a time."""
    table = graph.ads
    for begin in range(period[0], period[1] + 1, 7):
        end = min(begin + 6, period[1])
        ads = np.flatnonzero((table.created <= at) & (table.start_day <= end) & (table.stop_day >= begin))
        yield AdDays(graph, currency, ads, np.arange(begin, end + 1, dtype=np.int64), at)


def _tally(graph: AccountGraph, level: str, cells: AdDays) -> _Tally:
    tally = _Tally({}, {}, {})
    member = graph.member_of(level)[cells.ads].tolist()
    days = cells.days.tolist()
    starts, lengths = (array.tolist() for array in runs(cells))
    numbers = {name: getattr(cells, name).tolist() for name in (*_COUNTS, "spend")}
    for row, column in np.argwhere(cells.impressions > 0).tolist():
        key = (days[row], member[column])
        sums = tally.numbers.setdefault(key, dict.fromkeys(numbers, 0))
        for name, values in numbers.items():
            sums[name] += values[row][column]
        start = starts[row][column]
        tally.people.setdefault(key, []).append((start, start + lengths[row][column]))
    for (kind, source), amount in _amounts(cells).items():
        specs = [spec for spec in ACTION_SPECS if (spec.kind, spec.source) == (kind, source)]
        _add_actions(tally, amount, specs, days, member)
    return tally


def _add_actions(tally: _Tally, amount: Windowed, specs: list[ActionSpec], days: list[int], member: list[int]) -> None:
    arrays: dict[str, Ints] = {"value": amount.value, **amount.windows}
    present = np.any([array > 0 for array in arrays.values()], axis=0)
    for row, column in np.argwhere(present).tolist():
        for spec in specs:
            sums = tally.actions.setdefault((days[row], member[column], spec), dict.fromkeys(("value", *WINDOWS), 0))
            for name, array in arrays.items():
                sums[name] += int(array[row, column])


def _amounts(cells: AdDays) -> dict[tuple[str, str], Windowed]:
    """Return every amount behind an action type; on Meta's own services every click window holds all of it."""
    conversions = Conversions(cells)
    amounts: dict[tuple[str, str], Windowed] = {}
    amounts |= {("count", event): conversions.count(event) for event in EVENTS}
    amounts |= {("money", event): conversions.value(event) for event in PRICED_EVENTS}
    marks = {"p25": 0, "p50": 1, "p75": 2, "p95": 3, "p100": 4}
    for source in dict.fromkeys(spec.source for spec in ACTION_SPECS if spec.kind == "delivery"):
        value: Ints = cells.mark(marks[source]) if source in marks else getattr(cells, source)
        amounts["delivery", source] = Windowed(value, {name: value for name in WINDOWS if name.endswith("_click")})
    return amounts


def _union(people: list[tuple[int, int]]) -> int:
    """Return how many people runs of neighbours hold together."""
    total, reached = 0, -1
    for start, stop in sorted(people):
        total += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return total


def _names(graph: AccountGraph, level: str, place: int, at: int) -> dict[str, str]:
    """Return ids and names of an entity and what stands above it, and the campaign's objective."""
    if level == "account":
        return {}
    places = {level: place}
    if level == "ad":
        places["adset"] = int(graph.ads.parent[place])
    if level in {"ad", "adset"}:
        places["campaign"] = int(graph.adsets.parent[places["adset"]])
    names: dict[str, str] = {}
    for name in _BELOW_ACCOUNT:
        if name in places:
            table = graph.table(name)
            names |= {f"{name}_id": table.ids[places[name]], f"{name}_name": table.name(places[name], at)}
    names["objective"] = graph.objectives[places["campaign"]]
    return names
