"""What Meta sends and no column takes is kept as it wrote it; no other number becomes a wrong one because of it."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from meta_insights_pipeline.warehouse.staging import PageFile
from meta_insights_pipeline.warehouse.unknown_parts import MOST_CHARACTERS, MOST_SIGHTINGS, DriftKind, canonical
from meta_insights_pipeline_tests.warehouse.building import EARLY, LATE, Desk, row

LEAD = {"action_type": "lead", "value": "3", "7d_click": "2"}
OTHER = "SELECT other_fields FROM campaign_insights"


def seen(desk: Desk, *pages: Sequence[dict[str, Any]] | str) -> set[tuple[str, str]]:
    """What the staging says of pages that are then merged."""
    staged = desk.stage(*pages)
    desk.write(staged, now=EARLY)
    return {(one.kind.value, one.name) for one in staged.sightings}


def test_pages_without_unknown_parts_are_read_as_they_came(desk: Desk) -> None:
    assert seen(desk, [row(actions=[LEAD]), row("c2")]) == set()
    assert not list(desk.folder.glob("stage-*/*.json")), "nothing was read a second time"
    assert desk.ask("SELECT DISTINCT other_fields FROM campaign_insights") == [(None,)]
    assert desk.ask("SELECT other_windows FROM insight_actions") == [(None,)]


def test_unknown_fields_are_kept_with_their_values_to_the_last_digit(desk: Desk) -> None:
    page = json.dumps([row(), row("c2")])
    more = '"gazes": 1.50, "big": 123456789012345678901234567890, "spots": [{"y": "é\\u0000", "x": null}], "on": true, '
    page = page.replace('"account_id"', f'{more}"account_id"', 1)
    assert seen(desk, page) == {("field", "gazes"), ("field", "big"), ("field", "spots"), ("field", "on")}
    kept = '{"big":123456789012345678901234567890,"gazes":1.50,"on":true,"spots":[{"x":null,"y":"é\\u0000"}]}'
    assert desk.ask(f"{OTHER} ORDER BY campaign_id") == [(kept,), (None,)]
    assert desk.ask("SELECT impressions, spend, reach FROM campaign_insights") == [(100, Decimal("12.4"), 80)] * 2


def test_a_field_of_metas_that_the_report_did_not_ask_for_is_kept_too(desk: Desk) -> None:
    lists = [{"action_type": "video_view", "value": "1"}]
    assert seen(desk, [row(video_p25_watched_actions=lists)]) == {("field", "video_p25_watched_actions")}
    assert desk.ask(OTHER) == [('{"video_p25_watched_actions":[{"action_type":"video_view","value":"1"}]}',)]


def test_unknown_windows_are_kept_beside_those_that_have_a_column(desk: Desk) -> None:
    more = {**LEAD, "7d_view": "1.10", "1d_click_first_conversion": 2, "dda": None}
    assert seen(desk, [row(actions=[more, {"action_type": "like", "value": "1"}])]) == {
        ("window", "7d_view"),
        ("window", "1d_click_first_conversion"),
        ("window", "dda"),
    }
    kept = '{"1d_click_first_conversion":"2","7d_view":"1.10","dda":null}'
    assert desk.ask("SELECT action_type, value, value_7d_click, other_windows FROM insight_actions ORDER BY ALL") == [
        ("lead", Decimal(3), Decimal(2), kept),
        ("like", Decimal(1), None, None),
    ]


def test_a_row_changes_when_an_unknown_part_does_and_not_when_the_order_of_its_keys_does(desk: Desk) -> None:
    def sync(page: dict[str, Any]) -> tuple[int, int]:
        counts = desk.write(desk.stage([page], at=LATE), now=LATE).counts
        return counts["campaign_insights"].updated, counts["insight_actions"].updated

    more = {"7d_view": "1", "28d_view": "2"}
    desk.sync([row(actions=[{**LEAD, **more}], gaze={"a": 1, "b": [{"c": 1, "d": 2}]}, depth="3")])
    other_way = {**LEAD, **dict(reversed(more.items()))}
    assert sync({"depth": "3", **row(actions=[other_way], gaze={"b": [{"d": 2, "c": 1}], "a": 1})}) == (0, 0)
    assert sync(row(actions=[{**other_way, "7d_view": 1}], gaze={"b": [{"d": 2, "c": 1}], "a": 2}, depth="3")) == (1, 0)
    assert sync(row(actions=[{**other_way, "7d_view": "5"}], gaze={"b": [{"d": 2, "c": 1}], "a": 2}, depth="3")) == (
        0,
        1,
    )
    history = desk.ask("SELECT other_fields FROM campaign_insights_history")
    assert history == [('{"depth":"3","gaze":{"a":1,"b":[{"c":1,"d":2}]}}',)]
    assert desk.ask("SELECT other_windows FROM insight_actions_history") == [('{"28d_view":"2","7d_view":"1"}',)]
    moment = EARLY.replace(tzinfo=None)
    assert desk.ask(f"SELECT other_fields FROM campaign_insights_as_of(TIMESTAMP '{moment}')") == history


@pytest.mark.parametrize("count", ["10.5", 10.5, "15e-1"])
def test_a_count_that_is_not_whole_is_unknown_and_kept(desk: Desk, count: object) -> None:
    assert seen(desk, [row(clicks=count), row("c2")]) == {("value", "clicks")}
    kept = json.dumps({"clicks": count}, separators=(",", ":"))
    assert desk.ask("SELECT clicks, impressions, other_fields FROM campaign_insights ORDER BY campaign_id") == [
        (None, 100, kept),
        (10, 100, None),
    ]


@pytest.mark.parametrize("count", ["10.0", 10.0, "1e1"])
def test_a_count_that_is_whole_is_one_however_it_is_written(desk: Desk, count: object) -> None:
    assert seen(desk, [row(clicks=count)]) == set()
    assert desk.ask("SELECT clicks, other_fields FROM campaign_insights") == [(10, None)]


def test_a_key_of_another_part_does_not_make_a_count_unknown(desk: Desk) -> None:
    without = row(gaze={"clicks": "1"})
    del without["clicks"]
    desk.sync([without])
    assert desk.ask("SELECT clicks, other_fields FROM campaign_insights") == [(0, '{"gaze":{"clicks":"1"}}')]


def test_actions_that_cannot_be_rows_are_kept_whole(desk: Desk) -> None:
    by_device = [{**LEAD, "action_device": device} for device in ("iphone", "ipad")]
    typeless = {"value": "7"}
    like = {"action_type": "like", "value": "1", "action_target_id": "42"}
    assert seen(desk, [row(actions=[*by_device, typeless, like, LEAD | {"action_type": "x"}])]) == {
        ("action", "actions of lead more than once"),
        ("action", "actions without a type"),
        ("action_key", "action_device"),
        ("action_key", "action_target_id"),
    }
    assert desk.ask("SELECT action_type, value FROM insight_actions ORDER BY ALL") == [
        ("like", Decimal(1)),
        ("x", Decimal(3)),
    ]
    ((kept,),) = desk.ask(OTHER)
    assert json.loads(kept) == {"actions": [*by_device, typeless, like]}


def test_a_type_that_a_list_has_twice_is_no_row_and_one_that_is_repeated_word_for_word_is_one(desk: Desk) -> None:
    again = {"action_type": "lead", "value": "4"}
    assert seen(desk, [row(actions=[LEAD, again]), row("c2", actions=[LEAD, LEAD])]) == {
        ("action", "actions of lead more than once")
    }
    assert desk.ask("SELECT entity_id, value FROM insight_actions") == [("c2", Decimal(3))]
    assert [json.loads(kept) if kept else None for (kept,) in desk.ask(f"{OTHER} ORDER BY campaign_id")] == [
        {"actions": [LEAD, again]},
        None,
    ]


def test_a_row_that_came_in_parts_has_the_unknown_parts_of_all(desk: Desk) -> None:
    first = PageFile(desk.page([row(gazes="1", depth="2")]), ("impressions", "clicks"))
    second = PageFile(desk.page([row(gazes="1", length="3")]), ("spend", "reach"))
    desk.write(desk.stage(first, second), now=EARLY)
    assert desk.ask("SELECT clicks, spend, other_fields FROM campaign_insights") == [
        (10, Decimal("12.4"), '{"depth":"2","gazes":"1","length":"3"}')
    ]


def nested(levels: int) -> str:
    """Lists within each other."""
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ('"' + "x" * 3_000_000 + '"', '"(left out: 3000002 characters, SHA-256 '),
        (nested(200), '"(left out: nested more than 50 levels)"'),
    ],
    ids=["long", "deep"],
)
def test_what_is_too_large_is_left_out_and_named(desk: Desk, value: str, kept: str) -> None:
    page = json.dumps([row(), row("c2", spots="1")]).replace('"account_id"', f'"gaze":{value}, "account_id"', 1)
    assert seen(desk, page) == {("field", "gaze"), ("field", "spots"), ("left_out", "gaze")}
    texts = desk.ask(f"{OTHER} ORDER BY campaign_id")
    assert texts[0][0].startswith('{"gaze":' + kept)
    assert texts[1] == ('{"spots":"1"}',)


def test_a_page_that_is_too_deep_to_be_looked_into_is_stored_and_named(desk: Desk) -> None:
    page = json.dumps([row()]).replace('"account_id"', f'"gaze":{nested(5000)}, "account_id"', 1)
    assert seen(desk, page) == {("left_out", "a page")}
    assert desk.ask("SELECT clicks, other_fields FROM campaign_insights") == [(10, None)]


def test_a_row_with_thousands_of_unknown_parts_keeps_what_fits_and_names_some(desk: Desk) -> None:
    many: dict[str, Any] = {f"key{number:05}": "x" * 1000 for number in range(1000)}
    staged = desk.stage([row(**many)])
    desk.write(staged, now=EARLY)
    assert len(staged.sightings) == MOST_SIGHTINGS + 1
    assert (DriftKind.LEFT_OUT, "further names") in {(one.kind, one.name) for one in staged.sightings}
    ((kept,),) = desk.ask(OTHER)
    assert len(json.loads(kept)) > 150
    assert len(kept) < 15 * MOST_CHARACTERS


def test_a_name_that_looks_like_a_key_is_only_a_name(desk: Desk) -> None:
    name = 'He said "x": y'
    assert seen(desk, [row(campaign_name=name)]) == set()
    assert desk.ask("SELECT campaign_name, other_fields FROM campaign_insights") == [(name, None)]


def test_the_pages_themselves_stay_as_they_came(desk: Desk) -> None:
    part, files = desk.answer([row(gazes="1")])
    before = files[0].path.read_bytes()
    desk.stage_good((part, files))
    assert files[0].path.read_bytes() == before


def test_canonical_text_has_sorted_keys_at_every_level() -> None:
    assert (
        canonical({"b": [{"d": None, "c": True}], "a": "\ud800é"}) == '{"a":"\\ud800\\u00e9","b":[{"c":true,"d":null}]}'
    )
