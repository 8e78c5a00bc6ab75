"""Versions of the Marketing API: which answer on which day, and what came and went with them."""

import itertools
from datetime import date, timedelta

import pytest

from meta_insights_pipeline.catalog.breakdowns import breakdowns
from meta_insights_pipeline.catalog.fields import insights_fields
from meta_insights_pipeline.catalog.versions import (
    answering_version,
    api_versions,
    is_retired,
    live_versions,
    not_yet,
    removal,
    version_changes,
    version_number,
)
from meta_insights_pipeline.settings import Settings

TODAY = date(2026, 11, 22)


def test_versions_are_listed_in_the_order_in_which_they_came() -> None:
    listed = list(api_versions().values())
    assert [version.name for version in listed] == sorted((v.name for v in listed), key=version_number)
    for older, newer in itertools.pairwise(listed):
        assert older.released < newer.released
        assert version_number(newer.name)[0] == version_number(older.name)[0] + 1


def test_two_versions_answer_in_november_2026() -> None:
    assert [version.name for version in live_versions(TODAY)] == ["v25.0", "v26.0"]


def test_the_version_of_the_settings_is_alive() -> None:
    assert not is_retired(Settings.model_fields["graph_api_version"].default, TODAY)
    assert Settings.model_fields["graph_api_version"].default in api_versions()


def test_a_version_answers_from_its_release_until_the_day_before_its_end() -> None:
    version = api_versions()["v24.0"]
    assert version.ends_on == date(2026, 10, 6)
    assert not version.is_alive(version.released - timedelta(days=1))
    assert version.is_alive(version.released)
    assert version.is_alive(date(2026, 10, 5))
    assert not version.is_alive(date(2026, 10, 6))


@pytest.mark.parametrize(("day", "left"), [(date(2026, 9, 6), 30), (date(2026, 10, 6), 0), (date(2026, 10, 9), -3)])
def test_the_days_until_an_end_are_counted(day: date, left: int) -> None:
    assert api_versions()["v24.0"].days_left(day) == left


def test_an_end_that_is_not_announced_is_no_number_of_days() -> None:
    assert api_versions()["v26.0"].ends_on is None
    assert api_versions()["v26.0"].days_left(TODAY) is None
    assert api_versions()["v26.0"].is_alive(date(2040, 1, 1))


@pytest.mark.parametrize(
    ("name", "retired"), [("v19.0", True), ("v24.0", True), ("v25.0", False), ("v26.0", False), ("v99.0", False)]
)
def test_a_version_is_retired_after_its_end_or_when_it_is_older_than_all_known_ones(name: str, retired: bool) -> None:
    assert is_retired(name, TODAY) is retired


@pytest.mark.parametrize(
    ("asked", "on", "answers"),
    [
        ("v26.0", TODAY, "v26.0"),
        ("v25.0", TODAY, "v25.0"),
        ("v24.0", TODAY, "v25.0"),
        ("v24.0", date(2026, 10, 5), "v24.0"),
        ("v19.0", TODAY, "v25.0"),
        ("v27.0", TODAY, "v27.0"),
    ],
)
def test_a_retired_version_is_answered_by_the_next_live_one(asked: str, on: date, answers: str) -> None:
    assert answering_version(asked, on) == answers


def test_nothing_that_was_removed_is_in_the_catalogue_and_everything_that_was_added_is() -> None:
    known = {"field": set(insights_fields()), "breakdown": set(breakdowns())}
    for change in version_changes().values():
        assert (change.name in known[change.kind]) is (change.change == "added"), change
        assert change.version in api_versions()
        assert not change.successor or change.successor in breakdowns()


def test_a_removal_names_the_version_and_what_to_use() -> None:
    assert removal("field", "product_category") == (
        "Meta removed the field 'product_category' with v24.0; use the breakdown 'product_category_breakdown'."
    )
    assert removal("field", "marketing_messages_website_purchase") == (
        "Meta removed the field 'marketing_messages_website_purchase' with v26.0; leave it out."
    )
    assert removal("field", "spend") is None
    assert removal("breakdown", "product_category") is None
    assert removal("field", "shop_clicks") is None


def test_what_came_with_a_version_is_not_there_before() -> None:
    assert not_yet("field", "shop_clicks", "v25.0") == (
        "The field 'shop_clicks' came with v26.0, but v25.0 answers; set META_GRAPH_API_VERSION to v26.0 or leave it out."
    )
    assert not_yet("field", "shop_clicks", "v26.0") is None
    assert not_yet("field", "shop_clicks", "v27.0") is None
    assert not_yet("breakdown", "placement_path", "v25.0")
    assert not_yet("field", "spend", "v25.0") is None
    assert not_yet("field", "product_name", "v23.0") is None
