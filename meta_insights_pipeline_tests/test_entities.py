"""Entities from Meta to the warehouse and back: what is stored is what the simulator says, at every refresh and later."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from meta_insights_pipeline.catalog.entities import EntityKind, Type
from meta_insights_pipeline.catalog.entity_batches import EntityBatch
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.entities import fetch_entities, full_listing_is_due
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.simulator import SimulatedClock, Simulator, SimulatorAdapter, World, WorldSpec, entity_truth
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline.warehouse.entities import known_entities, merge_entities, unknown_ids
from meta_insights_pipeline.warehouse.entity_checks import inspect_entities

# One story for all tests.
pytestmark = pytest.mark.xdist_group("story of entities")

# Every few days the account is refreshed before, in and after its office hours, in which everything is changed.
MOMENTS = [
    datetime(2026, 10, day, hour, 7, tzinfo=ZoneInfo("Asia/Tokyo")) for day in (5, 9, 14, 19) for hour in (7, 13, 20)
]
BELOW_ACCOUNT = (EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS)
NEW_YORK, TOKYO = 0, 2


@dataclass(frozen=True)
class Refresh:
    """One refresh of an account, and what was true then."""

    at: datetime
    batch: EntityBatch
    calls: int
    truth: dict[EntityKind, dict[str, dict[str, Any]]]


@dataclass
class Story:
    """An account that was refreshed three times a day on four days, the last time wholly."""

    account: AdAccount
    world: World
    connection: duckdb.DuckDBPyConnection
    """To the warehouse, for as long as the story is told."""
    refreshes: list[Refresh] = field(default_factory=list)
    listed: dict[EntityKind, set[str]] = field(default_factory=lambda: {kind: set() for kind in EntityKind})
    """Ids that a list could show at some refresh."""

    def rows(self, kind: EntityKind, statement: str) -> dict[str, dict[str, Any]]:
        """The answer to a statement, by the id of the entity."""
        cursor = self.connection.execute(statement)
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        found = {row[kind.id_column]: row for row in rows}
        assert len(found) == len(rows), "an entity has two versions at one moment"
        return found

    def current(self, kind: EntityKind) -> dict[str, dict[str, Any]]:
        """The table."""
        return self.rows(kind, f"SELECT * FROM {kind.value}")

    def as_of(self, kind: EntityKind, at: datetime) -> dict[str, dict[str, Any]]:
        """The table as it was at a moment, from the current and the earlier versions."""
        moment = f"TIMESTAMP '{at.replace(tzinfo=None)}'"
        return self.rows(
            kind,
            f"SELECT *, NULL AS valid_to FROM {kind.value} WHERE valid_from <= {moment} UNION ALL BY NAME "
            f"SELECT * FROM {kind.value}_history WHERE valid_from <= {moment} AND valid_to > {moment}",
        )


@contextmanager
def connected(world: World, clock: SimulatedClock) -> Iterator[GraphApi]:
    simulator = Simulator(world, clock)
    with GraphApi(
        base_url=simulator.base_url, version="v26.0", access_token="token-123", adapter=SimulatorAdapter(simulator)
    ) as api:
        yield api


def account_of(world: World, place: int) -> AdAccount:
    account = world.accounts[place]
    return AdAccount(account.id, account.name, account.currency, account.timezone_name)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with telling(TOKYO, MOMENTS, tmp_path_factory.mktemp("entities")) as told:
        yield told


@contextmanager
def telling(place: int, moments: Sequence[datetime], folder: Path) -> Iterator[Story]:
    world = World(WorldSpec())
    clock = SimulatedClock(moments[0])
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    warehouse.check_writable()
    with warehouse.connect() as connection:
        told = Story(account_of(world, place), world, connection)
        with connected(world, clock) as api:
            for moment in moments:
                clock.set(moment)
                _refresh(told, api, clock.now(), folder, last=moment is moments[-1])
        yield told


def _refresh(story: Story, api: GraphApi, now: datetime, folder: Path, *, last: bool) -> None:
    account, connection = story.account, story.connection
    known = known_entities(connection, [account.id])[account.id]
    before = api.meter.counts().total
    full = last or full_listing_is_due(known, account, now)
    (batch,) = fetch_entities(api, account, known, full=full, now=now).batches
    calls = api.meter.counts().total - before
    connection.execute("BEGIN")
    merge_entities(connection, [batch], f"run-{len(story.refreshes)}", folder)
    connection.execute("COMMIT")
    truth = {kind: _truth(story, kind, now) for kind in (EntityKind if last else BELOW_ACCOUNT)}
    for kind in BELOW_ACCOUNT:
        story.listed[kind] |= {each for each, row in truth[kind].items() if row["listed"]}
    story.refreshes.append(Refresh(now, batch, calls, truth))


def _truth(story: Story, kind: EntityKind, at: datetime) -> dict[str, dict[str, Any]]:
    rows = entity_truth(story.world, kind.value, story.account.id, at)
    return {row["account_id"] if kind is EntityKind.AD_ACCOUNTS else row["id"]: row for row in rows}


def expected(story: Story, kind: EntityKind, row: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    """What the columns of the table should hold of an object in Meta's notation, worked out once more and differently."""
    values: dict[str, Any] = {}
    for attribute in kind.attributes:
        if attribute.column not in columns:
            continue
        value: Any = row
        for name in attribute.field.split("."):
            value = (value or {}).get(name)
        if value is not None and attribute.type is Type.MONEY:
            value = Decimal(value) if story.account.currency == "JPY" else Decimal(value).scaleb(-2)
            value = None if value == 0 and attribute.column in {"daily_budget", "lifetime_budget"} else value
        elif value is not None and attribute.type is Type.TIME:
            moment = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z")
            value = datetime.fromtimestamp(moment.timestamp(), UTC).replace(tzinfo=None)
        elif attribute.type is Type.ACCOUNT_STATUS:
            value = {1: "ACTIVE", 2: "DISABLED"}[value]
        elif value is not None and attribute.type is Type.HOURS:
            value = Decimal(str(value))
        values[attribute.column] = value
    return values


def stored(kind: EntityKind, row: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    types = {each.column: each.type for each in kind.attributes}
    return {
        name: json.loads(row[name]) if types[name] is Type.JSON and row[name] is not None else row[name]
        for name in columns
    }


def everything(kind: EntityKind) -> set[str]:
    return {each.column for each in kind.attributes}


def test_after_a_full_listing_every_column_of_what_is_listed_is_true(story: Story) -> None:
    last = story.refreshes[-1]
    for kind in (EntityKind.AD_ACCOUNTS, *BELOW_ACCOUNT):
        columns, table = everything(kind), story.current(kind)
        for entity_id, row in last.truth[kind].items():
            if row.get("listed", True):
                assert stored(kind, table[entity_id], columns) == expected(story, kind, row, columns)


def test_what_was_deleted_since_the_first_listing_is_kept_with_its_real_status(story: Story) -> None:
    for kind in BELOW_ACCOUNT:
        columns, table = everything(kind), story.current(kind)
        assert set(table) == story.listed[kind]
        deleted = {each for each in table if not story.refreshes[-1].truth[kind][each]["listed"]}
        assert {each for each, row in table.items() if row["is_deleted"]} == deleted
        for each in deleted:
            row = story.refreshes[-1].truth[kind][each]
            assert table[each]["effective_status"] == "DELETED"
            assert table[each]["recovered"] == "by_id"
            assert stored(kind, table[each], columns) == expected(story, kind, row, columns)
    assert any(row["is_deleted"] for row in story.current(EntityKind.ADS).values())


def test_creatives_are_those_that_ads_have_used_and_their_status_is_true(story: Story) -> None:
    kind = EntityKind.CREATIVES
    table, truth = story.current(kind), story.refreshes[-1].truth[kind]
    used = {
        row["creative"]["id"]
        for refresh in story.refreshes
        for row in refresh.truth[EntityKind.ADS].values()
        if row["id"] in story.listed[EntityKind.ADS]
    }
    assert set(table) == used
    columns = everything(kind)
    for each in used:
        assert stored(kind, table[each], columns) == expected(story, kind, truth[each], columns)
    assert any(row["is_deleted"] for row in table.values())


def test_budgets_of_an_account_with_cents_are_true_too(tmp_path: Path) -> None:
    with telling(NEW_YORK, MOMENTS[:1], tmp_path) as told:
        test_after_a_full_listing_every_column_of_what_is_listed_is_true(told)
        parts = told.connection.execute("SELECT count(*) FROM adsets WHERE bid_amount <> trunc(bid_amount)").fetchone()
    assert parts is not None
    assert parts[0] > 0


def test_an_incremental_refresh_is_three_calls_when_no_status_moves(story: Story) -> None:
    incremental = [refresh for refresh in story.refreshes if not refresh.batch.full]
    assert len(incremental) == 7
    assert min(refresh.calls for refresh in incremental) == 3
    assert sum(refresh.calls for refresh in incremental) / len(incremental) < 5
    assert sum(len(rows) for refresh in incremental for rows in refresh.batch.rows.values()) < 60 * len(incremental)


def test_everything_is_listed_once_a_day_of_the_account(story: Story) -> None:
    listed = [refresh.at for refresh in story.refreshes[:-1] if refresh.batch.full]
    assert listed == MOMENTS[:-1:3]


def test_between_full_listings_everything_that_lists_can_show_is_true(story: Story) -> None:
    """Of what a list shows, nothing but what moves by itself may be older than the last refresh."""
    for refresh in story.refreshes:
        for kind in BELOW_ACCOUNT:
            columns, table = set(kind.versioned), story.as_of(kind, refresh.at)
            for entity_id, row in refresh.truth[kind].items():
                if row["listed"]:
                    found = stored(kind, table[entity_id], columns)
                    assert found == expected(story, kind, row, columns), (kind, entity_id, refresh.at)


def test_what_was_current_at_each_refresh_is_found_again(story: Story) -> None:
    moved = 0
    for kind in EntityKind:
        seen: dict[str, dict[str, Any]] = {}
        for refresh in story.refreshes:
            for row in refresh.batch.rows.get(kind, ()):
                seen[str(row[kind.id_column])] = {name: row[name] for name in kind.versioned}
            found = story.as_of(kind, refresh.at)
            assert {each: {name: _aware(row[name]) for name in kind.versioned} for each, row in found.items()} == seen
        moved += len(story.rows(kind, f"SELECT DISTINCT {kind.id_column} FROM {kind.value}_history"))
    assert moved > 20


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def test_changes_of_every_sort_happened_in_these_days(story: Story) -> None:
    """Without them the tests above would prove nothing."""
    sorts = {
        EntityKind.CAMPAIGNS: ["effective_status"],
        EntityKind.ADSETS: ["daily_budget", "targeting", "effective_status"],
        EntityKind.ADS: ["creative_id", "name", "effective_status"],
    }
    for kind, columns in sorts.items():
        for column in columns:
            changed = story.connection.execute(
                f"SELECT count(DISTINCT h.{kind.id_column}) FROM {kind.value}_history AS h JOIN {kind.value} AS c "
                f"USING (account_id, {kind.id_column}) WHERE h.{column} IS DISTINCT FROM c.{column}"
            ).fetchone()
            assert changed is not None
            assert changed[0] > 0, (kind, column)


def test_the_tables_pass_their_checks_and_nothing_is_missing(story: Story) -> None:
    findings = inspect_entities(story.connection)
    assert all(finding.passed for checks in findings.values() for finding in checks.values())
    assert story.connection.execute("SELECT * FROM pipeline.missing_entities").fetchall() == []


def test_what_was_deleted_before_the_first_listing_is_had_by_id_once_insights_name_it(
    story: Story, tmp_path: Path
) -> None:
    kind, last, connection = EntityKind.ADS, story.refreshes[-1], story.connection
    buried = [row for each, row in last.truth[kind].items() if each not in story.listed[kind]]
    row = buried[-1]
    connection.execute("BEGIN")
    connection.execute(
        "INSERT INTO ad_insights (account_id, campaign_id, adset_id, ad_id, ad_name, date_start, changed_at) VALUES "
        f"('{story.account.id}', '{row['campaign_id']}', '{row['adset_id']}', '{row['id']}', 'As it was called', "
        "DATE '2026-10-01', now()::TIMESTAMP)"
    )
    ghosts = unknown_ids(connection, [story.account.id], date(2026, 10, 1), date(2026, 10, 2))[story.account.id]
    assert [ghost.id for ghost in ghosts] == [row["id"]]
    known = known_entities(connection, [story.account.id])[story.account.id]
    now = last.at + timedelta(hours=1)
    with connected(story.world, SimulatedClock(now)) as api:
        (batch,) = fetch_entities(api, story.account, known, full=False, ghosts=ghosts, now=now).batches
    assert batch.fetched_by_id[kind] == {row["id"]}
    merge_entities(connection, [batch], "ghost", tmp_path)
    findings, table = inspect_entities(connection), story.current(kind)
    connection.execute("ROLLBACK")
    columns = everything(kind)
    assert stored(kind, table[row["id"]], columns) == expected(story, kind, row, columns)
    assert all(checks["parents_exist"].passed for checks in findings.values())
