"""Recovered rows: stored beside those that reports list, kept when reports leave them out, gone when Meta says so."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.recovered import Asked, merge_recovered
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, DAY, EARLY, LATE, Desk, row

NEXT = DAY + timedelta(days=1)
LATER = LATE + timedelta(hours=1)
LEAD = [{"action_type": "lead", "value": "1"}]


def recover(
    desk: Desk,
    rows: Sequence[dict[str, Any]],
    ids: Sequence[str],
    *,
    days: Sequence[date] = (DAY,),
    until: date = DAY,
    at: datetime = LATE,
    account: str = "1",
) -> dict[str, MergeCounts]:
    """Ask campaigns by id, and store what they answer."""
    staged = desk.stage(list(rows), until=until, at=at, account=account)
    asked = Asked(Level.CAMPAIGN, {account: list(ids)}, [(account, day) for day in days])
    with desk.warehouse.connect() as connection:
        connection.execute("BEGIN")
        counts = merge_recovered(connection, [staged], asked, "recovery", Path(mkdtemp(dir=desk.folder)))
        connection.execute("COMMIT")
    return counts


def campaigns(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.ask("SELECT account_id, campaign_id, date_start, spend FROM campaign_insights ORDER BY ALL")


def marked(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.ask("SELECT account_id, entity_id, date_start FROM pipeline.recovered_rows ORDER BY ALL")


def test_a_recovered_row_is_stored_with_its_actions_and_marked(desk: Desk) -> None:
    desk.sync([row("c1")])
    counts = recover(desk, [row("c2", actions=LEAD)], ["c2"])
    assert counts["campaign_insights"].inserted == counts["insight_actions"].inserted == 1
    assert campaigns(desk) == [("1", "c1", DAY, Decimal("12.4")), ("1", "c2", DAY, Decimal("12.4"))]
    assert desk.ask("SELECT report, entity_id, recovered_at, run_id FROM pipeline.recovered_rows") == [
        ("campaign_insights", "c2", LATE.replace(tzinfo=None), "recovery")
    ]
    # How many rows the report had is not touched.
    assert desk.ask("SELECT row_count, run_id FROM pipeline.coverage") == [(1, "run")]


def test_a_row_that_a_report_did_list_stays_of_the_moment_of_its_report(desk: Desk) -> None:
    desk.sync([row("c1")])
    recover(desk, [row("c1", spend="99"), row("c2")], ["c1", "c2"])
    assert campaigns(desk) == [("1", "c1", DAY, Decimal("12.4")), ("1", "c2", DAY, Decimal("12.4"))]
    assert marked(desk) == [("1", "c2", DAY)]


def test_rows_of_other_days_than_those_in_question_are_left_out(desk: Desk) -> None:
    desk.sync([row("c1"), row("c1", NEXT)], until=NEXT)
    recover(desk, [row("c2"), row("c2", NEXT)], ["c2"], until=NEXT, days=[NEXT])
    assert marked(desk) == [("1", "c2", NEXT)]
    assert [each[1:3] for each in campaigns(desk)] == [("c1", DAY), ("c1", NEXT), ("c2", NEXT)]


def test_a_day_of_which_nothing_was_listed_may_be_recovered_whole(desk: Desk) -> None:
    desk.sync([])
    assert recover(desk, [row("c1"), row("c2")], ["c1", "c2"])["campaign_insights"].inserted == 2
    assert marked(desk) == [("1", "c1", DAY), ("1", "c2", DAY)]


def test_an_ordinary_sync_that_does_not_list_them_leaves_recovered_rows_alone(desk: Desk) -> None:
    desk.sync([row("c1"), row("c3")])
    recover(desk, [row("c2", actions=LEAD)], ["c2"])
    before = desk.ask("FROM campaign_insights WHERE campaign_id = 'c2'")
    counts = desk.sync([row("c1", spend="13")], at=LATER).counts
    assert counts["campaign_insights"] == MergeCounts(read=2, updated=1, unchanged=1, removed=1)
    assert counts["insight_actions"] == MergeCounts(read=1, unchanged=1)
    assert desk.ask("FROM campaign_insights WHERE campaign_id = 'c2'") == before
    assert [each[1] for each in campaigns(desk)] == ["c1", "c2"]


def test_slices_that_were_read_together_keep_their_rows_apart(desk: Desk) -> None:
    accounts = ("1", "2", "3")
    for account in accounts:
        desk.sync([row("c1", account_id=account), row("c1", NEXT, account_id=account)], until=NEXT, account=account)
    recover(desk, [row("c2")], ["c2"])
    recover(desk, [row("c2", NEXT, account_id="3")], ["c2"], days=[NEXT], until=NEXT, account="3")
    answers = [
        desk.answer(
            [row("c1", account_id=account), row("c1", NEXT, account_id=account)], until=NEXT, at=LATER, account=account
        )
        for account in accounts
    ]
    counts = desk.write(*desk.stage_good(*answers)).counts["campaign_insights"]
    assert counts == MergeCounts(read=8, unchanged=8)
    assert len(campaigns(desk)) == 8
    assert marked(desk) == [("1", "c2", DAY), ("3", "c2", NEXT)]


def test_a_row_that_a_report_lists_again_is_no_longer_marked_and_has_its_values(desk: Desk) -> None:
    desk.sync([row("c1")])
    recover(desk, [row("c2", actions=LEAD)], ["c2"])
    desk.sync([row("c1"), row("c2", spend="13")], at=LATER)
    assert marked(desk) == []
    assert campaigns(desk)[1] == ("1", "c2", DAY, Decimal(13))
    assert desk.ask("SELECT count(*) FROM insight_actions") == [(0,)]
    # And so it goes like any other when the next report does not list it.
    assert desk.sync([row("c1")], at=LATER + timedelta(hours=1)).counts["campaign_insights"].removed == 1


def test_recovered_rows_that_changed_are_updated_and_their_earlier_versions_kept(desk: Desk) -> None:
    desk.sync([row("c1")])
    recover(desk, [row("c2")], ["c2"])
    assert recover(desk, [row("c2", spend="13")], ["c2"], at=LATER)["campaign_insights"].updated == 1
    assert campaigns(desk)[1] == ("1", "c2", DAY, Decimal(13))
    assert desk.ask("SELECT campaign_id, spend FROM campaign_insights_history") == [("c2", Decimal("12.4"))]
    assert len(marked(desk)) == 1


def test_a_recovered_row_goes_when_its_own_id_has_none_any_more_and_only_if_it_was_asked(desk: Desk) -> None:
    desk.sync([row("c1")])
    recover(desk, [row("c2"), row("c3")], ["c2", "c3"])
    assert recover(desk, [], ["c2"], at=LATER)["campaign_insights"].removed == 1
    assert marked(desk) == [("1", "c3", DAY)]
    assert [each[1] for each in campaigns(desk)] == ["c1", "c3"]
    assert desk.ask("SELECT campaign_id FROM campaign_insights_history") == [("c2",)]


def test_a_day_that_somebody_else_has_read_later_is_left_alone(desk: Desk) -> None:
    desk.sync([row("c1")], at=LATER)
    recover(desk, [row("c2")], ["c2"], at=LATE)
    assert marked(desk) == []
    assert [each[1] for each in campaigns(desk)] == ["c1"]


def test_nothing_that_answered_changes_nothing(desk: Desk) -> None:
    desk.sync([row("c1")], at=EARLY)
    with desk.warehouse.connect() as connection:
        asked = Asked(Level.CAMPAIGN, {"1": ["c2"]}, [("1", DAY)])
        assert merge_recovered(connection, [], asked, "recovery", desk.folder) == {}
    assert CAMPAIGNS.name == "campaign_insights"
