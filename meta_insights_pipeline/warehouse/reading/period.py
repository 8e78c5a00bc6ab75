"""Ranges of account days, both ends inclusive, and which day it is where accounts are. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT_DAYS = 30
MAX_DAYS = 1_130
"""As long as Meta gives insights: 37 months."""

Lags = tuple[tuple[str | None, int], ...]
"""By how many days something is earlier in some time zones; None stands for each that is not named. Empty when it is nowhere."""


@dataclass(frozen=True)
class Today:
    """The day that it is at one moment."""

    newest: date
    """In the time zone that is furthest ahead."""
    lags: Lags = ()

    @property
    def oldest(self) -> date:
        """In the time zone that is furthest behind."""
        return self.newest - timedelta(days=_longest(self.lags))


@dataclass(frozen=True)
class Period:
    """Some days: the same number of every account, though not the same days where they end with each account's own today."""

    since: date
    until: date
    """As since, of the accounts that are furthest ahead."""
    lags: Lags = ()

    @property
    def days(self) -> int:
        """How many, of each account."""
        return (self.until - self.since).days + 1

    @property
    def is_one_day(self) -> bool:
        """Whether numbers that Meta counts by the day are known of it."""
        return self.since == self.until

    @property
    def previous(self) -> "Period":
        """As many days, just before."""
        return replace(self, since=self.since - timedelta(days=self.days), until=self.since - timedelta(days=1))

    @property
    def with_previous(self) -> "Period":
        """These days and those of `previous`."""
        return replace(self, since=self.previous.since)

    @property
    def first(self) -> date:
        """The first day of any account."""
        return self.since - timedelta(days=_longest(self.lags))

    def days_before(self, today: Today) -> int:
        """How many days of it are over where most are."""
        return max(0, min(self.days, (today.newest - self.since).days))


def last_days(days: int, today: Today) -> Period:
    """So many days of each account, its own today the last."""
    return Period(today.newest - timedelta(days=days - 1), today.newest, today.lags)


def today_in(zones: Iterable[str | None], now: datetime) -> Today:
    """The day that it is in some time zones; in one that is not known, that of UTC."""
    found = {zone: _day_in(zone, now) for zone in set(zones)}
    known = {zone: day for zone, day in found.items() if day is not None}
    days = [*known.values()] if len(known) == len(found) and known else [*known.values(), now.date()]
    newest = max(days)
    lags: dict[str | None, int] = {zone: (newest - day).days for zone, day in known.items()}
    elsewhere = 0 if len(known) == len(found) else (newest - now.date()).days
    # Each that is named is one more thing to look for in every row.
    named = {zone: lag for zone, lag in lags.items() if lag != elsewhere}
    if elsewhere:
        named[None] = elsewhere
    return Today(newest, tuple(sorted(named.items(), key=lambda item: (item[0] is None, item[0] or ""))))


def _longest(lags: Lags) -> int:
    return max((lag for _, lag in lags), default=0)


def _day_in(zone: str | None, now: datetime) -> date | None:
    try:
        return None if zone is None else now.astimezone(ZoneInfo(zone)).date()
    # A name that is no path, or too long for one, is no zone either.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
