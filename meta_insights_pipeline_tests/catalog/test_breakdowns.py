"""Breakdowns, and what is wrong with asking for them."""

import itertools
from datetime import date

import pytest

from meta_insights_pipeline.catalog.breakdowns import breakdown_problems, breakdowns, permitted_sets
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import BadRequestError
from meta_insights_pipeline.simulator import Simulator, SimulatorAdapter, World
from meta_insights_pipeline_tests.catalog import sdk

TODAY = date(2026, 11, 22)
# Two groups that are known to work without standing in Meta's table.
OBSERVED = ({"country", "region"}, {"publisher_platform", "platform_position", "device_platform"})


def test_every_breakdown_of_metas_sdk_is_known_and_no_other() -> None:
    assert set(breakdowns()) == sdk.BREAKDOWNS
    assert all(breakdown.name == name for name, breakdown in breakdowns().items())


def test_every_permitted_set_is_made_of_breakdowns_that_exist() -> None:
    for names in permitted_sets():
        assert names
        assert all(breakdowns()[name].removed_on is None for name in names)
    assert {frozenset(names) for names in OBSERVED} <= permitted_sets()


def test_no_breakdown_is_no_problem() -> None:
    for level in Level:
        assert breakdown_problems((), level, TODAY) == []


def test_every_permitted_set_may_be_asked_for_in_any_order_at_every_level_that_has_it() -> None:
    for names in permitted_sets():
        highest = max(breakdowns()[name].level.depth for name in names)
        for order in itertools.permutations(names):
            for level in list(Level)[highest:]:
                assert breakdown_problems(order, level, TODAY) == []


def test_a_breakdown_that_does_not_exist_is_told() -> None:
    assert breakdown_problems(["shoe_size"], Level.AD, TODAY) == ["Meta has no breakdown 'shoe_size'."]


@pytest.mark.parametrize("day", [date(2026, 6, 22), TODAY, date(2030, 1, 1)])
def test_dma_is_gone_since_its_removal_and_its_successor_is_named(day: date) -> None:
    expected = "Meta removed 'dma' on 2026-06-22; use 'comscore_market'."
    assert breakdown_problems(["dma"], Level.AD, day) == [expected]


def test_dma_was_not_gone_the_day_before() -> None:
    assert breakdowns()["dma"].removed_on == date(2026, 6, 22)
    assert not any("removed" in problem for problem in breakdown_problems(["dma"], Level.AD, date(2026, 6, 21)))
    assert breakdown_problems(["comscore_market"], Level.AD, TODAY) == []


@pytest.mark.parametrize(
    "names",
    [
        ["age", "gender", "country"],
        ["age", "country"],
        ["image_asset", "title_asset"],
        ["publisher_platform", "age"],
    ],
)
def test_breakdowns_that_do_not_go_together_are_told(names: list[str]) -> None:
    (problem,) = breakdown_problems(names, Level.AD, TODAY)
    quoted = ", ".join(f"{name!r}" for name in names)
    assert problem == f"Meta does not permit the breakdowns {quoted} together; make a report of each."


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["platform_position"],
            "Meta does not give 'platform_position' without 'publisher_platform'; ask for them together.",
        ),
        (
            ["impression_device"],
            "Meta does not give 'impression_device' without 'publisher_platform'; ask for them together.",
        ),
        (["app_id"], "Meta does not give 'app_id' without 'skan_conversion_id'; ask for them together."),
        (["rule_set_id"], "Meta does not give the breakdown 'rule_set_id'; leave it out."),
    ],
)
def test_a_breakdown_that_is_not_given_alone_is_told_with_what_it_needs(names: list[str], sentence: str) -> None:
    assert breakdown_problems(names, Level.AD, TODAY) == [sentence]


@pytest.mark.parametrize("name", ["age", "zip", "media_type", "mmm", "product_brand_breakdown", "title_asset"])
def test_most_breakdowns_may_be_asked_for_alone(name: str) -> None:
    assert breakdown_problems([name], Level.AD, TODAY) == []


def test_each_part_of_a_creative_goes_with_age_and_gender_and_with_no_other_part() -> None:
    parts = [name for name, breakdown in breakdowns().items() if breakdown.group == "asset"]
    assert len(parts) == 8
    for part in parts:
        assert breakdown_problems([part, "age", "gender"], Level.AD, TODAY) == []
        assert breakdown_problems([part, "country"], Level.AD, TODAY) != []
    assert breakdown_problems(parts[:2], Level.AD, TODAY) != []


def test_the_position_goes_with_its_platform() -> None:
    assert breakdown_problems(["publisher_platform", "platform_position"], Level.AD, TODAY) == []


@pytest.mark.parametrize("name", ["image_asset", "video_asset", "place_page_id"])
def test_some_breakdowns_are_not_available_for_whole_accounts(name: str) -> None:
    assert breakdown_problems([name], Level.ACCOUNT, TODAY) == [f"{name!r} is not available at account level."]
    for level in (Level.CAMPAIGN, Level.ADSET, Level.AD):
        assert not any("level" in problem for problem in breakdown_problems([name], level, TODAY))


def test_every_problem_is_told_at_once() -> None:
    assert breakdown_problems(["shoe_size", "dma", "image_asset"], Level.ACCOUNT, TODAY) == [
        "Meta has no breakdown 'shoe_size'.",
        "Meta removed 'dma' on 2026-06-22; use 'comscore_market'.",
        "'image_asset' is not available at account level.",
    ]


def test_breakdowns_may_come_as_any_iterable() -> None:
    assert breakdown_problems(iter(["age", "gender"]), Level.AD, TODAY) == []
    assert len(breakdown_problems(iter(["age", "country"]), Level.AD, TODAY)) == 1


@pytest.mark.parametrize(
    ("name", "months"),
    [
        ("age", 37),
        ("hourly_stats_aggregated_by_advertiser_time_zone", 13),
        ("hourly_stats_aggregated_by_audience_time_zone", 13),
        ("frequency_value", 6),
    ],
)
def test_a_breakdown_knows_how_far_back_it_is_given(name: str, months: int) -> None:
    assert breakdowns()[name].history_months == months


def test_marketing_mix_data_comes_in_asynchronous_reports_only() -> None:
    assert {name for name, breakdown in breakdowns().items() if breakdown.async_only} == {"mmm"}


def test_a_breakdown_that_went_with_a_version_is_told_with_its_successor() -> None:
    expected = "Meta removed the breakdown 'comscore_market_code' with v24.0; use the breakdown 'comscore_market'."
    assert breakdown_problems(["comscore_market_code"], Level.AD, TODAY) == [expected]


def test_the_breakdowns_that_an_account_must_enable_first_are_known() -> None:
    assert {name for name, breakdown in breakdowns().items() if breakdown.opt_in} == {
        "comscore_market",
        "impression_device",
        "hourly_stats_aggregated_by_audience_time_zone",
        "frequency_value",
    }


def test_what_the_catalogue_calls_removed_or_unknown_is_refused_by_the_api_too(
    simulator: Simulator, world: World
) -> None:
    call = f"act_{world.accounts[0].id}/insights"
    with GraphApi(
        base_url=simulator.base_url, version="v26.0", access_token="token", adapter=SimulatorAdapter(simulator)
    ) as api:
        for name in ("dma", "shoe_size"):
            assert breakdown_problems([name], Level.AD, TODAY)
            with pytest.raises(BadRequestError, match="breakdowns"):
                api.get(call, {"level": "ad", "breakdowns": name}, kind="x", read=read_object)
