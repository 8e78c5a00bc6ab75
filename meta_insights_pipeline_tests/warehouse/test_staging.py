"""Reading pages: exact values, tolerance for what Meta is known to answer, refusal of what was not asked for."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from meta_insights_pipeline.warehouse import staging
from meta_insights_pipeline.warehouse.staging import Staged, StagingError
from meta_insights_pipeline_tests.warehouse.building import DAY, EARLY, LATE, Desk, row

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
        ([row(actions="none")], "actions is no list of actions"),
        ([row(actions={"lead": 1})], "actions is no list of actions"),
        ([row(actions=[1])], "actions is no list of actions"),
        ([row(actions=[{"action_type": "lead", "value": "many"}])], "cannot be read"),
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


BAD_PAGES = [
    [row(account_id="3")],
    [row(account_id="7", day=date(2026, 11, 5))],
    [row(account_id="11", spend="twelve")],
    '[{"account_id":"15"',
    [row(account_id="19", actions="none")],
]


def test_bad_slices_fail_alone_among_those_that_are_read_together(desk: Desk) -> None:
    accounts = [str(number) for number in range(24)]
    bad = dict(zip(("4", "7", "11", "15", "19"), BAD_PAGES, strict=True))
    answers = [
        desk.answer(
            bad.get(account, [row(account_id=account, actions=[ACTION], spend=account)]),
            account=account,
            at=EARLY + timedelta(minutes=int(account)),
        )
        for account in accounts
    ]
    outcomes = desk.stage_all(answers)
    failed = [outcome for outcome in outcomes if isinstance(outcome, StagingError)]
    assert {error.part.account_id for error in failed} == bad.keys()
    assert all(f"campaign_insights of account {error.part.account_id}, 2026-11-01" in str(error) for error in failed)
    desk.write(*(outcome for outcome in outcomes if isinstance(outcome, Staged)))
    good = sorted(set(accounts) - bad.keys())
    stored = desk.ask("SELECT account_id, spend, changed_at FROM campaign_insights ORDER BY account_id")
    assert stored == [
        (account, Decimal(account), (EARLY + timedelta(minutes=int(account))).replace(tzinfo=None)) for account in good
    ]
    assert desk.ask("SELECT account_id FROM insight_actions ORDER BY account_id") == [(account,) for account in good]


def test_rows_of_another_slice_of_the_same_reading_are_refused(desk: Desk) -> None:
    outcomes = desk.stage_all(
        [
            desk.answer([row(account_id="1"), row(account_id="2")], account="1"),
            desk.answer([row(account_id="2")], account="2"),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [StagingError, Staged]
    assert "Meta answered 1 rows that were not asked for (account 2" in str(outcomes[0])


def test_hundreds_of_slices_take_as_many_statements_as_two(desk: Desk) -> None:
    def statements(accounts: int) -> int:
        desk.stage_good(*(desk.answer([row(account_id=str(n))], account=str(n)) for n in range(accounts)))
        return desk.statements

    assert statements(300) == statements(2)


def test_repeats_are_counted_for_each_slice(desk: Desk) -> None:
    pages = {
        "1": ([row("a"), row("b")], [row("b"), row("c")]),
        "2": ([row("a", account_id="2")],),
        "3": ([row("a", account_id="3"), row("a", account_id="3")],),
    }
    staged = desk.stage_good(*(desk.answer(*some, account=account) for account, some in pages.items()))
    assert [(item.rows, item.repeats) for item in staged] == [(3, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("limit", ["BYTES_AT_ONCE", "PAGES_AT_ONCE"])
def test_what_is_too_large_to_be_read_at_once_is_read_in_pieces(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(staging, limit, {"BYTES_AT_ONCE": 2_000, "PAGES_AT_ONCE": 2}[limit])
    large = [[row(f"c{page}-{n}", actions=[ACTION]) for n in range(6)] for page in range(5)]
    small = [desk.answer([row(account_id=str(n))], account=str(n)) for n in range(2, 9)]
    last_page_repeats = desk.answer(*large, [row("c0-0", actions=[ACTION])])
    staged = desk.stage_good(*small[:3], last_page_repeats, *small[3:])
    assert [(item.rows, item.repeats) for item in staged] == [*[(1, 0)] * 3, (30, 1), *[(1, 0)] * 4]
    desk.write(*staged)
    assert desk.ask("SELECT count(*), count(DISTINCT account_id) FROM campaign_insights") == [(37, 8)]
    assert desk.ask("SELECT count(*), sum(value) FROM insight_actions") == [(30, Decimal(90))]


def test_a_broken_page_far_into_a_large_slice_spoils_only_this_slice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BYTES_AT_ONCE", 2_000)
    large = [[row(f"c{page}-{n}") for n in range(6)] for page in range(5)]
    outcomes = desk.stage_all([desk.answer(*large, "[{"), desk.answer([row(account_id="2")], account="2", at=LATE)])
    assert [type(outcome) for outcome in outcomes] == [StagingError, Staged]
    desk.write(*(outcome for outcome in outcomes if isinstance(outcome, Staged)))
    assert desk.ask("SELECT account_id FROM campaign_insights") == [("2",)]
