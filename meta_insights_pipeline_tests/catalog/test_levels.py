"""The four levels."""

import pytest

from meta_insights_pipeline.catalog.fields import insights_fields
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.catalog import sdk


def test_there_are_the_four_levels_of_meta_from_the_account_down() -> None:
    assert [level.value for level in Level] == ["account", "campaign", "adset", "ad"]
    assert [level.depth for level in Level] == [0, 1, 2, 3]
    assert {level.value for level in Level} == sdk.LEVELS


def test_a_level_reads_as_its_name() -> None:
    assert f"{Level.ADSET}" == "adset"
    assert Level("campaign") is Level.CAMPAIGN


@pytest.mark.parametrize("level", Level)
def test_a_level_is_identified_by_the_ids_and_names_of_itself_and_its_parents(level: Level) -> None:
    expected = ["account_id", "account_name", "account_currency"]
    for each in list(Level)[1:]:
        if each.depth <= level.depth:
            expected += [f"{each.value}_id", f"{each.value}_name"]
    assert list(level.identity_fields) == expected
    assert level.id_field in level.identity_fields
    known = insights_fields()
    assert all(known[name].level.depth <= level.depth for name in level.identity_fields)


def test_no_field_of_a_lower_level_identifies_a_higher_one() -> None:
    assert "ad_id" not in Level.ADSET.identity_fields
    assert "adset_name" not in Level.CAMPAIGN.identity_fields
    assert Level.ACCOUNT.identity_fields == ("account_id", "account_name", "account_currency")


@pytest.mark.parametrize("level", [Level.CAMPAIGN, Level.ADSET, Level.AD])
def test_the_statuses_of_a_level_are_all_that_meta_knows_deleted_and_archived_included(level: Level) -> None:
    assert {"DELETED", "ARCHIVED", "ACTIVE", "PAUSED"} <= set(level.effective_statuses)
    assert set(level.effective_statuses) == sdk.STATUSES[level]
    assert len(set(level.effective_statuses)) == len(level.effective_statuses)


def test_the_account_has_no_statuses_to_filter_by() -> None:
    assert Level.ACCOUNT.effective_statuses == ()
