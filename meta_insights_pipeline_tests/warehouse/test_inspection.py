"""What a sync looks for in the rows of its days."""

from collections.abc import Mapping
from typing import Any

from meta_insights_pipeline.warehouse.inspection import CHECKS, LEVEL_CHECKS, CheckFinding, inspect_table
from meta_insights_pipeline.warehouse.schema import Table, actions_table, fact_table
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, DAY, Desk, row


def checks(desk: Desk, *rows: dict[str, Any], table: Table | None = None) -> Mapping[str, CheckFinding]:
    """What is found after a sync of campaigns."""
    desk.sync(rows)
    with desk.warehouse.connect() as connection:
        return inspect_table(connection, table or fact_table(CAMPAIGNS), DAY, DAY, DAY, "run").checks


def test_rows_as_meta_gives_them_pass_every_check(desk: Desk) -> None:
    found = checks(
        desk, row("c1"), row("c2", reach="100"), row("c3", reach=None), row("c4", impressions="0", reach="0")
    )
    assert {name: (finding.passed, finding.checked_rows) for name, finding in found.items()} == dict.fromkeys(
        (*CHECKS, *LEVEL_CHECKS), (True, 4)
    )


def test_more_people_than_impressions_are_told_with_their_row(desk: Desk) -> None:
    found = checks(desk, row("c1"), row("c2", impressions="100", reach="101"))["reach_within_impressions"]
    assert found == CheckFinding(passed=False, checked_rows=2, bad_rows=1, examples=("1 c2 2026-11-01",))


def test_numbers_below_zero_are_told(desk: Desk) -> None:
    found = checks(desk, row("c1", spend="-0.01"), row("c2"))["no_negative_metric"]
    assert (found.passed, found.bad_rows) == (False, 1)


def test_actions_reach_nobody(desk: Desk) -> None:
    found = checks(desk, row(actions=[{"action_type": "lead", "value": "1"}]), table=actions_table())
    assert list(found) == list(CHECKS)
