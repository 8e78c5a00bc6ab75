"""How many requests a range of days becomes."""

from datetime import UTC, date, datetime

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports, reports_of_levels
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.lessons import Size, Split
from meta_insights_pipeline.collector.plan import (
    PAGE_ROWS,
    PART_ROWS,
    estimate,
    expected_rows,
    plan,
    unseen_accounts,
)

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
BERLIN = AdAccount("1", "Shop", "EUR", "Europe/Berlin")
SYDNEY = AdAccount("2", "Surf", "AUD", "Australia/Sydney")
MONTH = DayRange(date(2026, 10, 25), date(2026, 11, 22))
DEEP = reports_of_levels([Level.CAMPAIGN, Level.ADSET, Level.AD])
ADS = reports_of_levels([Level.AD])


def test_an_account_of_unknown_size_is_one_asynchronous_report_a_level_over_the_whole_range() -> None:
    tasks = plan([BERLIN], DEEP, MONTH, NOW, {})
    assert [(task.report.level, task.days, task.direct) for task in tasks] == [
        (level, MONTH, False) for level in (Level.AD, Level.ADSET, Level.CAMPAIGN)
    ]


def test_what_fits_on_one_page_is_asked_for_directly() -> None:
    rate = PAGE_ROWS / 29 / 1.2
    tasks = plan([BERLIN], builtin_reports(), MONTH, NOW, {("1", report.name): rate for report in DEEP})
    assert all(task.direct for task in tasks)
    assert len(tasks) == 4


def test_an_account_of_500_ads_is_one_report_and_one_of_2000_is_read_in_parts_side_by_side() -> None:
    assert len(plan([BERLIN], ADS, MONTH, NOW, {("1", "ad_insights"): 500.0})) == 1
    tasks = plan([BERLIN], ADS, MONTH, NOW, {("1", "ad_insights"): 2000.0})
    assert len(tasks) == 6
    assert all(task.days.count * 2000 <= PART_ROWS for task in tasks)
    assert sorted(day for task in tasks for day in task.days.days) == MONTH.days


def test_a_part_is_at_least_a_day() -> None:
    tasks = plan([BERLIN], ADS, DayRange(date(2026, 11, 1), date(2026, 11, 2)), NOW, {("1", "ad_insights"): 1e6})
    assert [task.days.count for task in tasks] == [1, 1]


def test_each_account_is_asked_up_to_its_own_today() -> None:
    days = DayRange(date(2026, 11, 22), date(2026, 11, 23))
    tasks = plan([BERLIN, SYDNEY], ADS, days, NOW, {})
    assert {task.account.id: task.days.until for task in tasks} == {"1": date(2026, 11, 22), "2": date(2026, 11, 23)}


def test_an_account_in_which_no_day_has_begun_is_left_out() -> None:
    only_tomorrow = DayRange(date(2026, 11, 23), date(2026, 11, 23))
    assert {task.account.id for task in plan([BERLIN, SYDNEY], ADS, only_tomorrow, NOW, {})} == {"2"}


def test_a_short_range_of_an_account_of_unknown_size_is_asked_for_directly() -> None:
    short = DayRange(date(2026, 11, 21), date(2026, 11, 22))
    assert all(task.direct for task in plan([BERLIN], DEEP, short, NOW, {}))


def test_what_meta_refused_before_is_not_asked_for_in_that_size_again() -> None:
    tasks = plan([BERLIN, SYDNEY], ADS, MONTH, NOW, {}, {("1", "ad_insights"): Size(10)})
    assert [task.days.count for task in tasks if task.account == BERLIN] == [10, 10, 9]
    assert [task.days.count for task in tasks if task.account == SYDNEY] == [29]


def test_what_meta_gives_on_a_page_and_what_it_refused_directly_are_part_of_the_plan_and_its_cost() -> None:
    rows, sizes = {("1", "ad_insights"): 10.0}, {("1", "ad_insights"): Size(page_rows=60)}
    tasks = plan([BERLIN], ADS, MONTH, NOW, rows, sizes)
    assert [task.direct for task in tasks] == [True]
    assert estimate(tasks, 2.0, sizes) == {"insights_page": 5}
    sizes = {("1", "ad_insights"): Size(direct_days=28, page_rows=60, polls=1.0)}
    tasks = plan([BERLIN], ADS, MONTH, NOW, rows, sizes)
    assert [task.direct for task in tasks] == [False]
    assert estimate(tasks, 2.0, sizes) == {"report_submit": 1, "report_poll": 1, "report_page": 5}


def test_days_that_come_by_entities_cost_what_they_cost_the_last_time() -> None:
    sizes = {("1", "ad_insights"): Size(1, by_entity=True, split=Split(1, 3, 2, 4))}
    tasks = plan([BERLIN], ADS, MONTH, NOW, {("1", "ad_insights"): 500.0}, sizes)
    assert len(tasks) == 29
    assert estimate(tasks, 2.0, sizes) == {
        "insights_page": 29 * 4,
        "report_submit": 29 * 2,
        "report_poll": 29 * 4,
        "report_page": 29 * 4,
    }


def test_the_size_of_an_account_is_asked_for_only_before_a_long_range_and_where_it_is_unknown() -> None:
    short = DayRange(date(2026, 11, 21), date(2026, 11, 22))
    known = {("1", report.name): 10.0 for report in DEEP}
    assert unseen_accounts([BERLIN, SYDNEY], ADS, MONTH, known) == [(SYDNEY, Level.AD)]
    assert unseen_accounts([BERLIN], DEEP, MONTH, {}) == [
        (BERLIN, Level.CAMPAIGN),
        (BERLIN, Level.ADSET),
        (BERLIN, Level.AD),
    ]
    assert unseen_accounts([BERLIN], DEEP, short, {}) == []
    assert unseen_accounts([BERLIN], reports_of_levels([Level.ACCOUNT]), MONTH, {}) == []


def test_numbers_of_running_entities_are_the_rows_of_a_day() -> None:
    counts = {("1", Level.CAMPAIGN): 10, ("1", Level.AD): 500}
    assert expected_rows(counts, DEEP) == {("1", "campaign_insights"): 10.0, ("1", "ad_insights"): 500.0}


def test_28_days_of_three_levels_of_500_ads_are_planned_at_no_more_than_45_calls() -> None:
    days = DayRange(date(2026, 10, 25), date(2026, 11, 22))
    rows = {("1", "campaign_insights"): 10.0, ("1", "adset_insights"): 50.0, ("1", "ad_insights"): 500.0}
    calls = estimate(plan([BERLIN], DEEP, days, NOW, rows))
    assert calls == {"insights_page": 1, "report_submit": 2, "report_poll": 4, "report_page": 29 + 3}
    # The list of accounts and the three sizes come on top.
    assert sum(calls.values()) + 4 <= 45
