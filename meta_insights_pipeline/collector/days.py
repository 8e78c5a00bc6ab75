"""Which days to collect: pure decisions about ranges of account days."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

# The zone in which a day begins first on Earth: a day that has not begun there has begun nowhere.
FIRST_ZONE = "Pacific/Kiritimati"
LAST_ZONE = "Etc/GMT+12"


@dataclass(frozen=True)
class DayRange:
    """Days from `since` to `until`, both inclusive."""

    since: date
    until: date

    def __post_init__(self) -> None:
        if self.since > self.until:
            raise ValueError(f"the range begins on {self.since}, after its end on {self.until}")

    def __str__(self) -> str:
        return f"{self.since} to {self.until}"

    @property
    def count(self) -> int:
        """How many days."""
        return (self.until - self.since).days + 1

    @property
    def days(self) -> list[date]:
        """Every day."""
        return [self.since + timedelta(days=n) for n in range(self.count)]

    def until_at_most(self, last: date) -> "DayRange | None":
        """The part up to a day, or None."""
        return DayRange(self.since, min(self.until, last)) if self.since <= last else None

    def common(self, other: "DayRange") -> "DayRange | None":
        """The days that both have, or None."""
        since, until = max(self.since, other.since), min(self.until, other.until)
        return DayRange(since, until) if since <= until else None

    def without(self, other: "DayRange") -> list["DayRange"]:
        """The days that the other has not, as at most two ranges."""
        if self.common(other) is None:
            return [self]
        before = [DayRange(self.since, other.since - timedelta(days=1))] if self.since < other.since else []
        after = [DayRange(other.until + timedelta(days=1), self.until)] if self.until > other.until else []
        return before + after

    def parts(self, days: int) -> list["DayRange"]:
        """Consecutive parts of at most so many days."""
        starts = range(0, self.count, days)
        return [
            DayRange(self.since + timedelta(days=n), min(self.since + timedelta(days=n + days - 1), self.until))
            for n in starts
        ]


def newest_day(now: datetime) -> date:
    """The newest day that has begun anywhere; a later one is in the future for every account."""
    return now.astimezone(ZoneInfo(FIRST_ZONE)).date()


def refresh_range(now: datetime, zones: Iterable[str] = ()) -> DayRange:
    """Today and yesterday of every account, as one range.

    Args:
        now: The moment of the refresh.
        zones: Time zones of the accounts; when none is known, all of the Earth's are assumed.
    """
    todays = [now.astimezone(ZoneInfo(zone)).date() for zone in zones or (LAST_ZONE, FIRST_ZONE)]
    return DayRange(min(todays) - timedelta(days=1), max(todays))


def days_back_range(now: datetime, days_back: int, zones: Sequence[str] = ()) -> DayRange:
    """The days from `days_back` days ago through today, for accounts in these zones."""
    todays = [now.astimezone(ZoneInfo(zone)).date() for zone in zones or (LAST_ZONE, FIRST_ZONE)]
    return DayRange(min(todays) - timedelta(days=days_back), max(todays))


def cluster(ranges: Sequence[tuple[date, date]], gap_days: int = 7) -> DayRange:
    """The newest of the ranges together with all that lie close to it.

    Args:
        ranges: First and last day of each.
        gap_days: What is further away than this belongs to another cluster.
    """
    newest, *older = sorted(ranges, key=lambda one: one[1], reverse=True)
    since, until = newest
    for first, last in older:
        if (since - last).days > gap_days:
            break
        since = min(since, first)
    return DayRange(since, until)
