"""Row counts beside the account's usual ones."""

from collections.abc import Sequence
from datetime import date, timedelta

from meta_insights_pipeline.warehouse.row_counts import RowCounts, row_counts
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, DAY, Desk, row

REPORT = CAMPAIGNS.name


def fill(desk: Desk, counts: Sequence[int], account: str = "1") -> date:
    """Sync consecutive days with so many rows each; the last of them."""
    rows = [
        row(f"c{number}", DAY + timedelta(days=day), account_id=account)
        for day, count in enumerate(counts)
        for number in range(count)
    ]
    last = DAY + timedelta(days=len(counts) - 1)
    desk.sync(rows, until=last, account=account)
    return last


def look(desk: Desk, last_closed: dict[str, date], since: date, until: date) -> RowCounts:
    with desk.warehouse.connect() as connection:
        return row_counts(connection, last_closed, [REPORT], since, until)[REPORT]


def test_days_about_as_long_as_usual_pass(desk: Desk) -> None:
    last = fill(desk, [100, 90, 110, 100, 95, 105, 100, 60, 40, 250])
    assert look(desk, {"1": last}, last - timedelta(days=2), last) == RowCounts(3, 0, ())


def test_a_day_with_a_fraction_of_the_usual_rows_is_told_with_both_numbers(desk: Desk) -> None:
    last = fill(desk, [100] * 8 + [30])
    assert look(desk, {"1": last}, last, last) == RowCounts(1, 1, ("2026-11-09 of act_1 has 30 rows; 100 are usual.",))


def test_a_day_with_many_times_the_usual_rows_is_told_and_does_not_make_itself_usual(desk: Desk) -> None:
    last = fill(desk, [10] * 8 + [40, 40])
    found = look(desk, {"1": last}, last - timedelta(days=1), last)
    assert found.unusual == 2
    assert found.examples[0] == "2026-11-10 of act_1 has 40 rows; 10 are usual."


def test_a_day_that_is_not_over_is_not_judged(desk: Desk) -> None:
    last = fill(desk, [100] * 8 + [5])
    assert look(desk, {"1": last - timedelta(days=1)}, last, last) == RowCounts(0, 0, ())


def test_without_a_week_of_days_before_nothing_is_usual(desk: Desk) -> None:
    last = fill(desk, [100] * 6 + [0])
    assert look(desk, {"1": last}, last, last) == RowCounts(0, 0, ())


def test_a_small_account_may_vary(desk: Desk) -> None:
    last = fill(desk, [20] * 8 + [1, 20, 1, 0, 2, 0, 15])
    assert look(desk, {"1": last}, last - timedelta(days=6), last - timedelta(days=4)).unusual == 0
    # It has had no row before, so that none is nothing new.
    assert look(desk, {"1": last}, last - timedelta(days=2), last).unusual == 0


def test_an_account_that_had_rows_every_day_and_has_none_is_told_however_small_it_is(desk: Desk) -> None:
    last = fill(desk, [1] * 8 + [0])
    assert look(desk, {"1": last}, last, last) == RowCounts(1, 1, ("2026-11-09 of act_1 has 0 rows; 1 are usual.",))


def test_each_account_has_its_own_usual(desk: Desk) -> None:
    last = fill(desk, [100] * 9)
    fill(desk, [10] * 9, "2")
    assert look(desk, dict.fromkeys(("1", "2"), last), last, last) == RowCounts(2, 0, ())
