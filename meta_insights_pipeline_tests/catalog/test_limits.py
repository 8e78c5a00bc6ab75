"""What Meta would say to a request, before a call is spent."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from meta_insights_pipeline.catalog.breakdowns import breakdowns
from meta_insights_pipeline.catalog.fields import insights_fields
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.limits import (
    Problem,
    Severity,
    _limits,
    _matching,
    clamp,
    earliest_day,
    is_async_only,
    request_problems,
)
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import BadRequestError
from meta_insights_pipeline.simulator import Simulator, SimulatorAdapter, World
from meta_insights_pipeline_tests.catalog.conftest import NOW

TODAY = date(2026, 11, 22)
HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
SPEND = ("spend",)


def report(**values: Any) -> Report:
    """A report of spend by ad; as it was declared, whether or not Meta would have it."""
    given: dict[str, Any] = {"name": "mine", "level": Level.AD, "fields": SPEND, "windows": ("1d_click",), **values}
    return Report.model_construct(**given)


def problems(
    asked: Report, since: date = TODAY, until: date = TODAY, *, version: str = "v26.0", direct: bool = False
) -> list[Problem]:
    return request_problems(asked, since, until, today=TODAY, version=version, direct=direct)


def sentences(asked: Report, severity: Severity, since: date = TODAY, until: date = TODAY, **options: Any) -> list[str]:
    return [item.sentence for item in problems(asked, since, until, **options) if item.severity is severity]


# ---- nothing to say ----


@pytest.mark.parametrize("name", ["account_insights", "campaign_insights", "adset_insights", "ad_insights"])
def test_the_built_in_reports_have_no_problem_over_all_that_meta_keeps(name: str) -> None:
    (asked,) = (item for item in builtin_reports() if item.name == name)
    assert problems(asked, earliest_day(asked, TODAY)) == []
    assert problems(asked, earliest_day(asked, TODAY), version="v25.0") == []


@pytest.mark.parametrize("names", [("age", "gender"), ("country",), ("publisher_platform", "platform_position")])
def test_common_breakdowns_of_recent_days_have_no_problem(names: tuple[str, ...]) -> None:
    assert problems(report(fields=("spend", "reach", "actions"), breakdowns=names), date(2026, 10, 1)) == []


# ---- the report ----


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"fields": ("shoe_size",)}, "Meta has no insights field 'shoe_size'."),
        ({"fields": ("product_name",)}, "Meta removed the field 'product_name' with v24.0; leave it out."),
        ({"windows": ("3d_click",)}, "Meta has no attribution window '3d_click'."),
        ({"breakdowns": ("shoe_size",)}, "Meta has no breakdown 'shoe_size'."),
        ({"breakdowns": ("dma",)}, "Meta removed 'dma' on 2026-06-22; use 'comscore_market'."),
        (
            {"breakdowns": ("product_set_id_breakdown",)},
            "Meta removed the breakdown 'product_set_id_breakdown' with v25.0; leave it out.",
        ),
        ({"level": Level.ACCOUNT, "fields": ("ad_name",)}, "'ad_name' is not available at account level."),
        (
            {"level": Level.ACCOUNT, "breakdowns": ("place_page_id",)},
            "'place_page_id' is not available at account level.",
        ),
    ],
)
def test_what_meta_does_not_have_is_refused(values: dict[str, Any], sentence: str) -> None:
    assert sentences(report(**values), Severity.REFUSED) == [sentence]


def test_what_was_still_there_on_an_earlier_day_is_not_refused_on_that_day() -> None:
    asked, day = report(breakdowns=("dma",)), date(2026, 6, 21)
    found = request_problems(asked, day, day, today=day, version="v26.0")
    assert not any("removed" in item.sentence for item in found)


def test_a_field_that_is_younger_than_the_version_is_refused() -> None:
    asked = report(fields=("shop_clicks",))
    assert problems(asked, version="v26.0") == []
    (sentence,) = sentences(asked, Severity.REFUSED, version="v25.0")
    assert "set META_GRAPH_API_VERSION to v26.0" in sentence


def test_a_retired_version_is_judged_by_the_one_that_answers() -> None:
    (sentence,) = sentences(report(fields=("shop_clicks",)), Severity.REFUSED, version="v23.0")
    assert "v25.0 answers" in sentence


def test_a_field_that_only_an_old_page_names_is_refused() -> None:
    (name, *_) = (name for name, field in insights_fields().items() if field.listed == "reference")
    (sentence,) = sentences(report(fields=("spend", name)), Severity.REFUSED)
    assert name in sentence
    assert "leave it out" in sentence


def test_marketing_mix_data_is_refused_as_a_direct_answer_only() -> None:
    asked = report(breakdowns=("mmm",))
    assert is_async_only(asked)
    assert not is_async_only(report(breakdowns=("age",)))
    assert problems(asked) == []
    (sentence,) = sentences(asked, Severity.REFUSED, direct=True)
    assert "asynchronous report" in sentence


# ---- the days ----


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({}, date(2023, 10, 23)),
        ({"breakdowns": ("age",)}, date(2023, 10, 23)),
        ({"fields": ("reach",), "breakdowns": ("age",)}, date(2023, 10, 23)),
        ({"fields": ("unique_clicks",)}, date(2023, 10, 23)),
        ({"fields": ("unique_clicks",), "breakdowns": ("age",)}, date(2025, 10, 23)),
        ({"fields": ("cost_per_unique_click",), "breakdowns": ("age",)}, date(2025, 10, 23)),
        ({"breakdowns": (HOURLY,)}, date(2025, 10, 23)),
        ({"fields": ("reach",), "breakdowns": ("frequency_value",)}, date(2026, 5, 23)),
    ],
)
def test_the_first_day_of_a_report_is_a_day_later_than_so_many_months_ago(values: dict[str, Any], first: date) -> None:
    assert earliest_day(report(**values), TODAY) == first


@pytest.mark.parametrize(
    ("today", "first"),
    [
        (date(2026, 1, 1), date(2022, 12, 2)),
        (date(2026, 12, 31), date(2023, 12, 2)),
        (date(2027, 3, 29), date(2024, 3, 1)),
        (date(2027, 3, 31), date(2024, 3, 3)),
        (date(2026, 3, 31), date(2023, 3, 4)),
    ],
)
def test_a_day_that_its_month_does_not_have_counts_into_the_next_month(today: date, first: date) -> None:
    assert earliest_day(report(), today) == first


def test_a_range_that_begins_too_early_is_clamped_and_told_where_it_can_begin() -> None:
    first = earliest_day(report(), TODAY)
    assert problems(report(), first) == []
    (sentence,) = sentences(report(), Severity.CLAMPED, first - timedelta(days=1))
    assert sentence == (
        "Meta gives this report from 2023-10-23 on (37 months, error 3018), not from 2023-10-22; begin then."
    )
    assert clamp(report(), date(2020, 1, 1), TODAY, today=TODAY) == (first, TODAY)


def test_a_range_that_is_all_too_early_is_refused() -> None:
    last = earliest_day(report(), TODAY) - timedelta(days=1)
    (sentence,) = sentences(report(), Severity.REFUSED, date(2020, 1, 1), last)
    assert "from 2023-10-23 on" in sentence
    assert sentences(report(), Severity.CLAMPED, date(2020, 1, 1), last) == []
    assert clamp(report(), date(2020, 1, 1), last, today=TODAY) is None


def test_the_range_is_clamped_at_thirteen_months_without_an_error_code_of_its_own() -> None:
    (sentence,) = sentences(report(breakdowns=(HOURLY,)), Severity.CLAMPED, date(2025, 1, 1))
    assert "from 2025-10-23 on (13 months), not from 2025-01-01" in sentence


def test_a_range_the_wrong_way_round_is_refused() -> None:
    (sentence,) = sentences(report(), Severity.REFUSED, TODAY, TODAY - timedelta(days=1))
    assert "swap them" in sentence


def test_days_that_have_not_begun_are_empty_and_clamped_away() -> None:
    ahead = TODAY + timedelta(days=1)
    (sentence,) = sentences(report(), Severity.EMPTY, ahead, ahead)
    assert str(TODAY) in sentence
    assert clamp(report(), ahead, ahead, today=TODAY) is None
    assert clamp(report(), TODAY, ahead, today=TODAY) == (TODAY, TODAY)


def test_reach_with_a_breakdown_is_empty_before_thirteen_months_and_not_after() -> None:
    asked = report(fields=("reach", "frequency", "spend"), breakdowns=("age",))
    (sentence,) = sentences(asked, Severity.EMPTY, date(2025, 10, 22))
    assert "'reach', 'frequency' empty before 2025-10-23" in sentence
    assert problems(asked, date(2025, 10, 23)) == []
    assert problems(report(fields=("reach", "frequency")), date(2024, 1, 1)) == []


# ---- what comes without data ----


def test_the_long_windows_after_a_view_are_empty_since_their_end() -> None:
    asked = report(fields=("actions",), windows=("1d_view", "7d_view", "28d_view"))
    found = sentences(asked, Severity.EMPTY)
    assert len(found) == 2
    assert all("since 2026-01-12; use '1d_view'" in sentence for sentence in found)
    day = date(2026, 1, 11)
    assert request_problems(asked, day, day, today=day, version="v26.0") == []


def test_windows_do_not_matter_without_actions() -> None:
    assert problems(report(windows=("7d_view",))) == []


@pytest.mark.parametrize(
    ("names", "feature"),
    [
        (("publisher_platform", "impression_device"), "impression_device"),
        (("comscore_market",), "comscore"),
        (("hourly_stats_aggregated_by_audience_time_zone",), "time_of_day_viewer_tz"),
        (("frequency_value",), "frequency_value"),
    ],
)
def test_a_gated_breakdown_is_empty_until_the_account_opts_in(names: tuple[str, ...], feature: str) -> None:
    found = sentences(report(fields=("reach",), breakdowns=names), Severity.EMPTY)
    assert any(f"feature {feature!r}" in sentence and "feature-settings" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("values", "severity", "text"),
    [
        ({"fields": ("reach", "spend"), "breakdowns": (HOURLY,)}, Severity.EMPTY, "Meta gives 0 for 'reach';"),
        ({"fields": ("frequency",), "breakdowns": (HOURLY,)}, Severity.EMPTY, "Meta gives 0 for 'frequency';"),
        ({"fields": ("unique_clicks",), "breakdowns": (HOURLY,)}, Severity.REFUSED, "does not give 'unique_clicks'"),
        (
            {"fields": ("video_play_actions",), "breakdowns": (HOURLY,)},
            Severity.REFUSED,
            "does not give 'video_play_actions'",
        ),
        ({"fields": ("actions",), "breakdowns": (HOURLY,)}, Severity.EMPTY, "outside its own apps"),
        ({"fields": ("action_values",), "breakdowns": ("region",)}, Severity.EMPTY, "outside its own apps"),
        (
            {"fields": ("video_p75_watched_actions", "video_play_actions"), "breakdowns": ("region",)},
            Severity.EMPTY,
            "leaves 'video_p75_watched_actions' empty",
        ),
        ({"fields": ("conversions",), "breakdowns": ("product_id",)}, Severity.EMPTY, "without a product"),
        (
            {"fields": ("objective", "spend", "ctr", "outbound_clicks"), "breakdowns": ("title_asset",)},
            Severity.EMPTY,
            "leaves 'ctr', 'outbound_clicks' empty",
        ),
        (
            {"fields": ("reach", "spend"), "breakdowns": ("frequency_value",)},
            Severity.EMPTY,
            "leaves 'spend' empty",
        ),
        ({"fields": ("total_postbacks",)}, Severity.EMPTY, "only broken down by app_id or skan_conversion_id"),
    ],
)
def test_fields_that_a_breakdown_takes_away_are_told(values: dict[str, Any], severity: Severity, text: str) -> None:
    assert any(text in sentence for sentence in sentences(report(**values), severity))


def test_every_breakdown_and_field_that_the_rules_name_exists() -> None:
    rules = _limits()
    fields, splits = tuple(insights_fields()), tuple(breakdowns())
    for rule in rules.loss:
        for pattern in (*rule.lost, *rule.kept):
            assert _matching(fields, (pattern,)), pattern
        for pattern in rule.breakdowns:
            assert _matching(splits, (pattern,)), pattern
    for pattern in (name for item in rules.history for name in item.fields):
        assert _matching(fields, (pattern,)), pattern
    for pattern in (name for need in rules.needs for name in need.fields):
        assert _matching(fields, (pattern,)), pattern


def test_the_worst_comes_first_and_nothing_twice() -> None:
    asked = report(
        fields=("reach", "unique_clicks", "actions"), breakdowns=(HOURLY,), windows=("7d_view", "7d_view", "28d_view")
    )
    found = problems(asked, date(2025, 1, 1))
    order = list(Severity)
    assert [item.severity for item in found] == sorted((item.severity for item in found), key=order.index)
    assert len(set(found)) == len(found)
    assert {item.severity for item in found} == set(Severity)
    assert all(item.sentence.endswith(".") and "\n" not in item.sentence for item in found)


# ---- the API agrees ----


def _ask(api: GraphApi, account_id: str, asked: Report, since: date, until: date) -> dict[str, Any]:
    parameters = {**asked.request_parameters(since, until), "limit": "1"}
    return api.get(f"act_{account_id}/insights", parameters, kind="x", read=read_object)


def test_the_api_gives_the_first_day_and_refuses_the_day_before_the_slack(simulator: Simulator, world: World) -> None:
    asked, account = builtin_reports()[0], world.accounts[0].id
    first = earliest_day(asked, NOW.date())
    with GraphApi(
        base_url=simulator.base_url, version="v26.0", access_token="token", adapter=SimulatorAdapter(simulator)
    ) as api:
        assert _ask(api, account, asked, first, first)["data"]
        too_early = first - timedelta(days=2)
        with pytest.raises(BadRequestError) as caught:
            _ask(api, account, asked, too_early, too_early)
        assert caught.value.code == 3018


def test_the_api_accepts_the_empty_windows_and_gives_none_of_them(simulator: Simulator, world: World) -> None:
    asked = Report(name="mine", level=Level.ACCOUNT, fields=("actions",), windows=("1d_click", "7d_view", "28d_view"))
    day = NOW.date() - timedelta(days=3)
    assert len(sentences(asked, Severity.EMPTY)) == 2
    with GraphApi(
        base_url=simulator.base_url, version="v26.0", access_token="token", adapter=SimulatorAdapter(simulator)
    ) as api:
        answer = _ask(api, world.accounts[0].id, asked, day, day)
    text = json.dumps(answer)
    assert '"1d_click"' in text
    assert '"7d_view"' not in text
    assert '"28d_view"' not in text


def test_the_api_refuses_the_fields_that_are_refused_here(simulator: Simulator, world: World) -> None:
    asked = report(fields=("product_name",))
    assert sentences(asked, Severity.REFUSED)
    call = f"act_{world.accounts[0].id}/insights"
    with (
        GraphApi(
            base_url=simulator.base_url, version="v26.0", access_token="token", adapter=SimulatorAdapter(simulator)
        ) as api,
        pytest.raises(BadRequestError, match="product_name"),
    ):
        api.get(call, {"level": "ad", "fields": "product_name"}, kind="x", read=read_object)
