"""What an insights request asks for, once its parameters are read and found valid.

Belongs here: parameters of `/insights` and their errors. Does not belong here: paging (`paging`) or computing
(`results`). This is also where breakdowns would enter: a query with breakdowns is refused at one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from meta_insights_pipeline.simulator.days import local_date, months_before
from meta_insights_pipeline.simulator.errors import beyond_retention, invalid_parameter, not_one_of, unknown_field
from meta_insights_pipeline.simulator.filters import Filter, parse_filters
from meta_insights_pipeline.simulator.metrics import (
    COMPUTED_FIELDS,
    IDENTITY_FIELDS,
    LIST_FIELDS,
    RATIO_FIELDS,
    SCALARS,
)
from meta_insights_pipeline.simulator.parameters import parse_bool, parse_date, parse_int, parse_json, parse_list
from meta_insights_pipeline.simulator.vocabulary import ACTION_BREAKDOWNS, known_breakdowns, known_fields, known_windows

QUERY_LEVELS = ("ad", "adset", "campaign", "account")
_FROM_ABOVE = ("account", "campaign", "adset", "ad")
RETENTION_MONTHS = 37
_LATEST = date(2099, 12, 31)
"""Ranges may reach into the future, but not to where calendars end."""

DATE_PRESETS = (
    "today",
    "yesterday",
    "this_month",
    "last_month",
    "this_quarter",
    "maximum",
    "data_maximum",
    "last_3d",
    "last_7d",
    "last_14d",
    "last_28d",
    "last_30d",
    "last_90d",
    "last_week_mon_sun",
    "last_week_sun_sat",
    "last_quarter",
    "last_year",
    "this_week_mon_today",
    "this_week_sun_today",
    "this_year",
)

Period = tuple[int, int]

FILTERED, BY_PARENT, BY_ID = "filtered", "by_parent", "by_id"
DELETED_ROWS = (FILTERED, BY_PARENT, BY_ID)
"""Where rows of deleted entities are: wherever a filter names their status, as documented; only in a report of their own
parent whose filter does; or only in a report of the entity itself. Totals of what is above hold them in any case."""


@dataclass(frozen=True)
class Scope:
    """The object whose insights are asked for."""

    account_id: str
    level: str = "account"
    object_id: str = ""


@dataclass(frozen=True)
class Sort:
    """The order asked for: a field, perhaps one action type of it."""

    field: str
    action_type: str
    descending: bool


@dataclass(frozen=True)
class InsightsQuery:
    """A valid question; equal questions at one recomputation step have the same answer, so it serves as a cache key."""

    scope: Scope
    level: str
    fields: tuple[str, ...]
    periods: tuple[Period, ...]
    """First and last day of each period, as ordinals; with `daily` one range of days."""
    daily: bool
    windows: tuple[str, ...]
    filters: tuple[Filter, ...]
    sort: Sort | None
    summary: tuple[str, ...]
    at: int
    deleted_rows: str = FILTERED
    """Where rows of deleted entities are: one of `DELETED_ROWS`."""

    @property
    def days(self) -> int:
        """How many days the periods span."""
        return sum(last - first + 1 for first, last in self.periods)


def parse_query(params: Mapping[str, str], scope: Scope, zone: str, at: int) -> InsightsQuery:
    """Read the parameters of an insights request at the recomputation step `at`."""
    _refuse_breakdowns(params)
    level = _level(params, scope)
    fields = _fields(params, level)
    periods, daily = _periods(params, local_date(zone, at))
    query = InsightsQuery(
        scope=scope,
        level=level,
        fields=fields,
        periods=periods,
        daily=daily,
        windows=_windows(params),
        filters=parse_filters(params.get("filtering")),
        sort=_sort(params),
        summary=(),
        at=at,
    )
    return replace(query, summary=_summary(params, query))


def _refuse_breakdowns(params: Mapping[str, str]) -> None:
    for name, known, served in (
        ("breakdowns", known_breakdowns(), frozenset[str]()),
        ("action_breakdowns", ACTION_BREAKDOWNS, frozenset({"action_type"})),
    ):
        values = parse_list(params.get(name), name)
        for place, value in enumerate(values):
            if value not in known:
                raise not_one_of(f"{name}[{place}]", known)
        for value in values:
            if value not in served:
                raise invalid_parameter(f"{value} is a value of {name} that this simulator does not serve", name)


def _level(params: Mapping[str, str], scope: Scope) -> str:
    level = params.get("level") or scope.level
    if level not in QUERY_LEVELS:
        raise not_one_of("level", QUERY_LEVELS)
    if _FROM_ABOVE.index(level) < _FROM_ABOVE.index(scope.level):
        raise invalid_parameter(f"level {level} is above the level of the object that is asked", "level")
    return level


def _fields(params: Mapping[str, str], level: str) -> tuple[str, ...]:
    fields = tuple(dict.fromkeys(parse_list(params.get("fields"), "fields")))
    for name in fields:
        if name not in COMPUTED_FIELDS and name not in known_fields():
            raise unknown_field(name)
    if fields:
        return fields
    above = _FROM_ABOVE[: _FROM_ABOVE.index(level) + 1]
    return (*(IDENTITY_FIELDS[name][0] for name in above), "impressions", "spend")


def _windows(params: Mapping[str, str]) -> tuple[str, ...]:
    windows = tuple(dict.fromkeys(parse_list(params.get("action_attribution_windows"), "action_attribution_windows")))
    for place, window in enumerate(windows):
        if window not in known_windows():
            raise not_one_of(f"action_attribution_windows[{place}]", known_windows())
    return windows


def _sort(params: Mapping[str, str]) -> Sort | None:
    items = parse_list(params.get("sort"), "sort")
    if not items:
        return None
    if len(items) > 1:
        raise invalid_parameter("Param sort may have one element only", "sort")
    text = items[0]
    descending = text.endswith("_descending")
    name = text.removesuffix("_descending").removesuffix("_ascending")
    field, _, action_type = name.partition(":")
    allowed = LIST_FIELDS if action_type else (*SCALARS, *RATIO_FIELDS, "date_start")
    if field not in allowed:
        raise invalid_parameter(f"Sorting by {name} is not supported", "sort")
    return Sort(field, action_type, descending)


def _summary(params: Mapping[str, str], query: InsightsQuery) -> tuple[str, ...]:
    text = params.get("summary") or ""
    # Cursors of the official SDK send `summary=true` to every edge.
    if parse_bool(params.get("default_summary")) or text.lower() == "true":
        return tuple(field for field in query.fields if not _identifies(field))
    if text.lower() in {"", "false"}:
        return ()
    asked = tuple(parse_list(text, "summary"))
    for field in asked:
        if field not in query.fields:
            raise invalid_parameter(
                f"Cannot include {field} in summary param because they were not there while creating the report run.",
                "summary",
            )
    return asked


def _identifies(field: str) -> bool:
    return any(field in names for names in IDENTITY_FIELDS.values()) or field.endswith("_time")


def _periods(params: Mapping[str, str], today: date) -> tuple[tuple[Period, ...], bool]:
    if params.get("time_ranges"):
        ranges = parse_json(params["time_ranges"], "time_ranges")
        if not isinstance(ranges, list) or not ranges:
            raise invalid_parameter("Param time_ranges must be an array of ranges.", "time_ranges")
        return tuple(_range(item, "time_ranges", today) for item in ranges), False
    first, last = _span(params, today)
    increment = params.get("time_increment") or "all_days"
    if increment == "all_days":
        return ((first, last),), False
    if increment == "monthly":
        return tuple(_months(first, last)), False
    size = parse_int(increment, "time_increment")
    if not 1 <= size <= 90:
        raise invalid_parameter("time_increment must be between 1 and 90, monthly or all_days", "time_increment")
    if size == 1:
        return ((first, last),), True
    return tuple((day, min(day + size - 1, last)) for day in range(first, last + 1, size)), False


def _span(params: Mapping[str, str], today: date) -> Period:
    if params.get("time_range"):
        return _range(parse_json(params["time_range"], "time_range"), "time_range", today)
    preset = params.get("date_preset") or "last_30d"
    if preset not in DATE_PRESETS:
        raise not_one_of("date_preset", DATE_PRESETS)
    since, until = preset_range(preset, today)
    return since.toordinal(), until.toordinal()


def _range(value: Any, name: str, today: date) -> Period:
    if not isinstance(value, dict) or not {"since", "until"} <= value.keys():
        raise invalid_parameter(f"Param {name} must be an object with since and until", name)
    since, until = parse_date(value["since"], "since"), parse_date(value["until"], "until")
    until = min(until, _LATEST)
    if since > until:
        raise invalid_parameter("Time range start must not be after its end: since > until", name)
    if since < months_before(today, RETENTION_MONTHS):
        raise beyond_retention()
    return since.toordinal(), until.toordinal()


def _months(first: int, last: int) -> list[Period]:
    periods, day = [], first
    while day <= last:
        following = (date.fromordinal(day).replace(day=1) + timedelta(days=32)).replace(day=1).toordinal()
        periods.append((day, min(following - 1, last)))
        day = following
    return periods


def preset_range(preset: str, today: date) -> tuple[date, date]:
    """Return the dates of a `date_preset` on the account's own date `today`; last_Nd does not include today."""
    yesterday = today - timedelta(days=1)
    if preset.startswith("last_") and preset.endswith("d") and preset[5:-1].isdecimal():
        return today - timedelta(days=int(preset[5:-1])), yesterday
    monday = today - timedelta(days=today.weekday())
    sunday = today - timedelta(days=(today.weekday() + 1) % 7)
    month, year = today.replace(day=1), today.replace(month=1, day=1)
    quarter = month.replace(month=(month.month - 1) // 3 * 3 + 1)
    oldest = months_before(today, RETENTION_MONTHS)
    ranges = {
        "today": (today, today),
        "yesterday": (yesterday, yesterday),
        "this_month": (month, today),
        "last_month": (months_before(month, 1), month - timedelta(days=1)),
        "this_quarter": (quarter, today),
        "last_quarter": (months_before(quarter, 3), quarter - timedelta(days=1)),
        "this_year": (year, today),
        "last_year": (year.replace(year=year.year - 1), year - timedelta(days=1)),
        "this_week_mon_today": (monday, today),
        "this_week_sun_today": (sunday, today),
        "last_week_mon_sun": (monday - timedelta(days=7), monday - timedelta(days=1)),
        "last_week_sun_sat": (sunday - timedelta(days=7), sunday - timedelta(days=1)),
        "maximum": (oldest, today),
        "data_maximum": (oldest, today),
    }
    return ranges[preset]
