"""Which account days are read once more when their levels do not add up: pure decisions, before a call is spent."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby

from meta_insights_pipeline.collector.days import DayRange

AccountDay = tuple[str, date]
"""The id of an account, and a day of it."""
Cost = Callable[[str, DayRange], int]
"""The calls that it takes to read days of an account again."""


@dataclass
class Chosen:
    """What is read again."""

    parts: list[tuple[str, DayRange]] = field(default_factory=list)
    left_out: set[AccountDay] = field(default_factory=set)
    """What the calls did not suffice for."""


def choose(wanted: Sequence[AccountDay], cost: Cost, calls: int, least: int = 1) -> Chosen:
    """As much as the calls allow, one account after the other.

    Days of an account that follow each other are asked for together, which costs least; where that is too much, day by day. The
    first day is asked for whatever it costs, so that the largest account gets its turn.

    Args:
        wanted: Account days, what matters most first.
        cost: What days cost.
        calls: How many may be spent.
        least: What any day costs at least: with fewer calls left nothing is tried.
    """
    rank = {account_day: place for place, account_day in enumerate(wanted)}
    by_account: dict[str, set[date]] = {}
    for account, day in wanted:
        by_account.setdefault(account, set()).add(day)
    chosen = Chosen()
    for account, days in by_account.items():
        parts = sorted(contiguous(days), key=lambda part: min(rank[account, day] for day in part.days))
        for part in parts:
            calls -= _take(chosen, account, part, cost, calls, least, rank)
    return chosen


def _take(
    chosen: Chosen, account: str, part: DayRange, cost: Cost, calls: int, least: int, rank: dict[AccountDay, int]
) -> int:
    """Choose a part whole, or some days of it; what that costs."""
    account_days = [(account, day) for day in part.days]
    if chosen.parts and calls < least:
        chosen.left_out.update(account_days)
        return 0
    if (whole := cost(account, part)) <= calls:
        chosen.parts.append((account, part))
        return whole
    spent = 0
    for account_day in sorted(account_days, key=lambda each: rank[each]):
        day = DayRange(account_day[1], account_day[1])
        if chosen.parts and calls - spent < least:
            chosen.left_out.add(account_day)
        elif (each := cost(account, day)) <= calls - spent or not chosen.parts:
            chosen.parts.append((account, day))
            spent += each
        else:
            chosen.left_out.add(account_day)
    return spent


def contiguous(days: Iterable[date]) -> list[DayRange]:
    """Days as ranges without holes, in order."""
    ranges: list[DayRange] = []
    for _, group in groupby(enumerate(sorted(days)), key=lambda pair: pair[1] - timedelta(days=pair[0])):
        part = [day for _, day in group]
        ranges.append(DayRange(part[0], part[-1]))
    return ranges
