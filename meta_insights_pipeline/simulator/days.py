"""Days of an ad account: where they begin, how much of one has passed, how much of its data has arrived.

Belongs here: everything that turns an instant and an account's time zone into progress. Does not belong here: amounts.
"""

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from meta_insights_pipeline.simulator.randomness import ONE, Ints

STEP_SECONDS = 900
"""Insights are recomputed about every 15 minutes; nothing moves inside a step."""

SETTLING_HOURS = 72
"""Invalid traffic is taken out of a day in hourly steps until this long after its end."""

DELAYS = ("click_1d", "click_7d", "click_28d", "view_1d", "engaged_1d")
"""The buckets in which conversions arrive: time from the touch, and its kind."""

_DAY = 86_400.0
# (days since the day began, share arrived). The last one ends half a day before the local midnight of day D+28, so that
# a sync of D-28..D at any hour of that day reads the final number, daylight saving or not.
_ARRIVALS: dict[str, tuple[tuple[float, float], ...]] = {
    "click_1d": ((0.1, 0.0), (1.0, 0.55), (2.4, 1.0)),
    "click_7d": ((1.0, 0.0), (3.0, 0.5), (8.5, 1.0)),
    "click_28d": ((7.0, 0.0), (14.0, 0.55), (27.5, 1.0)),
    "view_1d": ((0.05, 0.0), (1.0, 0.6), (2.2, 1.0)),
    "engaged_1d": ((0.05, 0.0), (1.0, 0.65), (2.0, 1.0)),
}
# Relative delivery in each twenty-fourth of the account's day.
_HOURS = (14, 9, 6, 5, 5, 8, 14, 22, 30, 36, 40, 43, 46, 45, 44, 44, 46, 50, 56, 62, 66, 60, 44, 26)
_BEFORE_HOUR = tuple(sum(_HOURS[:hour]) for hour in range(25))


def floor_step(at: datetime) -> int:
    """Return the unix second of the last recomputation at or before `at`."""
    seconds = int(at.timestamp())
    return seconds - seconds % STEP_SECONDS


@functools.lru_cache(maxsize=200_000)
def midnight(zone: str, day: int) -> int:
    """Return the unix second at which the local day with ordinal `day` begins."""
    return int(datetime.combine(date.fromordinal(day), time(), ZoneInfo(zone)).timestamp())


def local_second(zone: str, day: int, hour: int, minute: int) -> int:
    """Return the unix second of a local wall-clock time."""
    return int(datetime.combine(date.fromordinal(day), time(hour, minute), ZoneInfo(zone)).timestamp())


def local_date(zone: str, at: int) -> date:
    """Return the account-local date at a unix second."""
    return datetime.fromtimestamp(at, ZoneInfo(zone)).date()


def horizon(at: int) -> int:
    """Return the ordinal of a day that has not begun anywhere at a unix second."""
    return utc(at).date().toordinal() + 2


def local_text(zone: str, at: int) -> str:
    """Return a unix second as Graph writes it: local time with an offset without colon."""
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def utc(at: int) -> datetime:
    """Return a unix second as an aware datetime."""
    return datetime.fromtimestamp(at, UTC)


def months_before(day: date, months: int) -> date:
    """Return the date `months` calendar months before `day`, at the last day of a shorter month."""
    index = day.year * 12 + day.month - 1 - months
    first = date(index // 12, index % 12 + 1, 1)
    after = date((index + 1) // 12, (index + 1) % 12 + 1, 1)
    return min(first + timedelta(days=day.day - 1), after - timedelta(days=1))


@dataclass(frozen=True)
class Progress:
    """How far each of some account days has come at one instant; arrays run over the days."""

    growth: Ints
    """Share of the day's delivery that has happened, in units of 1/ONE; 0 for days to come."""
    settled_hours: Ints
    """Hours since the day's end, at most `SETTLING_HOURS`."""
    arrived: dict[str, Ints]
    """Share of each delay bucket that has arrived, in units of 1/ONE."""


def progress(zone: str, days: Ints, at: int) -> Progress:
    """Return the progress of `days` (ordinals) at unix second `at`."""
    bounds = [(midnight(zone, day), midnight(zone, day + 1)) for day in days.tolist()]
    begin = np.array([bound[0] for bound in bounds], dtype=np.int64)
    end = np.array([bound[1] for bound in bounds], dtype=np.int64)
    passed = np.maximum(at - begin, 0)
    elapsed = passed.astype(np.float64) / _DAY
    arrived = {
        name: (np.interp(elapsed, [x for x, _ in knots], [y for _, y in knots]) * ONE).astype(np.int64)
        for name, knots in _ARRIVALS.items()
    }
    settled = np.clip((at - end) // 3600, 0, SETTLING_HOURS)
    return Progress(growth=_growth(passed, end - begin), settled_hours=settled, arrived=arrived)


def _growth(passed: Ints, length: Ints) -> Ints:
    """Return the share delivered along the intraday curve, on the account's own day of 23, 24 or 25 hours."""
    within = np.minimum(passed, length)
    hour = np.minimum(within * 24 // length, 23)
    rest = within * 24 - hour * length
    before = np.array(_BEFORE_HOUR, dtype=np.int64)[hour]
    weight = np.array(_HOURS, dtype=np.int64)[hour]
    return (before * length + weight * rest) * ONE // (_BEFORE_HOUR[24] * length)
