"""The marts: names and spend are never lost, conversions never counted twice, and only what may be summed is summed."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.catalog.conversions import choices, events
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.marts import Mart, marts, reports
from meta_insights_pipeline.warehouse.schema import book_tables, entity_table, fact_table, tables
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, NOON, Books, books, create
from meta_insights_pipeline_tests.warehouse.worlds_of_money import is_of_one_currency, worlds_of_money

ACCOUNT, CAMPAIGN, ADSET, AD = Level
NEXT = DAY + timedelta(days=1)
PERIOD = f"DATE '{DAY}', DATE '{NEXT}'"
PURCHASE_NAMES = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase", "onsite_web_purchase")


@pytest.fixture(scope="module")
def shared() -> Iterator[Books]:
    with books() as found:
        yield found


@pytest.fixture
def shop(shared: Books) -> Books:
    """An empty warehouse that counts by the defaults."""
    shared.empty()
    shared.count_by()
    return shared


# ---- what there is ----


def test_every_mart_has_the_declared_columns_with_the_declared_types(shop: Books) -> None:
    for mart in marts():
        query = f"{mart.name}(DATE '{DAY}', DATE '{NEXT}')" if mart.is_macro else mart.name
        found = [(row["column_name"], row["column_type"]) for row in shop.ask(f"DESCRIBE FROM {query}")]
        assert found == [(each.name, each.sql_type.replace(", ", ",")) for each in mart.columns], mart.name


def test_every_column_of_the_views_has_its_comment_in_duckdb(shop: Books) -> None:
    for mart in marts():
        if not mart.is_macro:
            rows = shop.ask(f"SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '{mart.name}'")
            assert {row["column_name"]: row["comment"] for row in rows} == {
                each.name: each.description for each in mart.columns
            }
            assert all(row["comment"] for row in rows), mart.name


def test_every_source_of_a_column_is_a_column_that_exists() -> None:
    known = {(table.name, column.name) for table in tables() for column in table.columns}
    known |= {(kind.value, column.name) for kind in EntityKind for column in entity_table(kind).columns}
    known |= {(mart.name, column.name) for mart in marts() for column in mart.columns}
    known |= {(table.full_name, column.name) for table in book_tables() for column in table.columns}
    known |= {("conversion_events", name) for name in ("event", "action_type")}
    for mart in marts():
        for column in mart.columns:
            assert column.sources, f"{mart.name}.{column.name}"
            for source in column.sources:
                table, _, name = source.rpartition(".")
                assert (table, name) in known, f"{mart.name}.{column.name}: {source}"


def test_a_report_has_every_metric_and_ratio_of_its_table_of_insights() -> None:
    for report, mart in zip(builtin_reports(), reports(), strict=True):
        missing = {column.name for column in fact_table(report).columns} - {column.name for column in mart.columns}
        # What Meta sent unasked is no metric.
        assert missing == {"other_fields"}, mart.name


def test_nothing_but_additive_columns_is_summed_anywhere() -> None:
    summed = [(mart, column) for mart in marts() for column in mart.columns if "sum(" in column.expression]
    assert len(summed) > 100
    for mart, column in summed:
        assert column.additive, f"{mart.name}.{column.name}"
    assert not any(
        column.additive for mart in marts() for column in mart.columns if column.name in ("reach", "ctr", "roas")
    )


def test_the_warehouse_reads_the_same_under_another_name_and_in_read_only_mode(tmp_path: Any) -> None:
    file = tmp_path / "first.duckdb"
    with duckdb.connect(str(file)) as connection:
        create(connection, "first")
        shop = Books(connection)
        shop.fact(CAMPAIGN, "c", spend="1.5")
        shop.write()
    published = file.rename(tmp_path / "published.duckdb")
    with duckdb.connect(str(published), read_only=True) as connection:
        assert connection.execute("SELECT spend FROM campaign_report").fetchall() == [(Decimal("1.5"),)]
        assert connection.execute(f"SELECT spend FROM campaign_summary({PERIOD})").fetchall() == [(Decimal("1.5"),)]
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{published}' AS theirs (READ_ONLY)")
        assert connection.execute("SELECT spend FROM theirs.campaign_report").fetchall() == [(Decimal("1.5"),)]


# ---- names, settings, freshness ----


def test_names_and_settings_are_the_present_ones_and_spend_without_an_entity_keeps_the_names_of_its_insights(
    shop: Books,
) -> None:
    shop.account("1")
    shop.entity(
        EntityKind.CAMPAIGNS, "1", campaign_id="known", name="New name", effective_status="PAUSED", daily_budget="12.50"
    )
    for campaign in ("known", "ghost"):
        shop.fact(
            CAMPAIGN, campaign, campaign_name="Old name", account_name="Old shop", spend="3", objective="OUTCOME_LEADS"
        )
    rows = {row["campaign_id"]: row for row in shop.ask("FROM campaign_report")}
    known, ghost = rows["known"], rows["ghost"]
    assert (known["campaign_name"], known["effective_status"], known["daily_budget"]) == (
        "New name",
        "PAUSED",
        Decimal("12.5"),
    )
    assert (ghost["campaign_name"], ghost["effective_status"], ghost["daily_budget"]) == ("Old name", None, None)
    assert known["objective"] == ghost["objective"] == "OUTCOME_LEADS"
    assert known["account_name"] == "Shop 1"
    assert [row["spend"] for row in rows.values()] == [3, 3]


def test_an_entity_of_another_account_with_the_same_id_adds_no_row(shop: Books) -> None:
    for account in ("1", "2"):
        shop.account(account)
        shop.entity(EntityKind.CAMPAIGNS, account, campaign_id="c", name=f"Of {account}")
    shop.fact(CAMPAIGN, "c", spend=1)
    assert shop.one("SELECT campaign_name, spend FROM campaign_report") == {"campaign_name": "Of 1", "spend": 1}


def test_an_ad_has_the_names_and_budgets_of_its_parents(shop: Books) -> None:
    shop.account()
    ids: dict[str, Any] = {"campaign_id": "c", "adset_id": "s"}
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c", name="Campaign", lifetime_budget=500)
    shop.entity(EntityKind.ADSETS, "1", **ids, name="Ad set", daily_budget=7)
    shop.entity(EntityKind.ADS, "1", **ids, ad_id="a", name="Ad", status="ACTIVE", creative_id="cr")
    shop.fact(AD, "a", **ids)
    row = shop.one("FROM ad_report")
    assert [row[f"{level.value}_name"] for level in Level] == ["Shop 1", "Campaign", "Ad set", "Ad"]
    assert (row["adset_daily_budget"], row["campaign_lifetime_budget"], row["adset_lifetime_budget"]) == (7, 500, None)
    assert (row["status"], row["creative_id"]) == ("ACTIVE", "cr")


@pytest.mark.parametrize(
    ("zone", "collected_at", "days"),
    [
        # Noon in UTC is the same day in Berlin, the next one already in Kiritimati, and still the night in Los Angeles.
        ("Europe/Berlin", datetime(2026, 11, 2, 12, tzinfo=UTC), 1),
        ("Pacific/Kiritimati", datetime(2026, 11, 2, 12, tzinfo=UTC), 2),
        ("America/Los_Angeles", datetime(2026, 11, 2, 7, tzinfo=UTC), 0),
        # 1 November 2026 has 25 hours in Los Angeles: it is over at 8:00 UTC, and not at 7:00.
        ("America/Los_Angeles", datetime(2026, 11, 2, 7, 59, tzinfo=UTC), 0),
        ("America/Los_Angeles", datetime(2026, 11, 2, 8, tzinfo=UTC), 1),
        ("Asia/Kolkata", datetime(2026, 11, 1, 18, 29, tzinfo=UTC), 0),
        ("Asia/Kolkata", datetime(2026, 11, 1, 18, 30, tzinfo=UTC), 1),
    ],
)
def test_days_since_counts_days_of_the_account(shop: Books, zone: str, collected_at: datetime, days: int) -> None:
    shop.account(zone=zone)
    shop.fact(ACCOUNT, "1")
    shop.collected(ACCOUNT, DAY, collected_at)
    row = shop.one("SELECT days_since, is_final, collected_at FROM account_report")
    assert row == {"days_since": days, "is_final": False, "collected_at": collected_at.replace(tzinfo=None)}


def test_a_day_is_final_when_it_was_more_than_28_days_old_when_it_was_last_collected(shop: Books) -> None:
    shop.account()
    for day, age in ((DAY, 28), (NEXT, 29)):
        shop.fact(ACCOUNT, "1", day)
        shop.collected(ACCOUNT, day, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=age))
    assert shop.ask("SELECT days_since, is_final FROM account_report ORDER BY date_start") == [
        {"days_since": 28, "is_final": False},
        {"days_since": 29, "is_final": True},
    ]
    assert shop.one(f"SELECT is_final FROM account_summary({PERIOD})") == {"is_final": False}
    assert shop.one(f"SELECT is_final FROM account_summary(DATE '{NEXT}', DATE '{NEXT}')") == {"is_final": True}


def test_without_entities_days_are_those_of_the_account_that_the_sync_found(shop: Books) -> None:
    shop.found("1", zone="Asia/Tokyo")
    shop.fact(CAMPAIGN, "c")
    shop.collected(CAMPAIGN, DAY, datetime(2026, 11, 1, 15, tzinfo=UTC))
    assert shop.one("SELECT timezone_name, days_since, is_final FROM campaign_report") == {
        "timezone_name": "Asia/Tokyo",
        "days_since": 1,
        "is_final": False,
    }


def test_an_account_is_known_by_its_entity_and_where_that_lacks_something_by_the_book(shop: Books) -> None:
    shop.account("1", "EUR", "Asia/Tokyo")
    shop.found("1", "USD", "UTC")
    shop.entity(EntityKind.AD_ACCOUNTS, "2", name="Shop 2")
    shop.found("2", "JPY", "Europe/Berlin")
    shop.found("3", "BRL", None)
    assert [tuple(row.values()) for row in shop.ask("FROM known_accounts ORDER BY account_id")] == [
        ("1", "Shop 1", "EUR", "Asia/Tokyo"),
        ("2", "Shop 2", "JPY", "Europe/Berlin"),
        ("3", "Shop 3", "BRL", None),
    ]


def test_an_account_with_an_unknown_zone_hides_neither_itself_nor_others(shop: Books) -> None:
    for account, zone in (("1", "Atlantis/Capital"), ("2", "UTC")):
        shop.account(account, zone=zone)
        shop.fact(ACCOUNT, account, account_id=account, spend=1)
        shop.collected(ACCOUNT, DAY, NOON, account_id=account)
    shop.fact(ACCOUNT, "3", account_id="3", spend=1)
    rows = shop.ask("SELECT account_id, spend, days_since, collected_at FROM account_report ORDER BY account_id")
    assert [row["days_since"] for row in rows] == [None, 1, None]
    assert [row["collected_at"] is None for row in rows] == [False, False, True]
    assert [row["spend"] for row in rows] == [1, 1, 1]


# ---- conversions ----


@pytest.mark.parametrize("level", list(Level))
def test_purchases_that_are_listed_under_several_types_are_counted_once(shop: Books, level: Level) -> None:
    entity = "1" if level is ACCOUNT else "x"
    shop.fact(level, entity, spend=10)
    for name in PURCHASE_NAMES:
        shop.action(level, entity, name, 5)
        shop.action(level, entity, name, "40", field="action_values")
    row = shop.one(f"SELECT purchases, purchase_value, roas, cpa FROM {level}_report")
    assert row == {"purchases": 5, "purchase_value": 40, "roas": 4.0, "cpa": 2.0}


def test_another_choice_changes_the_numbers_of_the_views_and_no_stored_row(shop: Books) -> None:
    shop.fact(CAMPAIGN, "c")
    shop.action(CAMPAIGN, "c", "omni_purchase", 7)
    shop.action(CAMPAIGN, "c", "offsite_conversion.fb_pixel_purchase", 4, value_7d_click=3)
    stored = shop.ask("FROM insight_actions")
    seen = []
    for choice in (
        (),
        ("purchase=offsite_conversion.fb_pixel_purchase",),
        ("purchase=offsite_conversion.fb_pixel_purchase@7d_click",),
        ("purchase=offsite_conversion.fb_pixel_purchase@1d_view",),
        ("purchase=unheard_of",),
    ):
        shop.count_by(*choice)
        seen.append(shop.one("SELECT purchases FROM campaign_report")["purchases"])
    assert seen == [7, 4, 3, 0, 0]
    assert shop.ask("FROM insight_actions") == stored


def test_storing_the_choice_that_is_there_changes_nothing(shop: Books) -> None:
    assert not shop.count_by()
    assert shop.count_by("lead=onsite_conversion.lead_grouped")
    assert not shop.count_by("lead=onsite_conversion.lead_grouped")
    rows = {row["event"]: row for row in shop.ask("FROM conversion_events")}
    assert list(rows) == list(events())
    assert rows["lead"]["action_type"] == "onsite_conversion.lead_grouped"
    assert "lead" in rows["lead"]["overlapping_types"].split(",")


def test_conversions_that_meta_did_not_list_are_0_and_withheld_ones_are_unknown(shop: Books) -> None:
    shop.fact(CAMPAIGN, "asked", spend=1)
    shop.fact(CAMPAIGN, "withheld", spend=1, withheld_fields="reach,actions")
    shop.fact(CAMPAIGN, "other", spend=1, withheld_fields="action_values")
    shop.action(CAMPAIGN, "other", "omni_purchase", 2)
    rows = {row["campaign_id"]: row for row in shop.ask("FROM campaign_report")}
    assert (rows["asked"]["purchases"], rows["asked"]["purchase_value"], rows["asked"]["roas"]) == (0, 0, 0)
    assert rows["asked"]["cpa"] is None
    assert (rows["withheld"]["purchases"], rows["withheld"]["purchase_value"]) == (None, 0)
    assert (rows["withheld"]["thruplays"], rows["withheld"]["contacts"]) == (0, 0)
    assert (rows["other"]["purchases"], rows["other"]["purchase_value"], rows["other"]["roas"]) == (2, None, None)


def test_a_period_with_a_withheld_day_has_no_sum_and_says_which_field_lacks(shop: Books) -> None:
    for day, withheld in ((DAY, None), (NEXT, "actions,reach")):
        shop.fact(CAMPAIGN, "c", day, spend=2, withheld_fields=withheld)
        shop.action(CAMPAIGN, "c", "omni_purchase", 1, day)
    row = shop.one(f"FROM campaign_summary({PERIOD})")
    assert (row["purchases"], row["cpa"], row["spend"], row["withheld_fields"]) == (None, None, 4, "actions,reach")
    row = shop.one(f"FROM campaign_summary(DATE '{DAY}', DATE '{DAY}')")
    assert (row["purchases"], row["cpa"], row["withheld_fields"]) == (1, 2.0, None)


def test_conversions_of_a_withheld_day_are_unknown_and_so_is_their_sum_over_a_period(shop: Books) -> None:
    shop.found()
    for day, withheld in ((DAY, None), (NEXT, "actions,reach")):
        shop.fact(CAMPAIGN, "c", day, spend=2, withheld_fields=withheld)
        shop.action(CAMPAIGN, "c", "omni_purchase", "8.5", day, field="action_values", value_7d_click=3)
    shop.action(CAMPAIGN, "c", "omni_purchase", 5, DAY, value_7d_click=4)
    names = ("conversions", "conversions_7d_click", "value", "value_7d_click", "withheld_fields", "account_currency")
    asked = f"SELECT {', '.join(names)} FROM {{}} WHERE event = 'purchase'"
    known = (5, 4, Decimal("8.5"), 3, None, "EUR")
    assert [tuple(row.values()) for row in shop.ask(f"{asked.format('conversions')} ORDER BY date_start")] == [
        known,
        (None, None, Decimal("8.5"), 3, "actions", "EUR"),
    ]
    row = shop.one(asked.format(f"conversions_summary({PERIOD})"))
    assert tuple(row.values()) == (None, None, 17, 6, "actions", "EUR")
    row = shop.one(asked.format(f"conversions_summary(DATE '{DAY}', DATE '{DAY}')"))
    assert tuple(row.values()) == known


def test_conversions_that_are_withheld_on_every_day_are_unknown_and_not_absent(shop: Books) -> None:
    shop.fact(AD, "a", withheld_fields="action_values")
    rows = {row["event"]: row for row in shop.ask(f"FROM conversions_summary({PERIOD})")}
    assert set(rows) == {event.name for event in events().values() if event.value_field == "action_values"}
    assert {(row["level"], row["entity_id"], row["value"], row["withheld_fields"]) for row in rows.values()} == {
        ("ad", "a", None, "action_values")
    }


def test_both_fields_of_an_event_are_named_when_both_are_withheld(shop: Books) -> None:
    shop.fact(AD, "a", withheld_fields="actions,reach,action_values")
    asked = "SELECT conversions, value, withheld_fields FROM {} WHERE event = 'purchase'"
    unknown = {"conversions": None, "value": None, "withheld_fields": "action_values,actions"}
    assert shop.one(asked.format("conversions")) == unknown
    assert shop.one(asked.format(f"conversions_summary({PERIOD})")) == unknown


def test_conversions_are_those_of_the_rows_level_and_not_summed_from_below(shop: Books) -> None:
    ids: dict[str, Any] = {"campaign_id": "c", "adset_id": "s"}
    shop.fact(CAMPAIGN, "c")
    for ad in ("a", "b"):
        shop.fact(AD, ad, **ids)
        shop.action(AD, ad, "omni_purchase", 3)
    # Meta's own number of the campaign, which need not be the sum of its ads'.
    shop.action(CAMPAIGN, "c", "omni_purchase", 5)
    assert shop.one("SELECT purchases FROM campaign_report") == {"purchases": 5}
    assert shop.ask("SELECT purchases FROM ad_report") == [{"purchases": 3}] * 2


def test_an_ad_whose_campaign_is_not_known_keeps_its_spend_and_has_no_conversions_instead_of_0(shop: Books) -> None:
    shop.fact(AD, "a", campaign_id=None, spend=4)
    shop.action(AD, "a", "omni_purchase", 3)
    assert shop.one("SELECT spend, purchases, cpa FROM ad_report") == {"spend": 4, "purchases": None, "cpa": None}


def test_events_of_other_lists_are_found_there(shop: Books) -> None:
    shop.fact(CAMPAIGN, "c")
    shop.action(CAMPAIGN, "c", "video_view", 100)
    shop.action(CAMPAIGN, "c", "video_view", 30, field="video_thruplay_watched_actions")
    shop.action(CAMPAIGN, "c", "schedule_total", 2, field="conversions")
    shop.action(CAMPAIGN, "c", "schedule_total", "90.5", field="conversion_values")
    row = shop.one("SELECT video_views, thruplays, appointments, appointment_value FROM campaign_report")
    assert row == {"video_views": 100, "thruplays": 30, "appointments": 2, "appointment_value": Decimal("90.5")}


def test_the_view_of_conversions_has_a_row_an_event_with_a_pair_of_columns_a_window(shop: Books) -> None:
    shop.account()
    for name in PURCHASE_NAMES:
        shop.action(CAMPAIGN, "c", name, 5, value_1d_click=2, value_28d_click=6)
        shop.action(CAMPAIGN, "c", name, "50", field="action_values", value_1d_click=20)
    row = shop.one("FROM conversions")
    assert (row["level"], row["entity_id"], row["event"], row["action_type"]) == (
        "campaign",
        "c",
        "purchase",
        "omni_purchase",
    )
    assert (row["conversions"], row["value"], row["account_currency"]) == (5, 50, "EUR")
    assert (row["conversions_1d_click"], row["value_1d_click"]) == (2, 20)
    assert (row["conversions_28d_click"], row["value_28d_click"], row["conversions_1d_view"]) == (6, None, None)
    total = shop.one(f"FROM conversions_summary({PERIOD})")
    assert {name: total[name] for name in total} == {name: row[name] for name in total}


# ---- sums ----


def test_reach_and_frequency_are_metas_on_one_day_and_unknown_over_several(shop: Books) -> None:
    for day in (DAY, NEXT):
        shop.fact(CAMPAIGN, "c", day, impressions=300, reach=100, spend=5)
    one = shop.one(f"FROM campaign_summary('{DAY}', '{DAY}')")
    assert (one["reach"], one["frequency"], one["cpp"]) == (100, 3.0, 50.0)
    two = shop.one(f"FROM campaign_summary({PERIOD})")
    assert (two["reach"], two["frequency"], two["cpp"]) == (None, None, None)
    assert (two["impressions"], two["days"], two["first_day"], two["last_day"]) == (600, 2, DAY, NEXT)


def test_totals_never_have_a_reach_and_have_a_row_for_each_currency(shop: Books) -> None:
    for account, currency in (("1", "EUR"), ("2", "EUR"), ("3", "JPY")):
        shop.fact(ACCOUNT, account, account_id=account, account_currency=currency, spend=100, reach=9, impressions=10)
    rows = shop.ask(f"FROM totals('{DAY}', '{DAY}') ORDER BY account_currency")
    assert [(row["account_currency"], row["accounts"], row["spend"]) for row in rows] == [
        ("EUR", 2, 200),
        ("JPY", 1, 100),
    ]
    assert all(row["reach"] is None and row["frequency"] is None and row["cpp"] is None for row in rows)


def test_a_summary_keeps_the_newest_name_of_an_entity_that_is_not_known(shop: Books) -> None:
    shop.fact(CAMPAIGN, "c", NEXT, campaign_name="New")
    shop.fact(CAMPAIGN, "c", DAY, campaign_name="Old")
    assert shop.one(f"SELECT campaign_name, days FROM campaign_summary({PERIOD})") == {
        "campaign_name": "New",
        "days": 2,
    }


NUMBERS = st.integers(0, 10**9)
MONEY = st.decimals(0, 10**9, places=6)
FACTS = st.fixed_dictionaries(
    {
        "impressions": NUMBERS,
        "clicks": st.none() | NUMBERS,
        "inline_link_clicks": NUMBERS,
        "spend": MONEY,
        "reach": st.none() | NUMBERS,
    }
)
# Accounts and campaigns; the currency is the account's.
ENTITIES = st.tuples(st.sampled_from("12"), st.sampled_from("xy"), st.integers(0, 3))
CURRENCIES = {"1": "EUR", "2": "JPY"}
PURCHASES = st.dictionaries(st.sampled_from(PURCHASE_NAMES), st.tuples(NUMBERS, MONEY), max_size=4)


def _known_sum(numbers: list[Any]) -> Any:
    """A sum that is unknown when a part of it is."""
    return None if any(number is None for number in numbers) else sum(numbers)


def _divided(top: Any, bottom: Any, scale: int = 1) -> Any:
    return None if top is None or not bottom else pytest.approx(float(scale * Decimal(top) / Decimal(bottom)), rel=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.dictionaries(ENTITIES, st.tuples(FACTS, PURCHASES), max_size=8),
    since=st.integers(-1, 4),
    length=st.integers(0, 4),
    chosen=st.sampled_from(PURCHASE_NAMES),
)
def test_whatever_is_selected_sums_and_ratios_are_those_of_the_rows(
    shop: Books, rows: dict[Any, Any], since: int, length: int, chosen: str
) -> None:
    shop.empty()
    shop.count_by(f"purchase={chosen}")
    first, last = DAY + timedelta(days=since), DAY + timedelta(days=since + length)
    expected: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for (account, campaign, number), (fact, purchases) in rows.items():
        day = DAY + timedelta(days=number)
        shop.fact(CAMPAIGN, campaign, day, account_id=account, account_currency=CURRENCIES[account], **fact)
        for name, (count, value) in purchases.items():
            shop.action(CAMPAIGN, campaign, name, count, day, account_id=account)
            shop.action(CAMPAIGN, campaign, name, value, day, account_id=account, field="action_values")
        if first <= day <= last:
            expected[account, campaign].append((fact, *purchases.get(chosen, (0, Decimal(0)))))
    found = {
        (row["account_id"], row["campaign_id"]): row
        for row in shop.ask(f"FROM campaign_summary(DATE '{first}', DATE '{last}')")
    }
    assert found.keys() == expected.keys()
    for key, parts in expected.items():
        row = found[key]
        sums = {name: _known_sum([fact[name] for fact, _, _ in parts]) for name in parts[0][0] if name != "reach"}
        purchases, value = sum(count for _, count, _ in parts), sum(money for _, _, money in parts)
        assert {name: row[name] for name in sums} == sums
        assert (row["purchases"], row["purchase_value"]) == (purchases, value)
        assert row["account_currency"] == CURRENCIES[key[0]]
        assert row["reach"] == (parts[0][0]["reach"] if length == 0 else None)
        assert row["ctr"] == _divided(sums["clicks"], sums["impressions"], 100)
        assert row["cpc"] == _divided(sums["spend"], sums["clicks"])
        assert row["cpm"] == _divided(sums["spend"], sums["impressions"], 1000)
        assert row["frequency"] == _divided(sums["impressions"], row["reach"])
        assert row["roas"] == _divided(value, sums["spend"])
        assert row["cpa"] == _divided(sums["spend"], purchases)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.dictionaries(st.tuples(st.sampled_from("1234"), st.integers(0, 2)), MONEY, max_size=8))
def test_two_currencies_are_never_in_one_sum(shop: Books, rows: dict[tuple[str, int], Decimal]) -> None:
    shop.empty()
    currencies = {"1": "EUR", "2": "JPY", "3": "EUR", "4": "BRL"}
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for (account, number), spend in rows.items():
        day = DAY + timedelta(days=number)
        shop.fact(ACCOUNT, account, day, account_id=account, account_currency=currencies[account], spend=spend)
        expected[currencies[account]] += spend
    found = shop.ask(f"SELECT account_currency, spend FROM totals(DATE '{DAY}', DATE '{DAY}' + 2)")
    assert {row["account_currency"]: row["spend"] for row in found} == expected
    assert len(found) == len(expected)


def test_without_entities_no_view_and_no_period_adds_up_currencies(shop: Books) -> None:
    worlds_of_money(shop)
    summed = []
    for mart in marts():
        money = [each.name for each in mart.columns if each.unit == "money" and each.additive]
        source = f"{mart.name}({PERIOD})" if mart.is_macro else mart.name
        for name in money:
            for row in shop.ask(f'SELECT account_currency, sum("{name}") AS total FROM {source} GROUP BY ALL'):
                assert is_of_one_currency(row["total"]), (mart.name, name, row)
                summed.append((mart.name, row["account_currency"]))
    assert {currency for _, currency in summed} == {"EUR", "JPY", "USD"}
    assert len({mart for mart, _ in summed}) == 11


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    listed=st.dictionaries(
        st.sampled_from(sorted({name for event in events().values() for name in (event.action_type, *event.overlaps)})),
        st.integers(1, 1000),
        max_size=12,
    ),
    data=st.data(),
)
def test_an_event_is_never_more_than_the_one_type_by_which_it_is_counted(
    shop: Books, listed: dict[str, int], data: st.DataObject
) -> None:
    shop.empty()
    parts = [
        f"{event.name}={data.draw(st.sampled_from((event.action_type, *event.overlaps)))}"
        for event in events().values()
    ]
    shop.count_by(*parts)
    shop.fact(CAMPAIGN, "c")
    fields = {event.count_field for event in events().values()}
    for name, count in listed.items():
        for field in fields:
            shop.action(CAMPAIGN, "c", name, count, field=field)
    row = shop.one("FROM campaign_report")
    for choice in choices(parts):
        assert row[choice.event.counts] == listed.get(choice.action_type, 0), choice.event.name
    by_event = {each["event"]: each["conversions"] for each in shop.ask("FROM conversions")}
    assert by_event == {
        choice.event.name: listed[choice.action_type] for choice in choices(parts) if choice.action_type in listed
    }


# ---- how quickly it answers ----


def fill(shop: Books, level: Level) -> None:
    """Rows of several accounts, campaigns and days: DuckDB leaves out filters that its statistics prove needless."""
    for number in range(3):
        account, day = str(number + 1), DAY + timedelta(days=10 * number)
        entity = account if level is ACCOUNT else f"x{number}"
        parent: dict[str, Any] = {} if level.depth < ADSET.depth else {"campaign_id": f"c{number}"}
        shop.fact(level, entity, day, account_id=account, **parent)
        shop.action(level, entity, "omni_purchase", 1, day, account_id=account)


@pytest.mark.parametrize("mart", reports(), ids=lambda mart: mart.name)
@pytest.mark.parametrize("column", ["date_start", "account_id"])
def test_a_filter_on_day_or_account_reaches_every_scan_of_insights_and_actions(
    shop: Books, mart: Mart, column: str
) -> None:
    value = f"DATE '{DAY}'" if column == "date_start" else "'1'"
    facts = mart.name.replace("_report", "_insights")
    fill(shop, Level(mart.name.removesuffix("_report")))
    scans = shop.scans(f"SELECT * FROM {mart.name} WHERE {column} = {value}")
    for table in (facts, "insight_actions"):
        assert scans[table], table
        assert all(column in filters for filters in scans[table]), (table, scans[table])


@pytest.mark.parametrize("report", ["adset_report", "ad_report"])
def test_a_filter_on_the_campaign_reaches_the_rows_by_which_actions_are_looked_up(shop: Books, report: str) -> None:
    level = Level(report.removesuffix("_report"))
    fill(shop, level)
    scans = shop.scans(f"SELECT * FROM {report} WHERE campaign_id = 'c1'")
    assert len(scans[f"{level}_insights"]) == 2
    assert all("campaign_id" in filters for filters in scans[f"{level}_insights"])


def test_a_period_reaches_the_scans_below_a_summary(shop: Books) -> None:
    fill(shop, CAMPAIGN)
    scans = shop.scans(f"FROM campaign_summary(DATE '{DAY}', DATE '{date(2026, 11, 7)}')")
    for table in ("campaign_insights", "insight_actions"):
        assert all("date_start" in filters for filters in scans[table]), scans
    scans = shop.scans(f"FROM conversions_summary(DATE '{DAY}', DATE '{date(2026, 11, 7)}') WHERE level = 'campaign'")
    assert all("date_start" in filters for filters in scans["insight_actions"]), scans
