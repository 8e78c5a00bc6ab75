"""What `/insights` answers: shapes, parameters, pages, and what it refuses."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, SimulatedClock, World, WorldSpec
from meta_insights_pipeline.simulator.days import midnight
from meta_insights_pipeline.simulator.structure import DELETED
from meta_insights_pipeline_tests.simulator.support import EVERY_STATUS, NOW, NUMBERS, WINDOWS, Api, api, span

SINCE, UNTIL = date(2026, 10, 25), date(2026, 11, 22)
WEEK = span(date(2026, 11, 9), date(2026, 11, 15))


def _sum(rows: list[dict[str, Any]], name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


# ---- shape ----


def test_without_parameters_the_default_fields_come_for_the_last_30_days(graph: Api, account: Account) -> None:
    answer = graph.get(f"act_{account.id}/insights")
    assert [list(row) for row in answer["data"]] == [["account_id", "impressions", "spend", "date_start", "date_stop"]]
    assert answer["data"][0]["date_start"] == "2026-10-23"
    assert answer["data"][0]["date_stop"] == "2026-11-21"


def test_rows_hold_the_fields_asked_for_as_strings_in_their_order(graph: Api, account: Account) -> None:
    fields = "ad_id,impressions,account_currency,spend,ctr"
    row = graph.get(f"act_{account.id}/insights", level="ad", fields=fields, time_range=WEEK, limit=1)["data"][0]
    assert list(row) == [*fields.split(","), "date_start", "date_stop"]
    assert all(isinstance(value, str) for value in row.values())
    assert row["account_currency"] == "USD"
    assert graph.get(f"act_{account.id}/insights", level="ad", fields=json.dumps(fields.split(",")), time_range=WEEK)


def test_attributes_of_deeper_levels_and_fields_without_data_are_absent(graph: Api, account: Account) -> None:
    fields = "campaign_id,ad_id,adset_name,quality_ranking,results,impressions"
    row = graph.get(f"act_{account.id}/insights", level="campaign", fields=fields, time_range=WEEK)["data"][0]
    assert list(row) == ["campaign_id", "impressions", "date_start", "date_stop"]


def test_derived_numbers_have_six_decimals_and_follow_from_their_parts(graph: Api, account: Account) -> None:
    fields = f"{NUMBERS},ctr,cpc,cpm,cpp,frequency,inline_link_click_ctr,cost_per_inline_link_click"
    rows = graph.rows(f"act_{account.id}/insights", level="ad", fields=fields, time_range=WEEK, time_increment=1)
    ratios = {
        "ctr": ("clicks", "impressions", 100),
        "cpc": ("spend", "clicks", 1),
        "cpm": ("spend", "impressions", 1000),
        "cpp": ("spend", "reach", 1000),
        "frequency": ("impressions", "reach", 1),
        "inline_link_click_ctr": ("inline_link_clicks", "impressions", 100),
        "cost_per_inline_link_click": ("spend", "inline_link_clicks", 1),
    }
    for row in rows:
        for name, (top, bottom, factor) in ratios.items():
            if row[bottom] == "0":
                assert name not in row
            else:
                exact = Decimal(row[top]) * factor / Decimal(row[bottom])
                assert row[name] == str(exact.quantize(Decimal("0.000001"), ROUND_HALF_UP))


def test_derived_lists_follow_from_the_lists_behind_them(graph: Api, account: Account) -> None:
    fields = (
        "spend,impressions,actions,action_values,outbound_clicks,cost_per_action_type,purchase_roas,outbound_clicks_ctr"
    )
    rows = graph.rows(f"act_{account.id}/insights", level="campaign", fields=fields, time_range=WEEK)
    seen = 0
    for row in rows:
        counts = {item["action_type"]: int(item["value"]) for item in row.get("actions", [])}
        for item in row.get("cost_per_action_type", []):
            cost = Decimal(row["spend"]) / counts[item["action_type"]]
            assert item["value"] == str(cost.quantize(Decimal("0.000001"), ROUND_HALF_UP))
        for item in row.get("purchase_roas", []):
            assert item["action_type"] == "omni_purchase"
            values = {one["action_type"]: Decimal(one["value"]) for one in row["action_values"]}
            exact = values["omni_purchase"] / Decimal(row["spend"])
            assert item["value"] == str(exact.quantize(Decimal("0.000001"), ROUND_HALF_UP))
            seen += 1
    assert seen


def test_money_is_not_padded_and_yen_have_no_decimals(world: World, graph: Api) -> None:
    for account in world.accounts:
        rows = graph.rows(f"act_{account.id}/insights", level="ad", fields="spend", time_range=WEEK, time_increment=1)
        pattern = r"\d+" if account.currency == "JPY" else r"\d+(\.\d?[1-9])?"
        assert all(re.fullmatch(pattern, row["spend"]) for row in rows), account.currency


def test_windows_come_only_when_asked_for_and_not_zero(graph: Api, account: Account) -> None:
    path, common = f"act_{account.id}/insights", {"level": "ad", "fields": "ad_id,actions", "time_range": WEEK}
    plain = graph.rows(path, **common, limit=500)
    assert {key for row in plain for item in row.get("actions", []) for key in item} == {"action_type", "value"}
    asked = ["1d_click", "7d_click", "28d_click", "1d_view", "7d_view", "28d_view", "1d_ev"]
    rows = graph.rows(path, **common, limit=500, action_attribution_windows=asked)
    keys = {key for row in rows for item in row.get("actions", []) for key in item}
    assert keys == {"action_type", "value", *WINDOWS}
    for row in rows:
        for item in row.get("actions", []):
            assert "0" not in [item.get(window) for window in WINDOWS]
            if item["action_type"] == "link_click":
                assert item["1d_click"] == item["7d_click"] == item["28d_click"] == item["value"]
            assert int(item.get("1d_click", 0)) <= int(item.get("7d_click", 0)) <= int(item.get("28d_click", 0))


def test_action_types_overlap_and_are_moderate_in_number(world: World, graph: Api) -> None:
    counts = []
    for account in world.accounts:
        rows = graph.daily(account.id, "ad", SINCE, UNTIL, fields="actions,action_values")
        for row in rows:
            values = {item["action_type"]: item["value"] for item in row.get("actions", [])}
            counts.append(len(values))
            assert values.get("purchase") == values.get("omni_purchase")
            assert {item["action_type"] for item in row.get("action_values", [])} <= values.keys()
    assert 6 <= sum(counts) / len(counts) <= 9.5


def test_names_survive_json(world: World, graph: Api, account: Account) -> None:
    rows = graph.daily(account.id, "ad", SINCE, UNTIL, fields="ad_id,ad_name,adset_name,campaign_name")
    table = world.graph(account.id).ads
    assert rows
    for row in rows:
        assert row["ad_name"] == table.name(table.index[row["ad_id"]], int(NOW.timestamp()))


# ---- parameters ----


def test_a_range_is_the_sum_of_its_days_but_not_of_its_people(graph: Api, account: Account) -> None:
    path = f"act_{account.id}/insights"
    days = graph.rows(path, level="adset", time_increment=1, time_range=WEEK, fields=f"adset_id,{NUMBERS}")
    whole = graph.rows(path, level="adset", time_range=WEEK, fields=f"adset_id,{NUMBERS}")
    assert len({row["adset_id"] for row in whole}) == len(whole)
    for row in whole:
        parts = [day for day in days if day["adset_id"] == row["adset_id"]]
        for name in ("impressions", "clicks", "inline_link_clicks", "spend"):
            assert _sum(parts, name) == Decimal(row[name])
        assert max(int(day["reach"]) for day in parts) <= int(row["reach"]) <= _sum(parts, "reach")


def test_actions_of_a_range_are_the_sums_of_its_days(graph: Api, account: Account) -> None:
    path = f"act_{account.id}/insights"
    sums = []
    for increment in ("1", "3", "all_days", "monthly"):
        rows = graph.rows(
            path,
            level="campaign",
            time_increment=increment,
            time_range=span(SINCE, UNTIL),
            fields="actions",
            action_attribution_windows=["7d_click"],
            limit=500,
        )
        total: dict[str, Decimal] = {}
        for row in rows:
            for item in row.get("actions", []):
                for key in ("value", "7d_click"):
                    place = f"{item['action_type']}/{key}"
                    total[place] = total.get(place, Decimal(0)) + Decimal(item.get(key, "0"))
        sums.append(total)
    assert sums[0] == sums[1] == sums[2] == sums[3]
    assert sums[0]


def test_increments_cut_the_range_from_its_start(graph: Api, account: Account) -> None:
    def dates(**params: Any) -> list[tuple[str, str]]:
        rows = graph.rows(f"act_{account.id}/insights", fields="impressions", **params)
        return [(row["date_start"], row["date_stop"]) for row in rows]

    fortnight = span(date(2026, 10, 28), date(2026, 11, 10))
    assert dates(time_range=fortnight, time_increment=6) == [
        ("2026-10-28", "2026-11-02"),
        ("2026-11-03", "2026-11-08"),
        ("2026-11-09", "2026-11-10"),
    ]
    assert dates(time_range=fortnight, time_increment="monthly") == [
        ("2026-10-28", "2026-10-31"),
        ("2026-11-01", "2026-11-10"),
    ]
    assert (
        dates(time_range=WEEK, time_ranges=[fortnight, fortnight], time_increment=1)
        == [("2026-10-28", "2026-11-10")] * 2
    )


@pytest.mark.parametrize(
    ("preset", "first", "last"),
    [
        ("today", "2026-11-22", "2026-11-22"),
        ("yesterday", "2026-11-21", "2026-11-21"),
        ("last_7d", "2026-11-15", "2026-11-21"),
        ("last_28d", "2026-10-25", "2026-11-21"),
        ("this_month", "2026-11-01", "2026-11-22"),
        ("last_month", "2026-10-01", "2026-10-31"),
        ("last_quarter", "2026-07-01", "2026-09-30"),
        ("last_year", "2025-01-01", "2025-12-31"),
        ("last_week_mon_sun", "2026-11-09", "2026-11-15"),
        ("last_week_sun_sat", "2026-11-15", "2026-11-21"),
        ("this_week_mon_today", "2026-11-16", "2026-11-22"),
        ("this_week_sun_today", "2026-11-22", "2026-11-22"),
        ("maximum", "2023-10-22", "2026-11-22"),
    ],
)
def test_presets_resolve_in_the_accounts_own_time(
    graph: Api, account: Account, preset: str, first: str, last: str
) -> None:
    (row,) = graph.rows(f"act_{account.id}/insights", fields="impressions", date_preset=preset)
    assert (row["date_start"], row["date_stop"]) == (first, last)


def test_today_of_an_account_ahead_of_utc_is_tomorrow_in_utc(world: World) -> None:
    evening = datetime(2026, 11, 22, 20, tzinfo=UTC)
    with api(world, evening) as graph:
        days = [
            graph.rows(f"act_{account.id}/insights", fields="impressions", date_preset="today")[0]["date_start"]
            for account in world.accounts
        ]
    assert days == ["2026-11-22", "2026-11-22", "2026-11-23", "2026-11-23"]


def test_days_to_come_have_no_rows(graph: Api, account: Account) -> None:
    future = span(date(2026, 11, 23), date(2026, 12, 24))
    assert graph.get(f"act_{account.id}/insights", level="ad", time_range=future) == {"data": []}
    for increment in ("1", "7", "monthly", "all_days"):
        endless = {"since": "2026-11-22", "until": "9999-12-31"}
        (row,) = graph.rows(f"act_{account.id}/insights", time_range=endless, time_increment=increment)
        assert row["date_start"] == "2026-11-22"


def test_odd_values_of_filters_do_no_harm(graph: Api, account: Account) -> None:
    path = f"act_{account.id}/insights"
    for value in ([["nested"]], [None], {"a": 1}, 7):
        condition = {"field": "ad.id", "operator": "IN", "value": value}
        assert graph.get(path, level="ad", filtering=[condition]) == {"data": []}


def test_a_day_of_25_hours_grows_for_25_hours(world: World, graph: Api, clock: SimulatedClock) -> None:
    account, day = world.accounts[0], date(2026, 11, 1)
    begin = midnight(account.timezone_name, day.toordinal())
    seen = []
    for hour in (0, 1, 12, 24, 25):
        clock.set(datetime.fromtimestamp(begin + hour * 3600, UTC))
        rows = graph.rows(f"act_{account.id}/insights", fields="impressions", time_range=span(day, day))
        seen.append(sum(int(row["impressions"]) for row in rows))
    assert seen == sorted(set(seen))
    assert seen[0] == 0


def test_numbers_move_every_quarter_of_an_hour(graph: Api, account: Account, clock: SimulatedClock) -> None:
    def today() -> str:
        rows = graph.rows(f"act_{account.id}/insights", fields="impressions", date_preset="today")
        return str(rows[0]["impressions"])

    first = today()
    clock.advance(timedelta(minutes=7))
    assert today() == first
    clock.advance(timedelta(minutes=2))
    assert int(today()) > int(first)


def test_deleted_ads_are_hidden_at_their_level_but_counted_above(world: World, graph: Api) -> None:
    hidden = 0
    for account in world.accounts:
        common = {"time_range": span(SINCE, UNTIL), "fields": "ad_id,impressions,spend", "limit": 500}
        path = f"act_{account.id}/insights"
        shown = graph.rows(path, level="ad", **common)
        status = [{"field": "ad.effective_status", "operator": "IN", "value": EVERY_STATUS}]
        everything = graph.rows(path, level="ad", filtering=status, **common)
        (total,) = graph.rows(path, level="account", **common)
        tree = world.graph(account.id)
        statuses = tree.effective_status("ad", int(NOW.timestamp()))
        gone = {row["ad_id"] for row in everything} - {row["ad_id"] for row in shown}
        assert gone == {row["ad_id"] for row in everything if statuses[tree.ads.index[row["ad_id"]]] == DELETED}
        assert _sum(everything, "spend") == Decimal(total["spend"])
        assert _sum(shown, "spend") < Decimal(total["spend"]) or not gone
        for ad_id in list(gone)[:2]:
            (row,) = graph.rows(f"{ad_id}/insights", **common)
            assert row in everything
        hidden += len(gone)
    assert hidden


def test_archived_ads_are_shown_without_a_filter(world: World, graph: Api) -> None:
    seen = set()
    for account in world.accounts:
        rows = graph.rows(
            f"act_{account.id}/insights", level="ad", fields="ad_id", time_range=span(SINCE, UNTIL), limit=500
        )
        tree = world.graph(account.id)
        statuses = tree.effective_status("ad", int(NOW.timestamp()))
        seen |= {int(statuses[tree.ads.index[row["ad_id"]]]) for row in rows}
    assert 4 in seen


def test_objects_below_the_account_can_be_asked(graph: Api, account: Account) -> None:
    common = {"time_range": WEEK, "fields": "campaign_id,adset_id,impressions"}
    campaign = graph.rows(f"act_{account.id}/insights", level="campaign", **common)[0]
    (alone,) = graph.rows(f"{campaign['campaign_id']}/insights", **common)
    assert alone == campaign
    adsets = graph.rows(f"{campaign['campaign_id']}/insights", level="adset", **common)
    assert {row["campaign_id"] for row in adsets} == {campaign["campaign_id"]}
    assert graph.error(f"{campaign['campaign_id']}/insights", level="account")["code"] == 100


@pytest.mark.parametrize(
    ("condition", "keeps"),
    [
        (("impressions", "GREATER_THAN", 5000), lambda row: int(row["impressions"]) > 5000),
        (("ad.impressions", "GREATER_THAN", "100"), lambda row: int(row["impressions"]) > 100),
        (("spend", "LESS_THAN_OR_EQUAL", 12.5), lambda row: Decimal(row["spend"]) <= Decimal("12.5")),
        (("clicks", "IN_RANGE", [10, 20]), lambda row: 10 <= int(row["clicks"]) <= 20),
        (("ad.name", "CONTAIN", "hook a"), lambda row: "hook a" in row["ad_name"].lower()),
        (("ad.name", "STARTS_WITH", "Static"), lambda row: row["ad_name"].startswith("Static")),
        (("ad.name", "NOT_CONTAIN", "video"), lambda row: "video" not in row["ad_name"].lower()),
    ],
)
def test_filters_keep_what_they_say(graph: Api, account: Account, condition: tuple[str, str, Any], keeps: Any) -> None:
    common = {"level": "ad", "time_range": span(SINCE, UNTIL), "fields": f"ad_name,{NUMBERS}", "limit": 500}
    path = f"act_{account.id}/insights"
    expected = [row for row in graph.rows(path, **common) if keeps(row)]
    filtering = [dict(zip(("field", "operator", "value"), condition, strict=True))]
    assert graph.rows(path, **common, filtering=filtering) == expected
    assert expected


def test_filters_on_ids_narrow_every_level(graph: Api, account: Account) -> None:
    path, common = f"act_{account.id}/insights", {"time_range": WEEK, "fields": "campaign_id,impressions"}
    campaigns = graph.rows(path, level="campaign", **common)[:2]
    ids = [row["campaign_id"] for row in campaigns]
    condition = [{"field": "campaign.id", "operator": "IN", "value": ids}]
    assert graph.rows(path, level="campaign", filtering=condition, **common) == campaigns
    (total,) = graph.rows(path, level="account", filtering=condition, **common)
    assert Decimal(total["impressions"]) == _sum(campaigns, "impressions")


@pytest.mark.parametrize("text", ["spend_descending", "impressions_ascending", "clicks", "ctr_descending"])
def test_rows_can_be_sorted_by_a_number(graph: Api, account: Account, text: str) -> None:
    name = text.split("_", maxsplit=1)[0]
    rows = graph.rows(
        f"act_{account.id}/insights", level="ad", fields=f"ad_id,{name}", time_range=WEEK, sort=[text], limit=7
    )
    numbers = [Decimal(row.get(name, "0")) for row in rows]
    assert len(numbers) > 14
    assert numbers == sorted(numbers, reverse=text.endswith("descending"))


def test_rows_can_be_sorted_by_an_action(graph: Api, account: Account) -> None:
    rows = graph.rows(
        f"act_{account.id}/insights",
        level="ad",
        fields="actions",
        time_range=WEEK,
        sort="actions:link_click_descending",
    )
    clicks = [
        next((int(item["value"]) for item in row.get("actions", []) if item["action_type"] == "link_click"), 0)
        for row in rows
    ]
    assert clicks == sorted(clicks, reverse=True)


def test_a_summary_covers_the_whole_answer_and_not_the_page(graph: Api, account: Account) -> None:
    path, common = f"act_{account.id}/insights", {"time_range": WEEK, "fields": f"campaign_id,{NUMBERS}"}
    page = graph.get(path, level="campaign", summary="impressions,spend", limit=1, **common)
    (total,) = graph.rows(path, **common)
    assert page["summary"]["impressions"] == total["impressions"]
    assert page["summary"]["spend"] == total["spend"]
    assert set(page["summary"]) == {"account_id", "impressions", "spend", "date_start", "date_stop"}
    default = graph.get(path, level="campaign", default_summary=True, limit=1, **common)["summary"]
    assert default["reach"] == total["reach"]


def test_unknown_parameters_are_ignored(graph: Api, account: Account) -> None:
    plain = graph.get(f"act_{account.id}/insights", time_range=WEEK)
    assert (
        graph.get(f"act_{account.id}/insights", time_range=WEEK, breakdown="age", use_unified_attribution_setting=True)
        == plain
    )


# ---- pages ----


def test_pages_hold_25_rows_and_cursors_are_offsets(graph: Api, account: Account) -> None:
    pages = list(
        graph.pages(f"act_{account.id}/insights", level="ad", time_increment=1, time_range=WEEK, fields="ad_id")
    )
    assert [len(page["data"]) for page in pages[:-1]] == [25] * (len(pages) - 1)
    assert pages[0]["paging"]["cursors"] == {"before": "MAZDZD", "after": "MjQZD"}
    assert "previous" not in pages[0]["paging"]
    assert "next" not in pages[-1]["paging"]
    assert all("previous" in page["paging"] for page in pages[1:])
    back = graph.session.get(pages[1]["paging"]["previous"]).json()
    assert back["data"] == pages[0]["data"]


def test_pages_are_ordered_by_day_and_id_whatever_their_size(graph: Api, account: Account) -> None:
    def rows(limit: int) -> list[tuple[str, str]]:
        found = graph.daily(account.id, "ad", SINCE, UNTIL, limit=limit)
        return [(row["date_start"], row["ad_id"]) for row in found]

    whole = rows(5000)
    assert whole == sorted(set(whole))
    assert rows(97) == whole


def test_the_next_link_is_absolute_and_holds_token_and_parameters(graph: Api, account: Account) -> None:
    page = graph.get(f"act_{account.id}/insights", level="ad", limit=2, time_range=WEEK)
    link = page["paging"]["next"]
    assert link.startswith(f"https://graph.facebook.com/v26.0/act_{account.id}/insights?")
    assert "access_token=token" in link
    assert "level=ad" in link
    assert link.count("after=") == 1


@pytest.mark.parametrize("cursor", ["nonsense!", "YWJj", "MAZDZDZD", "====", "é"])
def test_a_broken_cursor_is_refused(graph: Api, account: Account, cursor: str) -> None:
    assert graph.error(f"act_{account.id}/insights", after=cursor)["code"] == 2642


# ---- refusals ----


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"time_range": span(date(2026, 11, 9), date(2026, 11, 8))}, "since > until"),
        ({"time_range": "{since:"}, "valid JSON"),
        ({"time_range": {"since": "2026-11-31", "until": "2026-12-01"}}, "since is not a valid date"),
        ({"time_range": ["2026-11-01"]}, "since and until"),
        ({"fields": "impressions,nonsense"}, "nonsense is not valid for fields param"),
        ({"fields": "impressions,app_store_clicks"}, "app_store_clicks is not valid for fields param"),
        ({"level": "advert"}, "level must be one of the following values: ad, adset, campaign, account"),
        ({"date_preset": "lifetime"}, "date_preset must be one of the following values: today"),
        ({"time_increment": "0"}, "time_increment"),
        ({"time_increment": "91"}, "time_increment"),
        ({"time_increment": "weekly"}, "time_increment"),
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"breakdowns": ["age", "size"]}, "breakdowns[1] must be one of the following values: "),
        ({"breakdowns": "dma"}, "breakdowns[0] must be one of the following values: "),
        ({"breakdowns": "age,gender"}, "does not serve"),
        ({"action_breakdowns": ["action_type", "action_device"]}, "does not serve"),
        ({"action_breakdowns": "action_colour"}, "action_breakdowns[0] must be one of"),
        ({"action_attribution_windows": ["1d_click", "2d_click"]}, "action_attribution_windows[1] must be one of"),
        ({"filtering": [{"field": "ad.colour", "operator": "IN", "value": ["red"]}]}, "not supported"),
        ({"filtering": [{"field": "ad.name", "operator": "GREATER_THAN", "value": "x"}]}, "must be one of"),
        ({"filtering": [{"field": "impressions", "operator": "GREATER_THAN", "value": "x"}]}, "must be a number"),
        ({"filtering": "[{"}, "valid JSON"),
        ({"sort": ["spend", "clicks"]}, "one element"),
        ({"sort": "campaign_size"}, "Sorting by"),
        ({"summary": "clicks", "fields": "spend"}, "Cannot include clicks in summary param"),
    ],
)
def test_what_is_not_valid_is_refused_with_code_100(
    graph: Api, account: Account, params: dict[str, Any], text: str
) -> None:
    error = graph.error(f"act_{account.id}/insights", **{"level": "ad", **params})
    assert (error["status"], error["code"]) == (400, 100)
    assert text in error["message"]
    assert error["message"].startswith("(#100)")
    assert error["fbtrace_id"]
    # A report run is refused for the same reasons when it is made; only the page size is no part of it.
    posted = graph.call("POST", f"act_{account.id}/insights", **{"level": "ad", **params}).json()
    assert "limit" in params or posted["error"]["code"] == 100


def test_a_list_may_be_broken_in_its_json(graph: Api, account: Account) -> None:
    assert graph.error(f"act_{account.id}/insights", fields='["impressions"')["code"] == 100
    assert graph.error(f"act_{account.id}/insights", fields="id{name")["code"] == 2500


def test_ranges_beyond_37_months_are_refused(graph: Api, account: Account) -> None:
    path = f"act_{account.id}/insights"
    error = graph.error(path, time_range=span(date(2023, 10, 21), date(2023, 11, 1)))
    assert (error["status"], error["code"]) == (400, 3018)
    assert graph.get(path, time_range=span(date(2023, 10, 22), date(2023, 11, 1)))["data"]


def test_unknown_accounts_and_bare_numbers_are_refused(graph: Api, account: Account) -> None:
    error = graph.error("act_999/insights")
    assert (error["status"], error["code"], error["error_subcode"], error["type"]) == (
        400,
        100,
        33,
        "GraphMethodException",
    )
    bare = graph.error(f"{account.id}/insights")
    assert (bare["status"], bare["code"]) == (404, 803)


def test_an_object_exists_only_once_it_has_been_created(world: World, graph: Api, account: Account) -> None:
    ads = world.graph(account.id).ads
    unborn = next(ad for ad, made in zip(ads.ids, ads.created.tolist(), strict=True) if made > NOW.timestamp())
    assert graph.error(unborn)["error_subcode"] == 33
    assert graph.error(f"{unborn}/insights")["error_subcode"] == 33


def test_a_large_answer_is_made_in_portions_and_stays_within_its_cache() -> None:
    world = World(WorldSpec(accounts=1, campaigns=10, adsets_per_campaign=10, ads_per_adset=3, always_on=True))
    with api(world) as graph:
        graph.simulator._results._limit = 3_000_000
        rows = graph.daily(world.accounts[0].id, "ad", date(2026, 8, 1), date(2026, 10, 31), limit=5000)
        assert len(rows) == 92 * 300
        assert len({(row["date_start"], row["ad_id"]) for row in rows}) == len(rows)
        assert graph.simulator._results._bytes <= 3_000_000 + 5_000_000
