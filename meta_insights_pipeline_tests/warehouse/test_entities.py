"""Storing entities: what makes a version, what is kept for ever, and what the next refresh is told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import (
    EntityBatch,
    EntityRow,
    Ghost,
    KnownEntities,
    MissingEntity,
    Recovered,
)
from meta_insights_pipeline.warehouse import entities
from meta_insights_pipeline.warehouse.entities import known_entities, merge_entities, unknown_ids
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.schema import entity_tables
from meta_insights_pipeline_tests.warehouse.building import DAY, EARLY, LATE, Desk

LATER = LATE + timedelta(hours=1)
UPDATED = datetime(2026, 11, 1, 8, 15, tzinfo=UTC)


def campaign(campaign_id: str = "c1", **values: Any) -> EntityRow:
    """A campaign as it comes from a list."""
    return {
        "account_id": "1",
        "campaign_id": campaign_id,
        "name": f"Campaign {campaign_id}",
        "status": "ACTIVE",
        "effective_status": "ACTIVE",
        "daily_budget": Decimal("10.50"),
        "budget_remaining": Decimal("3.10"),
        "special_ad_categories": '["HOUSING"]',
        "updated_time": UPDATED,
        "is_deleted": False,
        "recovered": None,
        **values,
    }


def account(**values: Any) -> EntityRow:
    return {"account_id": "1", "name": "Shop", "status": "ACTIVE", "is_deleted": False, **values}


def batch(
    *rows: EntityRow, at: datetime = EARLY, full: bool = True, kind: EntityKind = EntityKind.CAMPAIGNS
) -> EntityBatch:
    return EntityBatch("1", at, full, {kind: rows})


def merge(desk: Desk, *batches: EntityBatch, run_id: str = "run") -> dict[str, MergeCounts]:
    """Merge in one transaction, as a sync does."""
    with desk.warehouse.connect() as connection:
        connection.execute("BEGIN")
        counts = merge_entities(connection, batches, run_id, desk.folder)
        connection.execute("COMMIT")
    return counts


def known(desk: Desk, account_id: str = "1") -> KnownEntities:
    with desk.warehouse.connect() as connection:
        return known_entities(connection, [account_id])[account_id]


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def test_a_new_entity_is_stored_with_exact_values_and_when_it_was_first_seen(desk: Desk) -> None:
    counts = merge(desk, batch(campaign("120212345678901234")))
    assert counts["campaigns"] == MergeCounts(read=1, inserted=1)
    assert desk.ask(
        "SELECT campaign_id, daily_budget, special_ad_categories, updated_time, is_deleted, recovered, valid_from, "
        "last_seen_at FROM campaigns"
    ) == [
        (
            "120212345678901234",
            Decimal("10.50"),
            '["HOUSING"]',
            naive(UPDATED),
            False,
            None,
            naive(EARLY),
            naive(EARLY),
        )
    ]
    assert desk.ask("SELECT count(*) FROM campaigns_history") == [(0,)]


def test_a_change_ends_a_version_and_begins_the_next(desk: Desk) -> None:
    merge(desk, batch(campaign(), campaign("c2")))
    counts = merge(desk, batch(campaign(name="Renamed", daily_budget=None), campaign("c2"), at=LATE))
    assert counts["campaigns"] == MergeCounts(read=2, updated=1, unchanged=1)
    assert counts["campaigns_history"] == MergeCounts(read=1, inserted=1)
    assert desk.ask("SELECT campaign_id, name, daily_budget, valid_from, last_seen_at FROM campaigns ORDER BY ALL") == [
        ("c1", "Renamed", None, naive(LATE), naive(LATE)),
        ("c2", "Campaign c2", Decimal("10.50"), naive(EARLY), naive(LATE)),
    ]
    assert desk.ask(
        "SELECT campaign_id, name, daily_budget, valid_from, valid_to, last_seen_at FROM campaigns_history"
    ) == [("c1", "Campaign c1", Decimal("10.50"), naive(EARLY), naive(LATE), naive(EARLY))]


def test_what_moves_by_itself_is_kept_up_to_date_without_a_version(desk: Desk) -> None:
    merge(desk, batch(campaign()))
    moved = campaign(budget_remaining=Decimal("1.05"), updated_time=UPDATED + timedelta(hours=2))
    counts = merge(desk, batch(moved, at=LATE))
    assert counts["campaigns"] == MergeCounts(read=1, unchanged=1)
    assert counts["campaigns_history"] == MergeCounts()
    assert desk.ask("SELECT budget_remaining, updated_time, valid_from, last_seen_at FROM campaigns") == [
        (Decimal("1.05"), naive(UPDATED + timedelta(hours=2)), naive(EARLY), naive(LATE))
    ]


def test_the_same_batch_twice_leaves_the_same_tables(desk: Desk) -> None:
    merge(desk, batch(campaign()))
    second = batch(campaign(status="PAUSED"), at=LATE)
    merge(desk, second)
    before = desk.ask("FROM campaigns"), desk.ask("FROM campaigns_history")
    assert merge(desk, second)["campaigns"] == MergeCounts(read=1, unchanged=1)
    assert (desk.ask("FROM campaigns"), desk.ask("FROM campaigns_history")) == before


def test_what_was_seen_earlier_does_not_replace_what_was_written_first(desk: Desk) -> None:
    merge(desk, batch(campaign(name="New"), at=LATE))
    merge(desk, batch(campaign(name="Old"), at=EARLY))
    assert desk.ask("SELECT name, valid_from FROM campaigns") == [("New", naive(LATE))]
    assert desk.ask("SELECT count(*) FROM campaigns_history") == [(0,)]


def test_an_entity_that_a_refresh_does_not_show_stays(desk: Desk) -> None:
    merge(desk, batch(campaign("c1"), campaign("c2")))
    merge(desk, batch(campaign("c2"), at=LATE))
    assert desk.ask("SELECT campaign_id, last_seen_at FROM campaigns ORDER BY ALL") == [
        ("c1", naive(EARLY)),
        ("c2", naive(LATE)),
    ]


def test_entities_of_other_accounts_with_the_same_id_are_others(desk: Desk) -> None:
    merge(desk, batch(campaign()))
    other = EntityBatch("2", LATE, True, {EntityKind.CAMPAIGNS: [campaign(account_id="2", name="Other")]})
    merge(desk, other)
    assert desk.ask("SELECT account_id, name FROM campaigns ORDER BY ALL") == [("1", "Campaign c1"), ("2", "Other")]
    assert desk.ask("SELECT count(*) FROM campaigns_history") == [(0,)]


def test_an_entity_that_meta_no_longer_knows_keeps_its_attributes_but_not_its_status(desk: Desk) -> None:
    merge(desk, batch(campaign()))
    gone: EntityRow = {"account_id": "1", "campaign_id": "c1", "is_deleted": True, "recovered": Recovered.KEPT}
    counts = merge(desk, batch(gone, at=LATE))
    assert counts["campaigns"] == MergeCounts(read=1, updated=1)
    assert desk.ask("SELECT name, daily_budget, effective_status, is_deleted, recovered FROM campaigns") == [
        ("Campaign c1", Decimal("10.50"), None, True, "kept")
    ]
    assert desk.ask("SELECT name, effective_status, is_deleted FROM campaigns_history") == [
        ("Campaign c1", "ACTIVE", False)
    ]


def test_an_entity_that_comes_back_is_no_longer_recovered(desk: Desk) -> None:
    gone: EntityRow = {"account_id": "1", "campaign_id": "c1", "is_deleted": True, "recovered": Recovered.INSIGHTS}
    merge(desk, batch({**gone, "name": "From insights"}))
    merge(desk, batch(campaign(), at=LATE))
    assert desk.ask("SELECT name, is_deleted, recovered FROM campaigns") == [("Campaign c1", False, None)]
    assert desk.ask("SELECT name, is_deleted, recovered FROM campaigns_history") == [
        ("From insights", True, "insights")
    ]


def test_an_entity_that_came_twice_is_stored_as_it_was_seen_last(desk: Desk) -> None:
    counts = merge(desk, batch(campaign(name="New"), at=LATE), batch(campaign(name="Old")))
    assert counts["campaigns"] == MergeCounts(read=1, inserted=1)
    assert desk.ask("SELECT name FROM campaigns") == [("New",)]


def test_texts_of_any_kind_arrive_as_they_were(desk: Desk) -> None:
    name = 'Quotes \' " \\ and \n lines, "żółć" 漢字 🙂 {"a": 1}'
    spec = '{"a":"line\\nbreak","b":[1,2.5]}'
    adset: EntityRow = {
        "account_id": "1",
        "adset_id": "s1",
        "name": name,
        "targeting": spec,
        "promoted_object": "2026-11-01",
        "is_deleted": False,
    }
    merge(desk, batch(adset, kind=EntityKind.ADSETS))
    assert desk.ask("SELECT name, targeting, promoted_object FROM adsets") == [(name, spec, "2026-11-01")]
    assert merge(desk, batch(adset, kind=EntityKind.ADSETS, at=LATE))["adsets"].unchanged == 1


def test_the_tables_carry_descriptions(desk: Desk) -> None:
    columns = desk.ask(
        "SELECT table_name, comment FROM duckdb_columns() WHERE schema_name = 'main' AND database_name = 'warehouse'"
    )
    for table in entity_tables():
        comments = [comment for name, comment in columns if name == table.name]
        assert len(comments) == len(table.columns)
        assert all(comments)
    assert desk.ask(
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'campaigns_history' AND column_name = 'daily_budget'"
    ) == [("Budget a day, when the campaign has it; NULL otherwise. In major units of the account's currency.",)]


def test_the_next_refresh_is_told_what_is_stored(desk: Desk) -> None:
    newer = UPDATED + timedelta(hours=5)
    deleted = campaign(
        "c3",
        effective_status="DELETED",
        is_deleted=True,
        recovered=Recovered.BY_ID,
        updated_time=UPDATED + timedelta(days=1),
    )
    merge(desk, batch(campaign("c1", updated_time=newer), campaign("c2", effective_status="PAUSED"), deleted))
    merge(desk, batch(account(), at=LATE, full=False, kind=EntityKind.AD_ACCOUNTS))
    told = known(desk)
    assert told.live[EntityKind.CAMPAIGNS] == {"c1": "ACTIVE", "c2": "PAUSED"}
    assert told.deleted == {EntityKind.CAMPAIGNS: frozenset({"c3"})}
    assert told.holds(EntityKind.CAMPAIGNS, "c3")
    assert not told.holds(EntityKind.ADSETS, "c3")
    assert told.updated == {EntityKind.CAMPAIGNS: newer}
    assert told.listed_at == EARLY


def test_of_an_account_that_was_never_read_nothing_is_known(desk: Desk) -> None:
    assert known(desk) == KnownEntities()
    with desk.warehouse.connect() as connection:
        assert known_entities(connection, []) == {}


def test_only_a_full_listing_counts_as_one(desk: Desk) -> None:
    merge(desk, batch(campaign(), full=False))
    assert known(desk).listed_at is None
    merge(desk, batch(campaign(), at=LATE))
    merge(desk, batch(campaign(), at=LATER, full=False))
    merge(desk, batch(campaign(), at=EARLY))
    assert known(desk).listed_at == LATE
    assert desk.ask("SELECT account_id, run_id FROM pipeline.entity_listings") == [("1", "run")]


def test_what_could_not_be_read_is_written_down_until_it_can_be(desk: Desk) -> None:
    lost = (
        MissingEntity(EntityKind.CREATIVES, "k1", "its post is gone"),
        MissingEntity(EntityKind.CREATIVES, "k2", "Meta's \"own\" reason isn't known"),
        MissingEntity(EntityKind.ADS, None, "all of them"),
    )
    read = "SELECT table_name, entity_id, reason, noticed_at, run_id FROM pipeline.missing_entities ORDER BY ALL"
    merge(desk, replace(batch(campaign(), full=False), missing=lost))
    assert desk.ask(read)[0] == ("ads", None, "all of them", naive(EARLY), "run")
    # A refresh that lacks no list has read them all.
    merge(desk, replace(batch(campaign(), at=LATE, full=False), missing=lost[:1]), run_id="again")
    assert desk.ask(read) == [
        ("creatives", "k1", "its post is gone", naive(LATE), "again"),
        ("creatives", "k2", "Meta's \"own\" reason isn't known", naive(EARLY), "run"),
    ]
    creative: EntityRow = {"account_id": "1", "creative_id": "k1", "is_deleted": False}
    merge(desk, batch(creative, at=LATER, full=False, kind=EntityKind.CREATIVES))
    assert [entity_id for _, entity_id, *_ in desk.ask(read)] == ["k2"]
    merge(desk, batch(campaign(), at=LATER + timedelta(hours=1)))
    assert desk.ask(read) == []


def test_nothing_stays_in_the_folder(desk: Desk) -> None:
    desk.ask("SELECT 1")
    before = sorted(desk.folder.iterdir())
    merge(desk, batch(campaign()))
    assert sorted(desk.folder.iterdir()) == before


def test_many_rows_are_merged_some_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entities, "_CHARACTERS_AT_ONCE", 900)
    first = [campaign(f"c{number}") for number in range(20)]
    assert merge(desk, batch(*first))["campaigns"] == MergeCounts(read=20, inserted=20)
    gone: list[EntityRow] = [
        {"account_id": "1", "campaign_id": f"c{number}", "is_deleted": True, "recovered": Recovered.KEPT}
        for number in range(5)
    ]
    second = [campaign(f"c{number}", name="New" if number % 2 else f"Campaign c{number}") for number in range(5, 25)]
    counts = merge(desk, batch(*gone, *second, at=LATE))
    assert counts["campaigns"] == MergeCounts(read=25, inserted=5, updated=13, unchanged=7)
    assert counts["campaigns_history"] == MergeCounts(read=13, inserted=13)
    assert desk.ask("SELECT count(*), count(DISTINCT campaign_id), count(*) FILTER (name IS NULL) FROM campaigns") == [
        (25, 25, 0)
    ]
    assert desk.ask("SELECT count(*) FROM campaigns_history WHERE name = 'New'") == [(0,)]


def test_two_refreshes_in_one_transaction_are_two_versions(desk: Desk) -> None:
    with desk.warehouse.connect() as connection:
        connection.execute("BEGIN")
        merge_entities(connection, [batch(campaign(name="A"))], "run", desk.folder)
        merge_entities(connection, [batch(campaign(name="B"), at=LATE)], "run", desk.folder)
        connection.execute("COMMIT")
    assert desk.ask("SELECT name FROM campaigns") == [("B",)]
    assert desk.ask("SELECT name, valid_to FROM campaigns_history") == [("A", naive(LATE))]


def insert_insights(connection: duckdb.DuckDBPyConnection, campaign_id: str, name: str, day: date) -> None:
    connection.execute(
        "INSERT INTO campaign_insights (account_id, campaign_id, campaign_name, date_start, changed_at) "
        f"VALUES ('1', '{campaign_id}', '{name}', DATE '{day}', TIMESTAMP '{naive(EARLY)}')"
    )


def test_entities_that_only_insights_know_are_found_with_their_newest_name(desk: Desk) -> None:
    merge(desk, batch(campaign("c1")))
    next_day = DAY + timedelta(days=1)
    with desk.warehouse.connect() as connection:
        insert_insights(connection, "c1", "Stored", DAY)
        insert_insights(connection, "c3", "Newer name", next_day)
        insert_insights(connection, "c3", "Older name", DAY)
        found = unknown_ids(connection, ["1", "2"], DAY, next_day)
        assert unknown_ids(connection, ["1"], DAY - timedelta(days=9), DAY - timedelta(days=1)) == {"1": ()}
        assert unknown_ids(connection, [], DAY, DAY) == {}
    assert found == {"1": (Ghost(EntityKind.CAMPAIGNS, "c3", {"name": "Newer name"}),), "2": ()}


def test_the_parents_of_a_ghost_are_those_of_its_insights(desk: Desk) -> None:
    with desk.warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO ad_insights (account_id, campaign_id, adset_id, adset_name, ad_id, ad_name, date_start, changed_at) "
            f"VALUES ('1', 'c1', 's1', 'Set', 'a1', NULL, DATE '{DAY}', now()::TIMESTAMP)"
        )
        found = unknown_ids(connection, ["1"], DAY, DAY)
    assert found == {"1": (Ghost(EntityKind.ADS, "a1", {"adset_id": "s1", "campaign_id": "c1"}),)}


def versions(desk: Desk, at: datetime) -> dict[str, tuple[str, int]]:
    """The campaigns as they were known at a moment: name and budget by id."""
    moment = f"TIMESTAMP '{naive(at)}'"
    rows = desk.ask(
        f"SELECT campaign_id, name, daily_budget::INTEGER FROM campaigns WHERE valid_from <= {moment} UNION ALL "
        f"SELECT campaign_id, name, daily_budget::INTEGER FROM campaigns_history "
        f"WHERE valid_from <= {moment} AND valid_to > {moment}"
    )
    found = {campaign_id: (name, budget) for campaign_id, name, budget in rows}
    assert len(found) == len(rows), "two versions of one campaign hold at the same time"
    return found


_STATE = st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from(["x", "y"]), st.integers(0, 2)), max_size=3)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_STATE, min_size=2, max_size=5))
def test_what_was_known_at_any_refresh_is_found_again(
    tmp_path_factory: Any, refreshes: Sequence[dict[str, tuple[str, int]]]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("versions"))
    seen: dict[str, tuple[str, int]] = {}
    states = []
    for number, refresh in enumerate(refreshes):
        rows = [campaign(each, name=name, daily_budget=Decimal(budget)) for each, (name, budget) in refresh.items()]
        merge(desk, batch(*rows, at=EARLY + timedelta(hours=number), full=number == 0))
        seen = {**seen, **refresh}
        states.append(seen)
    for number, state in enumerate(states):
        assert versions(desk, EARLY + timedelta(hours=number)) == state
