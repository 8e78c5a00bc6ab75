"""Ranges of account days, both ends inclusive. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT_DAYS = 30
MAX_DAYS = 1_130
"""As long as Meta gives insights: 37 months."""


@dataclass(frozen=True)
class Period:
    """Some days."""

    since: date
    until: date

    @property
    def days(self) -> int:
        """How many."""
        return (self.until - self.since).days + 1

    @property
    def is_one_day(self) -> bool:
        """Whether numbers that Meta counts by the day are known of it."""
        return self.since == self.until

    @property
    def previous(self) -> "Period":
        """As many days, just before."""
        return Period(self.since - timedelta(days=self.days), self.since - timedelta(days=1))


def last_days(days: int, today: date) -> Period:
    """So many days, today the last."""
    return Period(today - timedelta(days=days - 1), today)


def newest_today(zones: Iterable[str | None], now: datetime) -> date:
    """The newest of the days that it is in some time zones; that of UTC when none of them is known."""
    todays = []
    for zone in set(zones) - {None}:
        try:
            todays.append(now.astimezone(ZoneInfo(str(zone))).date())
        # A name that is no path, or too long for one, is no zone either.
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return max(todays, default=now.date())
