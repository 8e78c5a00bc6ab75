"""Reading pages: exact values, tolerance for what Meta is known to answer, refusal of what was not asked for."""

from datetime import date
from decimal import Decimal

import pytest

from meta_insights_pipeline.warehouse.staging import StagingError
from meta_insights_pipeline_tests.warehouse.building import DAY, Desk, row

ACTION = {"action_type": "purchase", "value": "3", "1d_click": "2", "28d_click": "3.123456"}


def test_values_arrive_to_the_last_decimal_and_ids_stay_text(desk: Desk) -> None:
    big = "120212345678901234"
    desk.sync([row(big, spend="123456789012.345678", impressions="9007199254740993", actions=[ACTION])])
    facts = desk.ask("SELECT campaign_id, spend, impressions FROM campaign_insights")
    assert facts == [(big, Decimal("123456789012.345678"), 9007199254740993)]
    actions = desk.ask("SELECT entity_id, value, value_1d_click, value_7d_click, value_28d_click FROM insight_actions")
    assert actions == [(big, Decimal(3), Decimal(2), None, Decimal("3.123456"))]


@pytest.mark.parametrize("spend", [12.4, "12.4", "12.40"])
def test_a_number_may_come_as_number_or_as_text(desk: Desk, spend: object) -> None:
    desk.sync([row(spend=spend)])
    assert desk.ask("SELECT spend FROM campaign_insights") == [(Decimal("12.4"),)]


@pytest.mark.parametrize("absent", [None, ""])
def test_null_and_empty_count_as_absent(desk: Desk, absent: object) -> None:
    desk.sync([row(clicks=absent, reach=absent, actions=[{"action_type": "lead", "value": absent, "7d_click": "1"}])])
    assert desk.ask("SELECT clicks, reach FROM campaign_insights") == [(0, None)]
    assert desk.ask("SELECT value, value_7d_click FROM insight_actions") == [(None, Decimal(1))]


def test_a_count_that_meta_leaves_out_is_zero_but_reach_is_unknown(desk: Desk) -> None:
    without = row()
    del without["clicks"], without["reach"]
    desk.sync([without])
    assert desk.ask("SELECT clicks, inline_link_clicks, reach, frequency FROM campaign_insights") == [
        (0, 0, None, None)
    ]


def test_unknown_keys_windows_and_action_types_do_not_stop_a_sync(desk: Desk) -> None:
    strange = {"action_type": "brand_new_type", "value": "1", "99d_click": "1", "action_device": "iphone"}
    desk.sync([row(brand_new_field={"a": [1]}, actions=[strange])])
    assert desk.ask("SELECT action_type, value FROM insight_actions") == [("brand_new_type", Decimal(1))]


def test_a_row_on_two_pages_is_stored_once_with_its_actions(desk: Desk) -> None:
    staged = desk.stage([row("c1", actions=[ACTION]), row("c2")], [row("c1", actions=[ACTION]), row("c3")])
    assert (staged.rows, staged.repeats) == (3, 1)
    desk.write(staged)
    assert desk.ask("SELECT count(*), count(DISTINCT campaign_id) FROM campaign_insights") == [(3, 3)]
    assert desk.ask("SELECT count(*) FROM insight_actions") == [(1,)]


def test_names_with_quotes_emoji_and_line_breaks_survive(desk: Desk) -> None:
    name = 'Sale 🎉 "50 %" \\ l\'été\n| end'
    desk.sync([row(campaign_name=name)])
    assert desk.ask("SELECT campaign_name FROM campaign_insights") == [(name,)]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ([row(day=date(2026, 11, 5))], "not asked for"),
        ([row(account_id="2")], "not asked for"),
        ([row(campaign_id=None)], "not asked for"),
        ([row(spend="twelve")], "cannot be read"),
        ([row(date_start="2026-11-0x")], "cannot be read"),
        ('[{"account_id":"1"', "cannot be read"),
    ],
)
def test_what_cannot_be_a_row_of_the_report_is_refused_by_name(desk: Desk, bad: object, cause: str) -> None:
    with pytest.raises(StagingError, match=cause) as caught:
        desk.stage(bad)  # type: ignore[arg-type]
    assert "campaign_insights of account 1, 2026-11-01" in str(caught.value)


def test_a_slice_without_rows_is_staged_as_such(desk: Desk) -> None:
    staged = desk.stage("[]")
    assert staged.rows == 0
    assert desk.stage().rows == 0
    assert staged.part.since == DAY
