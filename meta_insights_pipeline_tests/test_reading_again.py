"""What is read again: pure decisions about account days, what matters most first."""

from collections.abc import Callable
from datetime import date, timedelta

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.reading_again import Chosen, choose, contiguous

FIRST = date(2026, 11, 20)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def wanted(account: str, *numbers: int) -> list[tuple[str, date]]:
    return [(account, day(number)) for number in numbers]


def costing(first: int, more: int) -> Callable[[str, DayRange], int]:
    """So many calls for a day, and for each day more."""
    return lambda _account, days: first + more * (days.count - 1)


def shown(chosen: Chosen) -> list[tuple[str, int, int]]:
    """Account, first day and number of days of each part."""
    return [(account, (days.since - FIRST).days, days.count) for account, days in chosen.parts]


def test_days_of_an_account_that_follow_each_other_are_asked_for_together() -> None:
    chosen = choose([*wanted("1", 3, 1, 2), *wanted("2", 7)], costing(4, 0), 100)
    assert shown(chosen) == [("1", 1, 3), ("2", 7, 1)]
    assert chosen.left_out == set()


def test_days_that_cost_too_much_together_are_asked_for_one_by_one_the_most_important_first() -> None:
    chosen = choose(wanted("1", 4, 0, 3, 2, 1), costing(31, 30), 100)
    assert shown(chosen) == [("1", 4, 1), ("1", 0, 1), ("1", 3, 1)]
    assert chosen.left_out == set(wanted("1", 1, 2))


def test_the_first_account_day_is_asked_for_whatever_it_costs() -> None:
    chosen = choose([*wanted("1", 1, 0), *wanted("2", 0)], costing(500, 500), 100)
    assert shown(chosen) == [("1", 1, 1)]
    assert chosen.left_out == {("1", day(0)), ("2", day(0))}


def test_what_is_too_large_for_the_calls_that_are_left_does_not_keep_others_from_their_turn() -> None:
    def cost(account: str, days: DayRange) -> int:
        return {"1": 40, "2": 70, "3": 40}[account] * days.count

    chosen = choose([*wanted("1", 0), *wanted("2", 0, 1), *wanted("3", 0)], cost, 100)
    assert shown(chosen) == [("1", 0, 1), ("3", 0, 1)]
    assert chosen.left_out == set(wanted("2", 0, 1))


def test_nothing_is_tried_with_fewer_calls_than_anything_costs() -> None:
    asked: list[str] = []

    def cost(account: str, _days: DayRange) -> int:
        asked.append(account)
        return 4

    chosen = choose([(str(number), FIRST) for number in range(50)], cost, 10, least=4)
    assert [account for account, _ in chosen.parts] == ["0", "1"]
    assert asked == ["0", "1"]
    assert len(chosen.left_out) == 48


def test_days_become_ranges_without_holes() -> None:
    days = [FIRST + timedelta(days=n) for n in (0, 1, 5, 3, 6)]
    assert [(part.since, part.until) for part in contiguous(days)] == [
        (FIRST, FIRST + timedelta(days=1)),
        (FIRST + timedelta(days=3), FIRST + timedelta(days=3)),
        (FIRST + timedelta(days=5), FIRST + timedelta(days=6)),
    ]
