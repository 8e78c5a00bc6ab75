"""Answers that came in parts of the report's fields: joined by key, and what Meta would not give is unknown, never zero."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.warehouse import staging
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.staging import PageFile
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, DAY, LATE, Desk, row

LEAD = [{"action_type": "lead", "value": "1"}]
REST = tuple(name for name in CAMPAIGNS.fields if name not in ("clicks", "spend", "reach", "actions"))
NEVER_WITHHELD = (
    "account_id",
    "account_name",
    "account_currency",
    "campaign_id",
    "campaign_name",
    "date_start",
    "date_stop",
)


def part(desk: Desk, fields: tuple[str, ...], *names: str, **values: Any) -> PageFile:
    """A page of campaigns as Meta answers when it is asked for some fields: ids, names and days come with them."""
    rows = [row(name, actions=LEAD, **values) for name in names]
    kept = [{key: value for key, value in one.items() if key in (*NEVER_WITHHELD, *fields)} for one in rows]
    return PageFile(desk.page(kept), fields)


def test_the_parts_of_a_row_are_joined(desk: Desk) -> None:
    pages = [part(desk, ("clicks", "actions"), "c1"), part(desk, ("spend", "reach", *REST), "c1")]
    staged = desk.stage(*pages)
    assert (staged.rows, staged.repeats) == (1, 0)
    desk.write(staged)
    whole = desk.sync([row("c1", actions=LEAD)], at=LATE)
    assert whole.counts["campaign_insights"] == MergeCounts(read=1, unchanged=1)
    assert whole.counts["insight_actions"] == MergeCounts(read=1, unchanged=1)
    assert desk.ask("SELECT withheld_fields FROM campaign_insights") == [(None,)]


def test_a_row_that_a_part_lacks_has_null_there_and_says_so(desk: Desk) -> None:
    desk.sync(part(desk, ("clicks", "actions"), "c1"), part(desk, ("spend", "reach", *REST), "c1", "c2"))
    rows = desk.ask(
        "SELECT campaign_id, campaign_name, clicks, inline_link_clicks, spend, withheld_fields FROM campaign_insights "
        "ORDER BY campaign_id"
    )
    assert rows == [
        ("c1", "Campaign c1", 10, 0, Decimal("12.4"), None),
        ("c2", "Campaign c2", None, 0, Decimal("12.4"), "clicks,actions"),
    ]
    assert desk.ask("SELECT entity_id FROM insight_actions") == [("c1",)]


def test_what_a_slice_withholds_is_null_whatever_the_pages_hold(desk: Desk) -> None:
    desk.sync([row("c1", actions=LEAD, outbound_clicks=LEAD)], withheld=("actions", "clicks", "reach"))
    assert desk.ask("SELECT clicks, reach, impressions, ctr, withheld_fields FROM campaign_insights") == [
        (None, None, 100, None, "clicks,reach,actions")
    ]
    assert desk.ask("SELECT field FROM insight_actions") == [("outbound_clicks",)]


def test_fields_that_no_request_asked_for_are_withheld(desk: Desk) -> None:
    desk.sync(part(desk, ("spend", "reach", "clicks", *REST), "c1"))
    assert desk.ask("SELECT clicks, withheld_fields FROM campaign_insights") == [(10, "actions")]


def test_some_entities_may_come_whole_and_others_in_parts(desk: Desk) -> None:
    whole = PageFile(desk.page([row("c1", actions=LEAD)]))
    desk.sync(whole, part(desk, ("clicks",), "c2"), part(desk, ("spend", "reach", "actions", *REST), "c2"))
    assert desk.ask("SELECT campaign_id, clicks, withheld_fields FROM campaign_insights ORDER BY ALL") == [
        ("c1", 10, None),
        ("c2", 10, None),
    ]
    assert desk.ask("SELECT entity_id FROM insight_actions ORDER BY ALL") == [("c1",), ("c2",)]


def test_a_row_that_comes_twice_in_a_part_is_one(desk: Desk) -> None:
    rest = ("spend", "reach", *REST)
    staged = desk.stage(
        part(desk, ("clicks", "actions"), "c1", "c2"),
        part(desk, ("clicks", "actions"), "c2"),
        part(desk, rest, "c1", "c2"),
    )
    assert (staged.rows, staged.repeats) == (2, 1)
    desk.write(staged)
    assert desk.ask("SELECT count(*), sum(clicks) FROM campaign_insights") == [(2, 20)]
    assert desk.ask("SELECT count(*) FROM insight_actions") == [(2,)]


def test_what_becomes_withheld_or_given_is_a_change(desk: Desk) -> None:
    desk.sync([row(clicks="0", actions=LEAD)])
    counts = desk.sync([row(clicks="0", actions=LEAD)], withheld=("actions",), at=LATE).counts
    assert counts["campaign_insights"] == MergeCounts(read=1, updated=1)
    assert counts["insight_actions"] == MergeCounts(removed=1)
    assert desk.ask("SELECT clicks, withheld_fields, changed_at FROM campaign_insights") == [
        (0, "actions", LATE.replace(tzinfo=None))
    ]


def test_the_only_sign_of_a_withheld_list_is_the_row(desk: Desk) -> None:
    desk.sync([row()])
    counts = desk.sync([row()], withheld=("conversions",), at=LATE).counts
    assert counts["campaign_insights"] == MergeCounts(read=1, updated=1)


def test_a_part_with_a_wrong_row_is_refused_like_any_other(desk: Desk) -> None:
    outcomes = desk.stage_all(
        [
            desk.answer(part(desk, ("clicks",), "c1", account_id="9"), part(desk, REST, "c1")),
            desk.answer(part(desk, REST, "c1", account_id="2"), account="2"),
        ]
    )
    assert ["not asked for" in str(outcome) for outcome in outcomes] == [True, False]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(st.sets(st.sampled_from(CAMPAIGNS.fields), min_size=1), min_size=1, max_size=4),
    missing=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4))),
    bytes_at_once=st.sampled_from([500, 8_000_000]),
)
def test_every_value_is_there_unless_no_part_with_its_field_has_the_row(
    tmp_path_factory: pytest.TempPathFactory,
    empty_warehouse: Path,
    groups: list[set[str]],
    missing: set[tuple[int, int]],
    bytes_at_once: int,
) -> None:
    desk = Desk(tmp_path_factory.mktemp("parts"), empty_warehouse)
    had: dict[str, set[str]] = {}
    pages = []
    for number, fields in enumerate(groups):
        names = [f"c{index}" for index in range(5) if (number, index) not in missing]
        for name in names:
            had.setdefault(name, set()).update(fields)
        pages += [part(desk, tuple(fields), name, clicks=None) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "BYTES_AT_ONCE", bytes_at_once)
        desk.sync(*pages)
    stored = {
        name: (impressions, clicks, reach, () if withheld is None else tuple(withheld.split(",")))
        for name, impressions, clicks, reach, withheld in desk.ask(
            "SELECT campaign_id, impressions, clicks, reach, withheld_fields FROM campaign_insights"
        )
    }
    assert stored == {
        name: (
            100 if "impressions" in fields else None,
            0 if "clicks" in fields else None,
            80 if "reach" in fields else None,
            tuple(field for field in CAMPAIGNS.fields if field not in fields),
        )
        for name, fields in had.items()
    }
    actions = desk.ask("SELECT entity_id, date_start, value FROM insight_actions")
    assert sorted(actions) == sorted((name, DAY, Decimal(1)) for name, fields in had.items() if "actions" in fields)
