"""Models that were written for Fivetran's or Airbyte's tables get the same numbers here as our own reports."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline.warehouse.compat import compat_views
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse
from meta_insights_pipeline.warehouse.views import view_statements
from meta_insights_pipeline_tests.comparison import Row, read_rows
from meta_insights_pipeline_tests.live import live
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, NOON, Books, books

ACCOUNT, CAMPAIGN, ADSET, AD = Level
NEXT = DAY + timedelta(days=1)
PIXEL_PURCHASE = "offsite_conversion.fb_pixel_purchase"

# What staging models do with a table of versions: cast the id, rename, and mark the newest version of each id.
STAGING = """
    {name} AS (
        SELECT {columns},
               row_number() OVER (PARTITION BY id ORDER BY {newest} DESC) = 1 AS is_most_recent_record
        FROM fivetran_compat.{table}
    )"""
# One column a conversion type, from the tables of actions and of their values, joined by ad and day.
CONVERSIONS = f"""
    conversions AS (
        SELECT a.ad_id, a.date_day, a.conversions, v.conversions_value
        FROM (
            SELECT CAST(ad_id AS BIGINT) AS ad_id, date AS date_day, sum(CAST(coalesce(value, 0) AS DOUBLE)) AS conversions
            FROM fivetran_compat.basic_ad_actions WHERE lower(action_type) = '{PIXEL_PURCHASE}' GROUP BY 1, 2
        ) AS a
        LEFT JOIN (
            SELECT CAST(ad_id AS BIGINT) AS ad_id, date AS date_day, sum(CAST(value AS DOUBLE)) AS conversions_value
            FROM fivetran_compat.basic_ad_action_values WHERE lower(action_type) = '{PIXEL_PURCHASE}' GROUP BY 1, 2
        ) AS v ON v.ad_id = a.ad_id AND v.date_day = a.date_day
    )"""
REPORT = """
    report AS (
        SELECT CAST(ad_id AS BIGINT) AS ad_id, CAST(account_id AS BIGINT) AS account_id, date AS date_day,
               impressions, coalesce(inline_link_clicks, 0) AS clicks, spend, reach, frequency
        FROM fivetran_compat.basic_ad
    )"""
SUMS = """
    sum(report.clicks) AS clicks, sum(report.impressions) AS impressions, sum(report.spend) AS spend,
    sum(coalesce(conversions.conversions, 0)) AS conversions,
    sum(coalesce(conversions.conversions_value, 0)) AS conversions_value"""


def staging(name: str, table: str, newest: str, *columns: str) -> str:
    """A staging model as a common table expression."""
    return STAGING.format(name=name, table=table, newest=newest, columns=", ".join(("id", *columns)))


ACCOUNTS = staging(
    "accounts",
    "account_history",
    "_fivetran_synced",
    "CAST(id AS BIGINT) AS account_id",
    "name AS account_name",
    "currency",
)
CAMPAIGNS = staging(
    "campaigns",
    "campaign_history",
    "updated_time",
    "CAST(id AS BIGINT) AS campaign_id",
    "name AS campaign_name",
    "status",
    "daily_budget",
    "lifetime_budget",
)
ADS = staging(
    "ads",
    "ad_history",
    "updated_time",
    "CAST(id AS BIGINT) AS ad_id",
    "CAST(ad_set_id AS BIGINT) AS ad_set_id",
    "CAST(campaign_id AS BIGINT) AS campaign_id",
    "CAST(creative_id AS BIGINT) AS creative_id",
    "name AS ad_name",
)
CAMPAIGN_REPORT = f"""
    WITH {REPORT}, {CONVERSIONS}, {ACCOUNTS}, {CAMPAIGNS}, {ADS}
    SELECT report.date_day, accounts.account_name, campaigns.campaign_id::VARCHAR AS campaign_id, campaigns.campaign_name,
           campaigns.status, {SUMS}
    FROM report
    LEFT JOIN conversions ON report.date_day = conversions.date_day AND report.ad_id = conversions.ad_id
    LEFT JOIN accounts ON report.account_id = accounts.account_id AND accounts.is_most_recent_record
    LEFT JOIN ads ON report.ad_id = ads.ad_id AND ads.is_most_recent_record
    LEFT JOIN campaigns ON ads.campaign_id = campaigns.campaign_id AND campaigns.is_most_recent_record
    GROUP BY 1, 2, 3, 4, 5"""
ACCOUNT_REPORT = f"""
    WITH {REPORT}, {CONVERSIONS}, {ACCOUNTS}
    SELECT report.date_day, accounts.account_id::VARCHAR AS account_id, accounts.account_name, accounts.currency, {SUMS}
    FROM report
    LEFT JOIN conversions ON report.date_day = conversions.date_day AND report.ad_id = conversions.ad_id
    LEFT JOIN accounts ON report.account_id = accounts.account_id AND accounts.is_most_recent_record
    GROUP BY 1, 2, 3, 4"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Books]:
    with books() as found:
        yield found


@pytest.fixture
def shop(shared: Books) -> Books:
    shared.empty()
    for kind in EntityKind:
        shared.connection.execute(f"DELETE FROM {kind.value}_history")
    return shared


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with three simulated days of two accounts, their entities, and the views."""
    home_folder = tmp_path_factory.mktemp("compat")
    with live(home_folder) as home:
        last = home.at.date()
        days = DayRange(last - timedelta(days=2), last)
        outcome = run_sync(
            home.settings, SyncRequest("run-1", days, builtin_reports(), entities_every=timedelta(minutes=55))
        )
        assert outcome.complete
    warehouse = Warehouse(home.settings.warehouse_path, home.settings.home / "tmp")
    with warehouse.connect() as connection:
        for statement in view_statements(ALIAS):
            connection.execute(statement)
        connection.execute(f"UPDATE conversion_events SET action_type = '{PIXEL_PURCHASE}' WHERE event = 'purchase'")
    return home.settings.warehouse_path


def test_a_campaign_report_in_the_manner_of_dbt_equals_ours(synced: Path) -> None:
    theirs = read_rows(synced, CAMPAIGN_REPORT)
    ours = read_rows(
        synced,
        "SELECT date_start AS date_day, account_name, campaign_id, campaign_name, status, inline_link_clicks AS clicks, "
        "impressions, spend, purchases AS conversions, purchase_value AS conversions_value FROM campaign_report",
    )
    assert len(ours) == 12
    assert_same(theirs, ours, "campaign_id")
    assert sum(row["conversions"] for row in ours) > 0
    assert sum(row["conversions_value"] for row in ours) > 0


def test_an_account_report_in_the_manner_of_dbt_equals_ours(synced: Path) -> None:
    theirs = read_rows(synced, ACCOUNT_REPORT)
    ours = read_rows(
        synced,
        "SELECT date_start AS date_day, account_id, account_name, account_currency AS currency, inline_link_clicks AS clicks, "
        "impressions, spend, purchases AS conversions, purchase_value AS conversions_value FROM account_report",
    )
    assert len(ours) == 6
    assert_same(theirs, ours, "account_id")


def test_models_on_airbytes_stream_get_the_same_spend_and_purchases_as_our_ad_report(synced: Path) -> None:
    theirs = read_rows(
        synced,
        f"""SELECT date_start, ad_id, spend, coalesce(list_sum([
                (item ->> '$.value')::DOUBLE FOR item IN from_json(actions, '["JSON"]')
                IF item ->> '$.action_type' = '{PIXEL_PURCHASE}']), 0) AS purchases
            FROM airbyte_compat.ads_insights ORDER BY ALL""",
    )
    ours = read_rows(synced, "SELECT date_start, ad_id, spend, purchases FROM ad_report ORDER BY ALL")
    assert len(ours) == 48
    assert [{**row, "purchases": float(row["purchases"])} for row in ours] == theirs
    assert sum(row["purchases"] for row in theirs) > 0


def test_our_reports_show_the_same_spend_and_purchases_at_every_level_of_the_simulated_accounts(synced: Path) -> None:
    sums = [
        read_rows(
            synced,
            "SELECT account_id, date_start, sum(spend) AS spend, sum(purchases) AS purchases, sum(link_clicks) AS clicks "
            f"FROM {level}_report GROUP BY ALL ORDER BY ALL",
        )
        for level in Level
    ]
    assert sums[0] == sums[1] == sums[2] == sums[3]
    facts = read_rows(synced, "SELECT account_id, date_start, spend FROM account_insights ORDER BY ALL")
    assert [(row["account_id"], row["date_start"], row["spend"]) for row in sums[0]] == [
        (row["account_id"], row["date_start"], row["spend"]) for row in facts
    ]


def test_every_row_of_the_reports_of_a_sync_says_how_old_and_fresh_it_is(synced: Path) -> None:
    rows = read_rows(synced, "SELECT date_start, timezone_name, days_since, is_final, collected_at FROM ad_report")
    assert len({row["timezone_name"] for row in rows}) == 2
    for row in rows:
        there = row["collected_at"].replace(tzinfo=UTC).astimezone(ZoneInfo(row["timezone_name"]))
        assert row["days_since"] == (there.date() - row["date_start"]).days
        assert row["is_final"] is False


def assert_same(theirs: list[Row], ours: list[Row], entity: str) -> None:
    """The same rows with the same numbers; theirs are partly floating-point numbers."""

    def by_key(rows: list[Row]) -> dict[tuple[date, str], Row]:
        found = {(row["date_day"], row[entity]): row for row in rows}
        assert len(found) == len(rows)
        return found

    expected, found = by_key(ours), by_key(theirs)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        numbers = ("conversions", "conversions_value")
        assert {name: found[key][name] for name in row if name not in numbers} == {
            name: row[name] for name in row if name not in numbers
        }
        for name in numbers:
            assert found[key][name] == pytest.approx(float(row[name]), abs=1e-6)


# ---- shapes ----


def test_every_view_can_be_read_and_says_what_it_is(shop: Books) -> None:
    for view in compat_views():
        name = f"{view.schema}.{view.name}"
        assert shop.ask(f"FROM {name}") == []
        assert shop.ask(
            f"SELECT comment FROM duckdb_views() WHERE schema_name = '{view.schema}' AND view_name = '{view.name}'"
        ) == [{"comment": view.description}]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            "account_history",
            "id _fivetran_synced name account_status created_time currency timezone_name min_daily_budget",
        ),
        (
            "campaign_history",
            "id updated_time account_id name start_time stop_time status daily_budget budget_remaining",
        ),
        (
            "ad_set_history",
            "id updated_time account_id campaign_id name start_time end_time bid_strategy optimization_goal",
        ),
        ("ad_history", "id updated_time account_id ad_set_id campaign_id creative_id name conversion_domain"),
        ("creative_history", "_fivetran_id _fivetran_synced id page_link template_page_link url_tags"),
        ("creative_history", "object_story_link_data_link asset_feed_spec_link_urls template_app_link_spec_iphone"),
        ("basic_ad", "ad_id ad_name adset_name date account_id impressions inline_link_clicks spend reach frequency"),
        (
            "basic_all_levels",
            "_fivetran_id date account_id ad_id ad_name adset_name campaign_name impressions spend reach",
        ),
        (
            "basic_all_levels",
            "inline_link_clicks frequency cpc cpm ctr cost_per_inline_link_click inline_link_click_ctr",
        ),
        (
            "basic_ad_actions",
            "_fivetran_id index _fivetran_synced ad_id date action_type value inline _1_d_view _7_d_click",
        ),
        ("basic_ad_action_values", "_fivetran_id index _fivetran_synced ad_id date action_type value _28_d_click"),
    ],
)
def test_fivetrans_tables_have_the_columns_that_dbt_facebook_ads_reads(shop: Books, table: str, columns: str) -> None:
    found = {row["column_name"] for row in shop.ask(f"DESCRIBE FROM fivetran_compat.{table}")}
    assert set(columns.split()) - found == set()


def test_the_report_of_all_levels_is_by_ad_with_the_names_above_it(shop: Books) -> None:
    shop.fact(AD, "a", ad_name="Ad", adset_name="Set", campaign_name="Campaign", spend="2.5", impressions=10)
    shop.fact(CAMPAIGN, "c", campaign_name="Campaign", spend="2.5")
    row = shop.one("FROM fivetran_compat.basic_all_levels")
    assert row == shop.one("FROM fivetran_compat.basic_ad")
    assert (row["ad_id"], row["ad_name"], row["adset_name"], row["campaign_name"], row["spend"]) == (
        "a",
        "Ad",
        "Set",
        "Campaign",
        Decimal("2.5"),
    )


def test_an_action_and_its_row_share_their_id_and_the_index_counts_from_0(shop: Books) -> None:
    for ad in ("a", "b"):
        shop.fact(AD, ad)
        for name in ("lead", "link_click"):
            shop.action(AD, ad, name, 1, value_7d_click=2)
    shop.action(AD, "a", "omni_purchase", "9.5", field="action_values")
    shop.action(CAMPAIGN, "c", "lead", 1)
    rows = shop.ask("FROM fivetran_compat.basic_ad_actions ORDER BY ad_id, index")
    assert [(row["ad_id"], row["index"], row["action_type"]) for row in rows] == [
        ("a", 0, "lead"),
        ("a", 1, "link_click"),
        ("b", 0, "lead"),
        ("b", 1, "link_click"),
    ]
    ids = {row["ad_id"]: row["_fivetran_id"] for row in shop.ask("FROM fivetran_compat.basic_ad")}
    assert {row["ad_id"]: row["_fivetran_id"] for row in rows} == ids
    assert ids["a"] != ids["b"]
    assert (rows[0]["_7_d_click"], rows[0]["_1_d_view"], rows[0]["inline"]) == (2, None, None)
    assert shop.one("SELECT ad_id, value FROM fivetran_compat.basic_ad_action_values")["value"] == 9.5


def test_a_version_that_has_the_same_updated_time_as_its_successor_never_passes_for_the_present_one(
    shop: Books,
) -> None:
    changed = datetime(2026, 10, 1, tzinfo=UTC)
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c", name="Now", updated_time=changed)
    shop.write()
    shop.connection.execute(
        "INSERT INTO campaigns_history BY NAME SELECT account_id, campaign_id, 'Before' AS name, updated_time, is_deleted, "
        "valid_from - INTERVAL 1 DAY AS valid_from, last_seen_at, valid_from AS valid_to FROM campaigns"
    )
    shop.connection.execute(
        "INSERT INTO campaigns_history BY NAME SELECT account_id, campaign_id, 'Long ago' AS name, "
        "updated_time - INTERVAL 1 DAY AS updated_time, is_deleted, valid_from - INTERVAL 2 DAY AS valid_from, last_seen_at, "
        "valid_from - INTERVAL 1 DAY AS valid_to FROM campaigns"
    )
    rows = shop.ask("SELECT name, updated_time FROM fivetran_compat.campaign_history ORDER BY updated_time")
    assert [row["name"] for row in rows] == ["Long ago", "Now"]


def test_budgets_are_in_metas_units_which_depend_on_the_currency(shop: Books) -> None:
    for account, currency in (("1", "EUR"), ("2", "JPY")):
        shop.account(account, currency, spend_cap=1000)
        shop.entity(EntityKind.CAMPAIGNS, account, campaign_id=f"c{account}", daily_budget=50)
    for table in ("fivetran_compat.campaign_history", "airbyte_compat.campaigns"):
        rows = shop.ask(f"SELECT id, daily_budget FROM {table} ORDER BY id")
        assert [row["daily_budget"] for row in rows] == [5000, 50]
    caps = shop.ask("SELECT id, spend_cap FROM airbyte_compat.ad_account ORDER BY id")
    assert caps == [{"id": "act_1", "spend_cap": "100000"}, {"id": "act_2", "spend_cap": "1000"}]


def test_a_creative_gives_its_link_and_its_url_tags_as_a_list_of_keys_and_values(shop: Books) -> None:
    spec = json.dumps({"link_data": {"link": "https://shop.example/?a=b", "message": "Buy"}})
    shop.entity(
        EntityKind.CREATIVES,
        "1",
        creative_id="x",
        object_story_spec=spec,
        url_tags="utm_source=facebook&utm_term=a%3Db=c",
    )
    shop.entity(EntityKind.CREATIVES, "1", creative_id="y", link_url="https://shop.example/y")
    first, second = shop.ask("FROM fivetran_compat.creative_history ORDER BY id")
    assert first["page_link"] == first["object_story_link_data_link"] == "https://shop.example/?a=b"
    assert first["object_story_link_data_message"] == "Buy"
    assert json.loads(first["url_tags"]) == [
        {"key": "utm_source", "value": "facebook", "type": "AD"},
        {"key": "utm_term", "value": "a%3Db=c", "type": "AD"},
    ]
    assert (second["page_link"], second["url_tags"]) == ("https://shop.example/y", None)


def test_airbytes_lists_of_actions_leave_out_what_meta_did_not_give(shop: Books) -> None:
    shop.fact(AD, "a", spend="1.25")
    shop.fact(AD, "none")
    shop.action(AD, "a", "omni_purchase", 3, value_1d_click=2)
    shop.action(AD, "a", "lead", 1)
    shop.action(AD, "a", "omni_purchase", "7.5", field="action_values")
    shop.collected(AD, DAY, NOON)
    some, none = shop.ask("FROM airbyte_compat.ads_insights ORDER BY ad_id")
    assert json.loads(some["actions"]) == [
        {"action_type": "lead", "value": 1},
        {"action_type": "omni_purchase", "value": 3, "1d_click": 2},
    ]
    assert json.loads(some["action_values"]) == [{"action_type": "omni_purchase", "value": 7.5}]
    assert (some["conversions"], none["actions"]) == (None, None)
    assert (some["date_stop"], some["_airbyte_extracted_at"]) == (DAY, NOON.replace(tzinfo=None))
    assert len({some["_airbyte_raw_id"], none["_airbyte_raw_id"]}) == 2


def test_a_day_reaches_the_scans_below_the_compat_views(shop: Books) -> None:
    for number in range(3):
        day = DAY + timedelta(days=10 * number)
        shop.fact(AD, "a", day)
        shop.action(AD, "a", "lead", 1, day)
    for view, column, table in (
        ("fivetran_compat.basic_ad", "date", "ad_insights"),
        ("fivetran_compat.basic_ad_actions", "date", "insight_actions"),
        ("airbyte_compat.ads_insights", "date_start", "ad_insights"),
        ("airbyte_compat.ads_insights", "date_start", "insight_actions"),
    ):
        (filters,) = shop.scans(f"FROM {view} WHERE {column} = DATE '{DAY}'")[table]
        assert "date_start" in filters, view
