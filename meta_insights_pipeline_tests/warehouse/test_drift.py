"""The book of drift: what is new is written down once, with when and where it was first seen."""

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.drift import NEW_FOR, Drift, read_drift
from meta_insights_pipeline_tests.warehouse.building import EARLY, Desk, row

LATER = EARLY + timedelta(days=1)


def action(action_type: str, **more: str) -> dict[str, str]:
    return {"action_type": action_type, "value": "1", **more}


def sync(desk: Desk, run_id: str, at: datetime, **values: Any) -> None:
    desk.write(desk.stage([row(**values)], at=at), run_id=run_id, now=at)


def drift(desk: Desk, since: datetime, run_id: str = "none") -> tuple[Drift, ...]:
    with desk.warehouse.connect() as connection:
        return read_drift(connection, since, run_id)


def test_what_no_column_takes_is_written_down_when_it_comes_first(desk: Desk) -> None:
    sync(desk, "first", EARLY, gazes="1", actions=[action("lead", dda="2")])
    sync(desk, "second", LATER, gazes="5", actions=[action("lead")])
    field, window = drift(desk, EARLY)
    assert (field.kind, field.report, field.name, field.account_id, field.example) == (
        "field",
        "campaign_insights",
        "gazes",
        "1",
        "1",
    )
    assert (field.first_seen_at, field.last_seen_at, field.run_id) == (EARLY, LATER, "first")
    assert (window.kind, window.name, window.last_seen_at) == ("window", "dda", EARLY)
    assert (field.table, window.table) == ("campaign_insights", "insight_actions")


def test_action_types_of_the_first_load_of_a_report_are_not_new_and_later_ones_are(desk: Desk) -> None:
    sync(desk, "first", EARLY, actions=[action("lead"), action("like")])
    assert drift(desk, EARLY) == ()
    sync(desk, "second", LATER, actions=[action("lead"), action("gaze.into_space")])
    (found,) = drift(desk, LATER)
    assert (found.kind, found.name, found.run_id, found.first_seen_at) == (
        "action_type",
        "gaze.into_space",
        "second",
        LATER,
    )
    assert found.sentence == (
        "Action type gaze.into_space is new; it has rows like any other (campaign_insights, first in act_1)."
    )
    adsets = builtin_reports()[2]
    values: dict[str, Any] = {"adset_id": "s1", "adset_name": "Ad set", "actions": [action("other")]}
    desk.write(desk.stage([row(**values)], at=LATER, report=adsets), run_id="third", now=LATER)
    assert drift(desk, LATER) == (found,), "this report has had no rows before"


def test_what_is_new_is_told_for_a_week_and_to_the_run_that_saw_it(desk: Desk) -> None:
    sync(desk, "first", EARLY, gazes="1")
    after = EARLY + NEW_FOR + timedelta(seconds=1)
    assert len(drift(desk, after - NEW_FOR)) == 0
    assert len(drift(desk, after - NEW_FOR, "first")) == 1


def test_a_sync_that_fails_writes_nothing_down(desk: Desk) -> None:
    staged = desk.stage([row(gazes="1")])
    for file in staged.files.facts:
        file.write_bytes(b"not a file of rows")
    with pytest.raises(duckdb.Error):
        desk.write(staged, now=EARLY)
    assert desk.ask("SELECT count(*) FROM pipeline.drift") == [(0,)]
