"""The attributes of entities: what is asked of Meta, and what becomes of it."""

from decimal import Decimal

import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adcreative import AdCreative
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.business import Business
from facebook_business.adobjects.campaign import Campaign

from meta_insights_pipeline.catalog.entities import (
    ACCOUNT_STATUSES,
    WHOLE_UNIT_CURRENCIES,
    EntityKind,
    Type,
    minor_units,
)

SDK = {
    EntityKind.AD_ACCOUNTS: AdAccount,
    EntityKind.CAMPAIGNS: Campaign,
    EntityKind.ADSETS: AdSet,
    EntityKind.ADS: Ad,
    EntityKind.CREATIVES: AdCreative,
}
NESTED = {"business": Business, "creative": AdCreative}


@pytest.mark.parametrize("kind", EntityKind)
def test_every_attribute_is_a_field_of_metas_sdk(kind: EntityKind) -> None:
    for attribute in kind.attributes:
        head, _, rest = attribute.field.partition(".")
        assert head in SDK[kind]._field_types, attribute.field
        if rest:
            assert rest in NESTED[head]._field_types, attribute.field


@pytest.mark.parametrize("kind", EntityKind)
def test_types_agree_with_those_of_metas_sdk(kind: EntityKind) -> None:
    for attribute in kind.attributes:
        if "." in attribute.field:
            continue
        theirs = SDK[kind]._field_types[attribute.field]
        assert (attribute.type is Type.TIME) == (theirs == "datetime"), attribute.field
        assert (attribute.type is Type.BOOLEAN) == (theirs == "bool"), attribute.field
        is_object = theirs.startswith(("list<", "map<")) or (theirs[0].isupper() and not theirs.endswith(_ENUMS))
        assert (attribute.type is Type.JSON) == is_object, (attribute.field, theirs)


_ENUMS = ("Status", "Strategy", "Event", "Goal", "Type")


@pytest.mark.parametrize("kind", EntityKind)
def test_columns_are_named_once_and_hold_the_key(kind: EntityKind) -> None:
    columns = [attribute.column for attribute in kind.attributes]
    assert len(set(columns)) == len(columns)
    assert set(kind.key) <= set(columns)
    assert kind.status_column in columns
    assert all(attribute.description.endswith(".") for attribute in kind.attributes)


def test_tables_and_keys_are_those_of_the_contract() -> None:
    assert {kind.value: kind.key for kind in EntityKind} == {
        "ad_accounts": ("account_id",),
        "campaigns": ("account_id", "campaign_id"),
        "adsets": ("account_id", "adset_id"),
        "ads": ("account_id", "ad_id"),
        "creatives": ("account_id", "creative_id"),
    }


def test_a_column_that_moves_by_itself_makes_no_version() -> None:
    volatile = {(kind.value, each.column) for kind in EntityKind for each in kind.attributes if each.volatile}
    assert {
        ("ad_accounts", "amount_spent"),
        ("ad_accounts", "balance"),
        ("ad_accounts", "timezone_offset_hours_utc"),
        ("campaigns", "budget_remaining"),
        ("adsets", "budget_remaining"),
        ("ads", "updated_time"),
        ("creatives", "thumbnail_url"),
    } <= volatile
    assert not volatile & {(kind.value, column) for kind in EntityKind for column in kind.versioned}
    assert {"daily_budget", "name", "effective_status"} <= set(EntityKind.CAMPAIGNS.versioned)
    assert {"targeting", "bid_amount"} <= set(EntityKind.ADSETS.versioned)
    assert "creative_id" in EntityKind.ADS.versioned


def test_nested_fields_are_asked_for_inside_their_object() -> None:
    assert "business{id,name}" in EntityKind.AD_ACCOUNTS.request_fields()
    assert "creative{id}" in EntityKind.ADS.request_fields()


def test_a_whole_creative_may_be_asked_for_with_its_ad() -> None:
    creative = EntityKind.CREATIVES.request_fields()
    assert f"creative{{{creative}}}" in EntityKind.ADS.request_fields(creatives=True)
    assert EntityKind.CAMPAIGNS.request_fields(creatives=True) == EntityKind.CAMPAIGNS.request_fields()


def test_each_field_is_asked_for_once_however_many_columns_it_fills() -> None:
    asked = EntityKind.AD_ACCOUNTS.request_fields().split(",")
    assert asked.count("account_status") == 1
    columns = {each.column for each in EntityKind.AD_ACCOUNTS.attributes if each.field == "account_status"}
    assert columns == {"account_status", "status"}


def test_what_needs_more_than_ads_read_can_be_left_out() -> None:
    asked = EntityKind.AD_ACCOUNTS.request_fields(guarded=False)
    assert "business" not in asked
    assert "is_prepay_account" not in asked
    assert "account_status" in asked


@pytest.mark.parametrize("kind", [EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS])
def test_lists_name_every_status_that_an_edge_gives(kind: EntityKind) -> None:
    assert kind.level is not None
    assert {*kind.listed_statuses, "DELETED"} == set(kind.level.effective_statuses)
    assert "DELETED" not in kind.listed_statuses
    assert "ARCHIVED" in kind.listed_statuses


@pytest.mark.parametrize(
    ("currency", "units"), [("USD", 100), ("EUR", 100), ("JOD", 100), ("JPY", 1), ("CLP", 1), ("HUF", 1), ("", 100)]
)
def test_budgets_come_in_hundredths_or_in_whole_units_by_metas_own_list(currency: str, units: int) -> None:
    assert minor_units(currency) == Decimal(units)


def test_the_currencies_without_hundredths_are_currencies_of_ad_accounts() -> None:
    known = {value for name, value in vars(AdAccount.Currency).items() if not name.startswith("_")}
    assert known >= WHOLE_UNIT_CURRENCIES


def test_every_state_of_an_account_has_its_own_word() -> None:
    assert ACCOUNT_STATUSES[1] == "ACTIVE"
    assert ACCOUNT_STATUSES[101] == "CLOSED"
    assert len(set(ACCOUNT_STATUSES.values())) == len(ACCOUNT_STATUSES)


def test_a_comment_says_the_unit() -> None:
    comments = {each.column: each.comment for each in EntityKind.ADSETS.attributes}
    assert comments["daily_budget"].endswith("In major units of the account's currency.")
    assert comments["updated_time"].endswith("UTC.")
    assert comments["targeting"].endswith("JSON text with sorted keys.")
    assert comments["name"] == "Name of the ad set."
