"""Reports: what is asked of Meta, and that it is answered in full."""

import json
from collections import Counter
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from meta_insights_pipeline.catalog.fields import Kind, Unit, insights_field, ratios
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import (
    ACTION_LISTS,
    METRICS,
    Report,
    builtin_reports,
    reports_of_levels,
)
from meta_insights_pipeline.catalog.windows import default_windows
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.paging import list_objects
from meta_insights_pipeline.simulator import Simulator, SimulatorAdapter, World, truth
from meta_insights_pipeline_tests.catalog.conftest import NOW

SINCE, UNTIL = date(2026, 10, 1), date(2026, 11, 15)
REPORTS = {report.level: report for report in builtin_reports()}
each_level = pytest.mark.parametrize("level", Level)


def _report(**changes: Any) -> Report:
    values: dict[str, Any] = {"name": "mine", "level": Level.AD, "fields": ("spend",), "windows": ("1d_click",)}
    return Report(**{**values, **changes})


# ---- the built-in reports ----


def test_there_is_one_report_a_level() -> None:
    names = ["account_insights", "campaign_insights", "adset_insights", "ad_insights"]
    assert [report.name for report in builtin_reports()] == names
    assert [report.level for report in builtin_reports()] == list(Level)
    assert all(report.description for report in builtin_reports())


@each_level
def test_a_report_asks_for_all_metrics_and_for_the_attributes_of_its_level(level: Level) -> None:
    attributes = {
        Level.ACCOUNT: (),
        Level.CAMPAIGN: ("objective",),
        Level.ADSET: ("objective", "attribution_setting"),
        Level.AD: ("objective", "attribution_setting"),
    }
    assert REPORTS[level].fields == (*attributes[level], *METRICS, *ACTION_LISTS)
    assert REPORTS[level].windows == default_windows()
    assert REPORTS[level].breakdowns == ()


@each_level
def test_no_ratio_is_asked_for_since_it_can_be_computed(level: Level) -> None:
    asked = REPORTS[level].request_parameters(SINCE, UNTIL)["fields"].split(",")
    assert {ratio.name for ratio in ratios()}.isdisjoint(asked)
    assert [name for name in asked if insights_field(name).unit is Unit.RATIO] == []


@each_level
def test_everything_that_a_ratio_is_made_of_is_asked_for(level: Level) -> None:
    for ratio in ratios():
        assert {ratio.numerator, ratio.denominator} <= set(REPORTS[level].fields)


@each_level
def test_no_field_is_asked_for_that_meta_might_refuse(level: Level) -> None:
    for name in (*level.identity_fields, *REPORTS[level].fields):
        assert insights_field(name).listed == "sdk"
        assert insights_field(name).description


@pytest.mark.parametrize(
    ("level", "key"),
    [
        (Level.ACCOUNT, ("account_id", "date_start")),
        (Level.CAMPAIGN, ("account_id", "campaign_id", "date_start")),
        (Level.ADSET, ("account_id", "adset_id", "date_start")),
        (Level.AD, ("account_id", "ad_id", "date_start")),
    ],
)
def test_a_row_is_identified_by_account_entity_and_day(level: Level, key: tuple[str, ...]) -> None:
    assert REPORTS[level].key == key


def test_a_row_of_a_report_with_breakdowns_is_identified_by_them_too() -> None:
    assert _report(breakdowns=("age", "gender")).key == ("account_id", "ad_id", "date_start", "age", "gender")


@each_level
def test_columns_are_identity_day_attributes_and_metrics_in_this_order(level: Level) -> None:
    report = REPORTS[level]
    names = [field.name for field in report.column_fields]
    attributes = [name for name in report.fields if insights_field(name).kind is Kind.TEXT]
    assert names == [*level.identity_fields, "date_start", *attributes, *METRICS]
    assert all(field.kind in (Kind.TEXT, Kind.NUMBER) for field in report.column_fields)
    assert set(report.key) <= set(names)


@each_level
def test_lists_by_action_type_are_no_columns(level: Level) -> None:
    assert tuple(field.name for field in REPORTS[level].action_fields) == ACTION_LISTS
    assert {field.kind for field in REPORTS[level].action_fields} == {Kind.ACTIONS}


def test_a_field_that_is_asked_for_twice_is_one_column_and_one_request() -> None:
    report = _report(fields=("spend", "account_id", "spend", "date_start"))
    names = [field.name for field in report.column_fields]
    assert len(set(names)) == len(names)
    asked = report.request_parameters(SINCE, UNTIL)["fields"].split(",")
    assert len(set(asked)) == len(asked)


def test_reports_of_levels_come_from_the_account_down() -> None:
    assert [report.level for report in reports_of_levels([Level.AD, Level.ACCOUNT])] == [Level.ACCOUNT, Level.AD]
    assert reports_of_levels([]) == ()
    assert reports_of_levels(Level) == builtin_reports()


# ---- requests ----


def test_the_request_of_ads_is_known_to_the_letter() -> None:
    assert dict(REPORTS[Level.AD].request_parameters(date(2026, 11, 1), date(2026, 11, 2))) == {
        "level": "ad",
        "fields": (
            "account_id,account_name,account_currency,campaign_id,campaign_name,adset_id,adset_name,ad_id,ad_name,"
            "objective,attribution_setting,impressions,clicks,spend,reach,inline_link_clicks,actions,action_values,"
            "conversions,conversion_values,outbound_clicks,video_thruplay_watched_actions"
        ),
        "time_range": '{"since":"2026-11-01","until":"2026-11-02"}',
        "time_increment": "1",
        "action_attribution_windows": '["1d_click","7d_click","28d_click","1d_view","1d_ev"]',
        "filtering": (
            '[{"field":"ad.effective_status","operator":"IN","value":["ACTIVE","PAUSED","ARCHIVED","DELETED","IN_PROCESS",'
            '"WITH_ISSUES","CAMPAIGN_PAUSED","ADSET_PAUSED","DISAPPROVED","PENDING_BILLING_INFO","PENDING_REVIEW",'
            '"PREAPPROVED"]}]'
        ),
    }


@each_level
def test_a_request_names_level_days_and_windows(level: Level) -> None:
    parameters = REPORTS[level].request_parameters(SINCE, UNTIL)
    assert parameters["level"] == level.value
    assert json.loads(parameters["time_range"]) == {"since": "2026-10-01", "until": "2026-11-15"}
    assert parameters["time_increment"] == "1"
    assert tuple(json.loads(parameters["action_attribution_windows"])) == default_windows()
    assert {"7d_view", "28d_view"}.isdisjoint(json.loads(parameters["action_attribution_windows"]))
    assert "breakdowns" not in parameters
    assert all(isinstance(value, str) for value in parameters.values())


@each_level
def test_a_request_names_every_status_of_its_level(level: Level) -> None:
    parameters = REPORTS[level].request_parameters(SINCE, UNTIL)
    if level is Level.ACCOUNT:
        assert "filtering" not in parameters
        return
    (rule,) = json.loads(parameters["filtering"])
    assert (rule["field"], rule["operator"]) == (f"{level.value}.effective_status", "IN")
    assert tuple(rule["value"]) == level.effective_statuses
    assert {"DELETED", "ARCHIVED"} <= set(rule["value"])


def test_windows_are_asked_for_only_together_with_actions() -> None:
    assert "action_attribution_windows" not in _report().request_parameters(SINCE, UNTIL)
    with_actions = _report(fields=("spend", "actions")).request_parameters(SINCE, UNTIL)
    assert with_actions["action_attribution_windows"] == '["1d_click"]'


def test_breakdowns_are_asked_for_and_not_as_fields() -> None:
    parameters = _report(breakdowns=("publisher_platform", "platform_position")).request_parameters(SINCE, UNTIL)
    assert parameters["breakdowns"] == "publisher_platform,platform_position"
    assert "publisher_platform" not in parameters["fields"]


# ---- what the API makes of them ----


def _rows(simulator: Simulator, account_id: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
    with GraphApi(
        base_url=simulator.base_url, version="v26.0", access_token="token", adapter=SimulatorAdapter(simulator)
    ) as api:
        return list(list_objects(api, f"act_{account_id}/insights", {**parameters, "limit": "1000"}, kind="x"))


@each_level
def test_a_request_is_answered_with_every_row_that_delivered(level: Level, simulator: Simulator, world: World) -> None:
    report, account = REPORTS[level], world.accounts[0]
    rows = _rows(simulator, account.id, dict(report.request_parameters(SINCE, UNTIL)))
    keys = Counter(tuple(row[name] for name in report.key) for row in rows)
    assert max(keys.values()) == 1
    expected = truth(world, level.value, account.id, SINCE, UNTIL, NOW).rows
    id_name = level.id_field
    assert {(key[-2], key[-1]) for key in keys} == {(row[id_name], str(row["date_start"])) for row in expected}
    asked = {*(field.name for field in report.column_fields), *ACTION_LISTS, "date_stop"}
    assert set().union(*rows) <= asked
    for row in rows:
        assert {*level.identity_fields, "date_start", "impressions", "spend"} <= set(row)
        assert SINCE.isoformat() <= row["date_start"] == row["date_stop"] <= UNTIL.isoformat()


@pytest.mark.parametrize("level", [Level.CAMPAIGN, Level.ADSET, Level.AD])
def test_without_the_statuses_rows_of_deleted_entities_would_be_missing(
    level: Level, simulator: Simulator, world: World
) -> None:
    account = world.accounts[0]
    # So long that something of every level that delivered then has been deleted since; one row an entity.
    parameters = dict(REPORTS[level].request_parameters(date(2024, 1, 1), date(2025, 12, 31)))
    parameters |= {"fields": f"{level.id_field},spend", "time_increment": "all_days"}
    full = {row[level.id_field] for row in _rows(simulator, account.id, parameters)}
    del parameters["filtering"]
    shown = {row[level.id_field] for row in _rows(simulator, account.id, parameters)}
    assert set() < shown < full


# ---- what cannot be asked ----


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fields": ("spend", "nonsense")}, "Meta has no insights field 'nonsense'."),
        ({"fields": ("age",)}, "Meta has no insights field 'age'."),
        ({"windows": ("1d_click", "3d_click")}, "Meta has no attribution window '3d_click'."),
        ({"level": Level.ACCOUNT, "fields": ("ad_name",)}, "'ad_name' is not available at account level."),
        ({"level": Level.CAMPAIGN, "fields": ("attribution_setting",)}, "'attribution_setting' is not available at "),
        ({"breakdowns": ("shoe_size",)}, "Meta has no breakdown 'shoe_size'."),
        (
            {"breakdowns": ("platform_position",)},
            "Meta does not give 'platform_position' without 'publisher_platform'; ask for them together.",
        ),
        ({"breakdowns": ("dma",)}, "dma"),
        (
            {"fields": ("product_brand",)},
            "Meta removed the field 'product_brand' with v24.0; use the breakdown 'product_brand_breakdown'.",
        ),
        ({"fields": ("product_name",)}, "Meta removed the field 'product_name' with v24.0; leave it out."),
        ({"level": Level.ACCOUNT, "breakdowns": ("image_asset",)}, "'image_asset' is not available at account level."),
    ],
)
def test_what_meta_would_refuse_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="report mine: ") as caught:
        _report(**changes)
    assert sentence in str(caught.value)


def test_every_mistake_of_a_report_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        _report(fields=("nonsense",), windows=("3d_click",), breakdowns=("shoe_size",))
    assert (
        "report mine: Meta has no insights field 'nonsense'. Meta has no attribution window '3d_click'. "
        "Meta has no breakdown 'shoe_size'."
    ) in str(caught.value)


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="level"):
        _report(level="creative")


def test_the_empty_windows_may_be_asked_for_since_meta_accepts_them() -> None:
    report = _report(fields=("actions",), windows=("7d_view", "28d_view"))
    assert json.loads(report.request_parameters(SINCE, UNTIL)["action_attribution_windows"]) == ["7d_view", "28d_view"]


def test_a_report_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        REPORTS[Level.AD].name = "other"  # type: ignore[misc]
