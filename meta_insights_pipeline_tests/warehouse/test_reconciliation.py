"""The ledger: exact comparisons of the account days that were touched, and verdicts from what the warehouse knows."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse import reconciliation
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.reconciliation import (
    FINAL_AFTER,
    LOOK_AGAIN_AFTER,
    LedgerFinding,
    Moment,
    Note,
    Open,
    Residual,
    Status,
    add_notes,
    findings,
    reconcile,
    residuals,
)
from meta_insights_pipeline.warehouse.staging import PageFile
from meta_insights_pipeline.warehouse.writing import write
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, DAY, EARLY, LATE, Answer, Desk, row

ACCOUNTS = builtin_reports()[0]
NEXT = DAY + timedelta(days=1)
MUCH_LATER = EARLY + FINAL_AFTER
PURCHASES = [{"action_type": "omni_purchase", "value": "2"}]


def total(day: date = DAY, **values: Any) -> dict[str, Any]:
    """An account's row."""
    whole = row(day=day, **values)
    return {name: value for name, value in whole.items() if name not in ("campaign_id", "campaign_name", "objective")}


def both(
    desk: Desk,
    account: Sequence[dict[str, Any]],
    campaigns: Sequence[dict[str, Any]],
    *,
    until: date = DAY,
    at: datetime = EARLY,
    account_at: datetime | None = None,
    run_id: str = "run",
    asked_again_at: datetime | None = None,
    withheld: Sequence[str] = (),
) -> None:
    """Write a total and its campaigns, read at the same moment unless told."""
    answers: list[Answer] = [
        desk.answer(account, until=until, at=account_at or at, report=ACCOUNTS),
        desk.answer(campaigns, until=until, at=at, report=CAMPAIGNS, withheld=withheld),
    ]
    write(
        desk.warehouse,
        desk.snapshot,
        desk.stage_good(*answers),
        [],
        run_id=run_id,
        source="live",
        publish_result=False,
        now=at,
        asked_again_at=asked_again_at,
    )


def verdicts(desk: Desk) -> dict[str, tuple[str, str | None]]:
    """Status and explanation by metric."""
    return {
        metric: (status, why)
        for metric, status, why in desk.ask("SELECT metric, status, explanation FROM reconciliation")
    }


def open_residuals(desk: Desk, now: datetime = EARLY, asked_again_at: datetime | None = None) -> list[Residual]:
    with desk.warehouse.connect() as connection:
        return residuals(connection, "run", DAY, NEXT, now, asked_again_at)


def test_a_millionth_is_a_residual(desk: Desk) -> None:
    both(desk, [total(spend="10")], [row("c1", spend="4.5"), row("c2", spend="5.499999", impressions="0", clicks="0")])
    found = desk.ask("SELECT metric, residual, status FROM reconciliation ORDER BY metric")
    assert found == [
        ("clicks", Decimal(0), "equal"),
        ("impressions", Decimal(0), "equal"),
        ("spend", Decimal("0.000001"), "incomplete"),
    ]


def test_conversions_are_compared_where_either_side_has_some(desk: Desk) -> None:
    both(desk, [total(), total(NEXT, actions=PURCHASES)], [row(), row(day=NEXT)], until=NEXT)
    rows = desk.ask("SELECT date_start, account_value, level_sum FROM reconciliation WHERE metric = 'purchases'")
    assert rows == [(NEXT, Decimal(2), Decimal(0))]


def test_other_action_types_of_the_same_event_are_not_added(desk: Desk) -> None:
    twice = [*PURCHASES, {"action_type": "purchase", "value": "2"}]
    both(desk, [total(actions=twice)], [row(actions=twice)])
    rows = desk.ask("SELECT metric, account_value FROM reconciliation WHERE metric LIKE 'purchase%'")
    assert rows == [("purchases", Decimal(2))]


def test_a_day_without_delivery_is_equal_to_zero(desk: Desk) -> None:
    both(desk, [], [])
    assert set(desk.ask("SELECT account_value, level_sum, status FROM reconciliation")) == {
        (Decimal(0), Decimal(0), "equal")
    }


def test_only_account_days_that_were_touched_are_compared_again(desk: Desk) -> None:
    both(desk, [total(), total(NEXT)], [row(), row(day=NEXT)], until=NEXT)
    both(desk, [total(spend="1")], [row(spend="1")], at=LATE, run_id="again")
    assert desk.ask("SELECT DISTINCT date_start, run_id, checked_at FROM reconciliation ORDER BY ALL") == [
        (DAY, "again", LATE.replace(tzinfo=None)),
        (NEXT, "run", EARLY.replace(tzinfo=None)),
    ]


def test_any_number_of_days_is_compared_a_few_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "_ACCOUNT_DAYS_AT_ONCE", 2)
    days = [DAY + timedelta(days=n) for n in range(7)]
    both(desk, [total(day) for day in days], [row(day=day) for day in days], until=days[-1])
    assert desk.ask("SELECT count(*), count(DISTINCT date_start) FROM reconciliation WHERE status = 'equal'") == [
        (21, 7)
    ]


def test_a_difference_of_two_readings_of_a_day_that_changes_proves_nothing_yet(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()], account_at=LATE)
    assert verdicts(desk)["spend"] == ("incomplete", "read_apart")
    (details,) = desk.ask("SELECT details FROM reconciliation WHERE metric = 'spend'")
    assert details[0] == (
        "account_insights was read at 2026-11-02 09:00:00 UTC and campaign_insights at 2026-11-02 08:00:00 UTC, when the day "
        "still changed."
    )
    (found,) = open_residuals(desk)
    assert (found.account_id, found.day, found.level, found.metrics) == ("1", DAY, Level.CAMPAIGN, ("spend",))
    assert found.share == pytest.approx(0.6 / 13)
    assert not found.is_final


def test_a_difference_of_a_day_that_no_longer_changes_is_unexplained_at_once(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()], at=MUCH_LATER)
    assert verdicts(desk)["spend"] == ("unexplained", "unexplained")
    assert open_residuals(desk, MUCH_LATER)[0].is_final


def test_the_same_numbers_read_twice_are_unexplained(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()])
    both(desk, [total(spend="13")], [row()], at=LATE, asked_again_at=LATE)
    assert verdicts(desk)["spend"] == ("unexplained", "unexplained")


def test_the_same_difference_of_other_numbers_is_not(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()])
    both(desk, [total(spend="13", clicks="11")], [row(clicks="11")], at=LATE, asked_again_at=LATE)
    assert verdicts(desk)["spend"] == ("incomplete", "read_apart")


def test_equal_when_read_again_is_a_restatement_only_if_they_differed_before(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()])
    both(desk, [total(spend="13")], [row(spend="13")], at=LATE, asked_again_at=LATE)
    assert verdicts(desk) == {
        "spend": ("explained", "restated_between_calls"),
        "clicks": ("equal", None),
        "impressions": ("equal", None),
    }
    assert desk.ask("SELECT residual, residual_before FROM reconciliation WHERE metric = 'spend'") == [
        (Decimal(0), Decimal("0.6"))
    ]


def test_earlier_lines_are_kept_once_they_say_something_else(desk: Desk) -> None:
    columns = "metric, explanation, residual, residual_before, checked_at, superseded_at"
    kept = f"SELECT {columns} FROM reconciliation_history ORDER BY ALL"
    both(desk, [total(spend="13")], [row()])
    both(desk, [total(spend="13")], [row()], at=EARLY + timedelta(minutes=1))
    assert desk.ask(kept) == [], "when it was last compared is no news"
    both(desk, [total(spend="13")], [row(spend="13")], at=LATE, asked_again_at=LATE)
    both(desk, [total(spend="13")], [row(spend="13")], at=LATE + timedelta(hours=1), run_id="again")
    before, late = (moment.replace(tzinfo=None) for moment in (EARLY + timedelta(minutes=1), LATE))
    assert desk.ask(kept) == [
        ("spend", "read_apart", Decimal("0.6"), None, before, late),
        ("spend", "restated_between_calls", Decimal(0), Decimal("0.6"), late, late + timedelta(hours=1)),
    ]
    assert verdicts(desk)["spend"] == ("equal", None)


def test_a_line_that_is_no_longer_compared_is_kept_too(desk: Desk) -> None:
    both(desk, [total(actions=PURCHASES)], [row(actions=PURCHASES)])
    both(desk, [total()], [row()], at=LATE)
    assert desk.ask("SELECT metric, status, superseded_at FROM reconciliation_history") == [
        ("purchases", "equal", LATE.replace(tzinfo=None))
    ]


def test_an_answer_that_was_bought_before_the_question_proves_nothing(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()])
    both(desk, [total(spend="13")], [row(spend="13")], at=LATE, account_at=EARLY, asked_again_at=LATE)
    assert verdicts(desk)["spend"] == ("equal", None)


def partly_withheld(
    desk: Desk, account: dict[str, Any], campaigns: Sequence[dict[str, Any]], without: dict[str, Any]
) -> None:
    """Write a total and its campaigns, one of which Meta gives without its clicks."""
    without.pop("clicks")
    given = tuple(name for name in CAMPAIGNS.fields if name != "clicks")
    answers = [
        desk.answer([account], report=ACCOUNTS, at=MUCH_LATER),
        desk.answer(campaigns, PageFile(desk.page([without]), given), report=CAMPAIGNS, at=MUCH_LATER),
    ]
    desk.write(*desk.stage_good(*answers), publish_result=False, now=MUCH_LATER)


def test_a_withheld_field_of_some_rows_leaves_the_sum_of_the_others(desk: Desk) -> None:
    partly_withheld(
        desk, total(clicks="30", spend="37.2", impressions="300"), [row("c1"), row("c2")], without=row("c3")
    )
    assert verdicts(desk) == {
        "clicks": ("explained", "withheld_by_meta"),
        "spend": ("equal", None),
        "impressions": ("equal", None),
    }
    assert desk.ask("SELECT level_sum, residual, details FROM reconciliation WHERE metric = 'clicks'") == [
        (Decimal(20), Decimal(10), "Meta does not give clicks in campaign_insights (1 of 3 rows lack it).")
    ]


def test_a_withheld_value_makes_no_sum_too_large(desk: Desk) -> None:
    partly_withheld(
        desk, total(clicks="15", spend="37.2", impressions="300"), [row("c1"), row("c2")], without=row("c3")
    )
    assert verdicts(desk)["clicks"] == ("unexplained", "unexplained")
    ((residual, details),) = desk.ask("SELECT residual, details FROM reconciliation WHERE metric = 'clicks'")
    assert residual == Decimal(-5)
    assert details.endswith(" Meta does not give clicks in campaign_insights (1 of 3 rows lack it).")


def test_a_withheld_field_hides_no_rows_that_other_counts_tell_of(desk: Desk) -> None:
    partly_withheld(
        desk, total(clicks="40", spend="49.6", impressions="400"), [row("c1"), row("c2")], without=row("c3")
    )
    assert set(verdicts(desk).values()) == {("unexplained", "unexplained")}
    (found,) = open_residuals(desk, MUCH_LATER)
    assert found.metrics == ("clicks", "impressions", "spend")


def test_a_field_that_is_withheld_of_all_rows_has_no_sum(desk: Desk) -> None:
    both(desk, [total(clicks="30")], [row(clicks=None, spend="12.4")], withheld=["clicks"])
    assert verdicts(desk)["clicks"] == ("explained", "withheld_by_meta")
    assert desk.ask("SELECT level_sum, residual FROM reconciliation WHERE metric = 'clicks'") == [(None, None)]
    assert verdicts(desk)["spend"] == ("equal", None)


def test_withheld_actions_explain_conversions(desk: Desk) -> None:
    both(desk, [total(actions=PURCHASES)], [row()], withheld=["actions"])
    assert verdicts(desk)["purchases"] == ("explained", "withheld_by_meta")


def test_rows_that_stay_since_a_report_is_missing_are_not_of_the_same_moment(desk: Desk) -> None:
    both(desk, [total()], [row()])
    gap = Gap("campaign_insights", "1", DAY, DAY, "A limit is reached.")
    desk.write(desk.stage([total(spend="13")], report=ACCOUNTS, at=LATE), gaps=[gap], publish_result=False)
    assert verdicts(desk) == {
        "spend": ("incomplete", "not_collected"),
        "clicks": ("equal", None),
        "impressions": ("equal", None),
    }
    (details,) = desk.ask("SELECT details FROM reconciliation WHERE metric = 'spend'")
    assert details[0] == (
        "Not collected for this day: campaign_insights when it was last asked for. A limit is reached."
    )


def test_what_was_looked_into_a_while_ago_and_is_the_same_is_left_alone_for_some_hours(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()])
    both(desk, [total(spend="13")], [row()], at=LATE, asked_again_at=LATE)
    assert len(open_residuals(desk, LATE)) == 1, "a sync that dies now has not asked everything"
    with desk.warehouse.connect() as connection:
        reconcile(connection, [("1", DAY, DAY)], Moment("run", LATE, LATE, concludes=True), desk.folder)
    assert open_residuals(desk, LATE) == []
    assert len(open_residuals(desk, LATE, asked_again_at=LATE)) == 1
    next_sync = LATE + timedelta(minutes=30)
    both(desk, [total(spend="13")], [row()], at=next_sync)
    assert verdicts(desk)["spend"] == ("unexplained", "unexplained")
    assert open_residuals(desk, next_sync) == []
    assert len(open_residuals(desk, LATE + LOOK_AGAIN_AFTER)) == 1
    both(desk, [total(spend="14")], [row()], at=next_sync + timedelta(minutes=30))
    assert len(open_residuals(desk, next_sync + timedelta(minutes=30))) == 1


def test_notes_are_added_to_what_is_unexplained_and_what_is_not_finished_goes_on(desk: Desk) -> None:
    both(desk, [total(spend="13")], [row()], at=MUCH_LATER, asked_again_at=MUCH_LATER)
    notes = [Note("1", DAY, Level.CAMPAIGN, metric, "It lies there.", finished=False) for metric in ("spend", "clicks")]
    with desk.warehouse.connect() as connection:
        add_notes(connection, notes)
    assert desk.ask("SELECT metric, details, asked_again_at FROM reconciliation WHERE details IS NOT NULL") == [
        ("spend", "Both were read when Meta no longer changed the day. It lies there.", None)
    ]
    assert len(open_residuals(desk, MUCH_LATER)) == 1


def found_by(desk: Desk, run_id: str, now: datetime, todays: dict[str, date] | None = None) -> LedgerFinding:
    """What a run is told of the campaigns."""
    with desk.warehouse.connect() as connection:
        return findings(connection, run_id, DAY, NEXT, now, todays or {})["campaign_insights"]


def test_findings_count_a_runs_comparisons_and_name_what_is_unexplained(desk: Desk) -> None:
    both(desk, [total(spend="13"), total(NEXT)], [row(), row(day=NEXT)], until=NEXT, at=MUCH_LATER)
    now = MUCH_LATER + timedelta(hours=1)
    both(desk, [total(spend="13")], [row()], at=now, run_id="other")
    with desk.warehouse.connect() as connection:
        assert findings(connection, "nobody", DAY, NEXT, now) == {}
    mine, others = found_by(desk, "run", now), found_by(desk, "other", now)
    assert (mine.compared, mine.counts[Status.EQUAL], mine.unexplained_before, mine.unexplained) == (3, 3, 1, Open())
    assert (others.compared, others.counts[Status.UNEXPLAINED], others.unexplained_before) == (3, 1, 0)
    assert others.unexplained.count == 1
    (line,) = others.unexplained.lines
    assert (line.account_id, line.day, line.metric, line.currency) == ("1", DAY, "spend", "EUR")
    assert (line.account_value, line.level_sum, line.residual) == (Decimal(13), Decimal("12.4"), Decimal("0.6"))
    assert (line.days_ago, line.compared_at) == (31, now)


def test_what_nothing_explains_is_told_to_every_run_for_28_days(desk: Desk) -> None:
    for at, asked in ((EARLY, None), (LATE, LATE)):
        both(desk, [total(spend="13"), total(NEXT)], [row(), row(day=NEXT)], until=NEXT, at=at, asked_again_at=asked)
    later = LATE + timedelta(days=5)
    answers = [
        desk.answer([values], since=NEXT, until=NEXT, at=later, report=report)
        for report, values in ((ACCOUNTS, total(NEXT)), (CAMPAIGNS, row(day=NEXT)))
    ]
    desk.write(*desk.stage_good(*answers), run_id="later", publish_result=False, now=later)
    found = found_by(desk, "later", later)
    assert found.counts[Status.UNEXPLAINED] == 0
    assert [(line.metric, line.day, line.days_ago) for line in found.unexplained.lines] == [("spend", DAY, 5)]
    much_later = found_by(desk, "later", later + timedelta(days=28))
    assert (much_later.unexplained, much_later.unexplained_before) == (Open(), 1)


def test_what_was_read_apart_is_told_once_the_day_is_over_in_its_account(desk: Desk) -> None:
    both(desk, [total(spend="13"), total(NEXT, spend="13")], [row(), row(day=NEXT)], until=NEXT)
    found = found_by(desk, "run", EARLY, {"1": NEXT})
    assert [(line.metric, line.day, line.residual) for line in found.read_apart.lines] == [
        ("spend", DAY, Decimal("0.6"))
    ]
    assert found.unexplained == Open()
    # Whoever's clock is not known may still be in the middle of the first day.
    assert found_by(desk, "run", EARLY).read_apart == Open()
    assert found_by(desk, "run", EARLY + timedelta(hours=4)).read_apart.count == 1
