"""Merging: what is inserted, updated, left alone and removed, and whose numbers win."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.warehouse import merge, scope
from meta_insights_pipeline.warehouse.merge import Gap, MergeCounts, merge_slices, missing_parts
from meta_insights_pipeline.warehouse.staging import Staged
from meta_insights_pipeline_tests.warehouse.building import DAY, EARLY, LATE, Counting, Desk, row

NEXT = DAY + timedelta(days=1)
LEAD = [{"action_type": "lead", "value": "1"}]


def test_the_same_partition_twice_leaves_the_same_table(desk: Desk) -> None:
    page = [row("c1", actions=LEAD), row("c2")]
    first = desk.sync(page)
    before = desk.ask("FROM campaign_insights ORDER BY campaign_id")
    second = desk.sync(page, at=LATE)
    assert first.counts["campaign_insights"] == MergeCounts(read=2, inserted=2)
    assert second.counts["campaign_insights"] == MergeCounts(read=2, unchanged=2)
    assert second.counts["insight_actions"] == MergeCounts(read=1, unchanged=1)
    assert desk.ask("FROM campaign_insights ORDER BY campaign_id") == before


def test_only_a_row_whose_value_changed_is_touched(desk: Desk) -> None:
    desk.sync([row("c1"), row("c2")])
    counts = desk.sync([row("c1", spend="13"), row("c2")], at=LATE).counts["campaign_insights"]
    assert counts == MergeCounts(read=2, updated=1, unchanged=1)
    rows = desk.ask("SELECT campaign_id, spend, changed_at FROM campaign_insights ORDER BY campaign_id")
    assert rows == [
        ("c1", Decimal(13), LATE.replace(tzinfo=None)),
        ("c2", Decimal("12.4"), EARLY.replace(tzinfo=None)),
    ]


def test_a_value_that_becomes_unknown_is_a_change(desk: Desk) -> None:
    desk.sync([row()])
    assert desk.sync([row(reach=None)], at=LATE).counts["campaign_insights"].updated == 1
    assert desk.ask("SELECT reach FROM campaign_insights") == [(None,)]


def test_a_row_that_meta_no_longer_returns_goes_with_its_actions_but_only_for_covered_days(desk: Desk) -> None:
    desk.sync([row("c1", actions=LEAD), row("c2", actions=LEAD), row("c2", NEXT)], until=NEXT)
    counts = desk.sync([row("c1", actions=LEAD)], at=LATE).counts
    assert counts["campaign_insights"] == MergeCounts(read=1, unchanged=1, removed=1)
    assert counts["insight_actions"].removed == 1
    assert desk.ask("SELECT campaign_id, date_start FROM campaign_insights ORDER BY ALL") == [("c1", DAY), ("c2", NEXT)]


def test_an_empty_answer_empties_the_day(desk: Desk) -> None:
    desk.sync([row(actions=LEAD)])
    assert desk.sync("[]", at=LATE).counts["campaign_insights"] == MergeCounts(removed=1)
    assert desk.ask("SELECT (SELECT count(*) FROM campaign_insights), (SELECT count(*) FROM insight_actions)") == [
        (0, 0)
    ]


def test_other_accounts_are_left_alone(desk: Desk) -> None:
    desk.sync([row()])
    desk.sync([row(account_id="2")], account="2", at=LATE)
    desk.sync("[]", account="2", at=LATE + timedelta(hours=1))
    assert desk.ask("SELECT account_id FROM campaign_insights") == [("1",)]


def test_numbers_collected_earlier_do_not_replace_newer_ones_that_were_written_first(desk: Desk) -> None:
    older = desk.stage([row(spend="1"), row(day=NEXT, spend="1")], until=NEXT, at=EARLY)
    desk.sync([row(spend="2")], at=LATE)
    counts = desk.write(older).counts["campaign_insights"]
    assert counts == MergeCounts(read=1, inserted=1)
    assert desk.ask("SELECT date_start, spend FROM campaign_insights ORDER BY ALL") == [
        (DAY, Decimal(2)),
        (NEXT, Decimal(1)),
    ]


def test_coverage_says_when_each_day_was_read_and_how_many_rows_it_had(desk: Desk) -> None:
    desk.sync([row("c1"), row("c2")], until=NEXT)
    assert desk.ask("SELECT report, account_id, date_start, row_count, run_id FROM pipeline.coverage ORDER BY ALL") == [
        ("campaign_insights", "1", DAY, 2, "run"),
        ("campaign_insights", "1", NEXT, 0, "run"),
    ]


def test_what_is_missing_is_written_down_until_a_later_sync_gets_it(desk: Desk) -> None:
    gap = Gap("campaign_insights", "1", DAY, NEXT, "Meta's budget was spent")
    desk.write(gaps=[gap])
    desk.write(gaps=[gap], run_id="again")
    assert desk.ask("SELECT date_start, reason, run_id, retry_at, kind FROM pipeline.missing ORDER BY ALL") == [
        (DAY, "Meta's budget was spent", "again", None, "failed"),
        (NEXT, "Meta's budget was spent", "again", None, "failed"),
    ]
    desk.sync([row()])
    assert desk.ask("SELECT date_start FROM pipeline.missing") == [(NEXT,)]


def test_rows_of_days_that_are_missing_stay_as_they_are(desk: Desk) -> None:
    desk.sync([row()])
    desk.write(gaps=[Gap("campaign_insights", "1", DAY, DAY, "closed", kind="refused")])
    assert desk.ask("SELECT count(*) FROM campaign_insights") == [(1,)]
    assert desk.ask("SELECT count(*) FROM pipeline.coverage") == [(1,)]


def test_contiguous_days_that_lack_for_one_reason_are_one_missing_part(desk: Desk) -> None:
    def days(first: int, last: int) -> tuple[date, date]:
        return DAY + timedelta(days=first), DAY + timedelta(days=last)

    parts = [
        Gap("ad_insights", "1", *days(0, 9), "deferred", LATE, "deferred"),
        Gap("ad_insights", "1", *days(10, 12), "deferred", LATE + timedelta(hours=1), "deferred"),
        Gap("ad_insights", "1", *days(13, 13), "other reason"),
        Gap("ad_insights", "2", *days(0, 12), "closed", kind="refused"),
        Gap("campaign_insights", "1", *days(0, 3), "no"),
        Gap("campaign_insights", "1", *days(5, 6), "no"),
    ]
    daily = [replace(part, since=day, until=day) for part in parts for day in _days(part)]
    desk.write(gaps=daily[::-1])
    with desk.warehouse.connect() as connection:
        assert missing_parts(connection) == parts


def test_of_two_gaps_that_name_a_day_the_later_one_holds(desk: Desk) -> None:
    desk.write(gaps=[Gap("ad_insights", "1", DAY, NEXT, "first"), Gap("ad_insights", "1", NEXT, NEXT, "second")])
    assert desk.ask("SELECT date_start, reason FROM pipeline.missing ORDER BY ALL") == [
        (DAY, "first"),
        (NEXT, "second"),
    ]


def test_accounts_that_are_merged_together_keep_apart(desk: Desk) -> None:
    accounts = [str(number) for number in range(6)]

    def answers(spend: dict[str, str], at: datetime) -> list[Staged]:
        pages = {account: [row(account_id=account, spend=spend[account], actions=LEAD)] for account in accounts}
        pages["5"] = pages["5"] if at == EARLY else []
        return desk.stage_good(*(desk.answer(pages[account], account=account, at=at) for account in accounts))

    desk.write(*answers(dict.fromkeys(accounts, "1"), EARLY))
    desk.sync([row(account_id="2", spend="9")], account="2", at=LATE + timedelta(hours=1))
    desk.sync([row(account_id="7")], account="7")
    counts = desk.write(*answers(dict.fromkeys(accounts, "1") | {"3": "4"}, LATE)).counts
    assert counts["campaign_insights"] == MergeCounts(read=4, updated=1, unchanged=3, removed=1)
    assert counts["insight_actions"] == MergeCounts(read=4, unchanged=4, removed=1)
    assert desk.ask("SELECT account_id, spend FROM campaign_insights ORDER BY ALL") == [
        ("0", Decimal(1)),
        ("1", Decimal(1)),
        ("2", Decimal(9)),
        ("3", Decimal(4)),
        ("4", Decimal(1)),
        ("7", Decimal("12.4")),
    ]


def test_of_two_slices_with_the_same_day_the_newer_one_holds_whatever_their_order(desk: Desk) -> None:
    older = desk.answer([row("c1", spend="1"), row("c2", NEXT, spend="1")], until=NEXT, at=EARLY)
    newer = desk.answer([row("c3", spend="2", actions=LEAD)], at=LATE)
    counts = desk.write(*desk.stage_good(newer, older)).counts
    assert counts["campaign_insights"] == MergeCounts(read=2, inserted=2)
    assert desk.ask("SELECT campaign_id, date_start, spend FROM campaign_insights ORDER BY ALL") == [
        ("c2", NEXT, Decimal(1)),
        ("c3", DAY, Decimal(2)),
    ]
    assert desk.ask("SELECT date_start, collected_at, row_count FROM pipeline.coverage ORDER BY ALL") == [
        (DAY, LATE.replace(tzinfo=None), 1),
        (NEXT, EARLY.replace(tzinfo=None), 1),
    ]


def test_hundreds_of_accounts_take_as_many_statements_as_two(desk: Desk) -> None:
    def statements(accounts: int, at: datetime) -> int:
        staged = desk.stage_good(
            *(
                desk.answer([row(account_id=str(n), spend=at.strftime("%H"), actions=LEAD)], account=str(n), at=at)
                for n in range(accounts)
            )
        )
        with desk.warehouse.connect() as connection:
            counting: Any = Counting(connection)
            counting.execute("BEGIN")
            merge_slices(counting, staged, "run", desk.folder)
            counting.execute("COMMIT")
        return int(counting.statements)

    first, refresh = statements(2, EARLY), statements(2, LATE)
    assert statements(300, LATE + timedelta(hours=1)) <= first + refresh
    assert statements(300, LATE + timedelta(hours=2)) == refresh


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(
        st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), st.integers(0, 2), max_size=6),
        min_size=1,
        max_size=4,
    ),
    batch_values=st.sampled_from([1, 40, 600_000]),
    in_place_rows=st.sampled_from([0, 2, 50_000]),
)
def test_after_any_sequence_of_answers_the_table_is_the_last_answer(
    tmp_path_factory: pytest.TempPathFactory,
    empty_warehouse: Path,
    answers: list[dict[tuple[str, int], int]],
    batch_values: int,
    in_place_rows: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scope, "BATCH_VALUES", batch_values)
        patch.setattr(merge, "IN_PLACE_ROWS", in_place_rows)
        _check_sequence(Desk(tmp_path_factory.mktemp("merge"), empty_warehouse), answers)


def _check_sequence(desk: Desk, answers: list[dict[tuple[str, int], int]]) -> None:
    for number, answer in enumerate(answers):
        page = [
            row(
                name,
                DAY + timedelta(days=day),
                impressions=str(value),
                actions=[{"action_type": "t", "value": str(value)}],
            )
            for (name, day), value in answer.items()
        ]
        counts = desk.sync(page, until=date(2026, 11, 3), at=EARLY + timedelta(minutes=number)).counts
        before = answers[number - 1] if number else {}
        assert counts["campaign_insights"] == MergeCounts(
            read=len(answer),
            inserted=len(answer.keys() - before.keys()),
            updated=sum(before[key] != answer[key] for key in answer.keys() & before.keys()),
            unchanged=sum(before[key] == answer[key] for key in answer.keys() & before.keys()),
            removed=len(before.keys() - answer.keys()),
        )
    stored = desk.ask("SELECT campaign_id, date_start, impressions FROM campaign_insights")
    expected = {(name, DAY + timedelta(days=day), value) for (name, day), value in answers[-1].items()}
    assert set(stored) == expected
    assert len(stored) == len(expected)
    assert desk.ask("SELECT count(*) FROM insight_actions") == [(len(expected),)]


def _days(gap: Gap) -> list[date]:
    return [gap.since + timedelta(days=number) for number in range((gap.until - gap.since).days + 1)]
