"""A replay: the same warehouse again from the archive alone, whatever became of the archive or of the process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.catalog import fields, reports
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, Value
from meta_insights_pipeline.catalog.fields import Field, Kind, Unit, insights_fields
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.cli import run
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.replay import ReplayError, run_replay
from meta_insights_pipeline.replay_receipt import ReplayReceipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline.warehouse import schema
from meta_insights_pipeline.warehouse.database import WarehouseError
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS
from meta_insights_pipeline.warehouse.merge import Gap
from meta_insights_pipeline.warehouse.rebuilding import Rebuilder
from meta_insights_pipeline_tests.archived_home import CAMPAIGNS, Answer, ArchivedHome, campaign_row, dump
from meta_insights_pipeline_tests.comparison import read_rows
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import live
from meta_insights_pipeline_tests.reconciling import bench

# No version that these tests make is so old that a sync would thin it.
TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=5)
NOON = datetime(FIRST.year, FIRST.month, FIRST.day, 12, tzinfo=UTC)
HOUR, ONE_DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without rows."""
    home = ArchivedHome(tmp_path_factory.mktemp("empty"))
    with home.warehouse.connect() as connection:
        connection.execute("CHECKPOINT")
    return home.settings.warehouse_path


@pytest.fixture
def home(tmp_path: Path, empty: Path) -> ArchivedHome:
    return ArchivedHome(tmp_path, empty)


def replayed(home: ArchivedHome) -> ReplayReceipt:
    """Replay and see that nothing but the archive's files was needed, and nothing is left beside them."""
    receipt = run_replay(home.settings)
    left = {path.name for path in home.folder.iterdir()} | {path.name for path in (home.folder / "tmp").iterdir()}
    assert not [name for name in left if name.startswith((".warehouse", "replay-")) or name.endswith(".wal")]
    return receipt


def answer(at: datetime, since: date, until: date, campaigns: int, spend: int, account: str = "1") -> Answer:
    rows = [
        campaign_row(f"c{n}", since + timedelta(days=day), account=account, spend=str(spend if n == 0 else 7))
        for n in range(campaigns)
        for day in range((until - since).days + 1)
    ]
    for row in rows[::2]:
        row["actions"] = [{"action_type": "lead", "value": str(spend)}, {"action_type": "purchase", "value": "1"}]
    return Answer(at, since, until, rows, account)


# ---- what syncs stored comes again ----


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after syncs on two days, three a day, with days that were restated; the server is gone since."""
    folder = tmp_path_factory.mktemp("synced")
    with live(folder) as world:
        clock = world.simulator.clock
        assert isinstance(clock, SimulatedClock)
        midnight = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) - timedelta(days=4)
        for number, hours in enumerate(day * 24 + hour for day in range(2) for hour in (7, 12, 21)):
            clock.set(midnight + timedelta(hours=hours))
            today = (midnight + timedelta(hours=hours)).date()
            days = DayRange(today - timedelta(days=3 if number % 3 == 1 else 1), today)
            request = SyncRequest(f"run-{number}", days, builtin_reports(), entities_every=timedelta(hours=5))
            assert run_sync(world.settings, request, clock=SharedClock(clock)).receipt.warnings == ()
    return folder


@pytest.fixture
def copied(synced: Path, tmp_path: Path) -> Settings:
    """Settings of a copy of that home; the server that they name does not answer any more."""
    shutil.copytree(synced, tmp_path / "home")
    return Settings(
        _env_file=None,
        META_INSIGHTS_MODE="live",
        META_ACCESS_TOKEN="token-123",
        META_GRAPH_API_URL="http://127.0.0.1:9",
        META_INSIGHTS_HOME=tmp_path / "home",
    )


def refuse(*_args: object, **_options: object) -> None:
    raise AssertionError("a replay opens no connection")


@pytest.mark.xdist_group("replay of syncs")
def test_after_a_replay_every_row_of_every_table_is_the_same_and_meta_was_not_asked(
    copied: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(copied.warehouse_path)
    assert len(before["main.ad_insights_history"]) > 100
    assert before["main.insight_actions_history"]
    assert before["main.adsets"]
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    receipt = run_replay(copied)
    assert dump(copied.warehouse_path) == before
    assert dump(copied.snapshot_path) == before
    assert receipt.backup is not None
    assert dump(Path(receipt.backup)) == before
    assert (receipt.state, receipt.left_out, receipt.days_taken_over, receipt.accounts_taken_over) == (
        "complete",
        (),
        0,
        0,
    )
    assert receipt.tables["ad_insights"].rows == len(before["main.ad_insights"])
    assert receipt.tables["ads"].rows == len(before["main.ads"])
    saved = copied.home / "receipts" / f"{receipt.run_id}.json"
    assert ReplayReceipt.model_validate_json(saved.read_text("utf-8")) == receipt


def residuals(file: Path) -> list[tuple[Any, ...]]:
    """The ledger's numbers."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        return connection.execute(
            "SELECT account_id, date_start, level, metric, account_value, level_sum, residual "
            "FROM reconciliation ORDER BY ALL"
        ).fetchall()


def known_accounts(file: Path) -> list[tuple[Any, ...]]:
    """The accounts with currency and zone."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        return connection.execute("FROM known_accounts ORDER BY ALL").fetchall()


@pytest.mark.xdist_group("replay of syncs")
def test_a_warehouse_that_is_lost_is_rebuilt_from_the_archive_alone(copied: Settings) -> None:
    before, ledger = dump(copied.warehouse_path), residuals(copied.warehouse_path)
    accounts = known_accounts(copied.warehouse_path)
    copied.warehouse_path.unlink()
    receipt = run_replay(copied)
    after = dump(copied.warehouse_path)
    # The ledger is written anew: its numbers are the same, its moments and runs are not.
    assert residuals(copied.warehouse_path) == ledger
    assert len(after.pop("main.reconciliation")) == len(before.pop("main.reconciliation")) > 100
    # What it said before is nowhere else.
    assert after.pop("main.reconciliation_history") == []
    assert before.pop("main.reconciliation_history")
    # When histories were last thinned is nowhere but in the warehouse; the archive tells for which days it was thinned itself.
    assert len(after.pop("pipeline.history_thinning")) == 1
    assert before.pop("pipeline.history_thinning")
    # Rows tell name and currency of their account, and entities its zone; when a sync found it is nowhere else.
    assert known_accounts(copied.warehouse_path) == accounts
    assert len(after.pop("pipeline.accounts")) == len(before.pop("pipeline.accounts")) == 2
    assert after == before
    assert receipt.backup is None


def test_what_was_merged_into_a_lost_warehouse_just_before_the_process_ended_is_replayed_too(
    home: ArchivedHome,
) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    home.merge(answer(NOON + HOUR, FIRST, FIRST, 2, 2), settled=False)
    before = home.dump()
    home.settings.warehouse_path.unlink()
    assert run_replay(home.settings).files == 2
    for table in ("main.campaign_insights", "main.campaign_insights_history", "pipeline.coverage"):
        assert home.dump()[table] == before[table]


def test_syncs_and_replays_take_turns(home: ArchivedHome) -> None:
    for hour in range(3):
        home.merge(answer(NOON + hour * HOUR, FIRST, FIRST + hour * ONE_DAY, 2 + hour % 2, hour))
        home.refresh(refresh_of(NOON + hour * HOUR, {"a": f"A{hour}"}))
        before = home.dump()
        replayed(home)
        assert home.dump() == before


# ---- any history of answers ----


@dataclass(frozen=True)
class Step:
    """One transaction: answers about some days, an hour or more after the last one."""

    hours: int
    answers: tuple[tuple[int, int, int, int, str], ...]
    """First day, further days, campaigns, spend, account."""


steps = st.lists(
    st.builds(
        Step,
        st.integers(1, 9),
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.integers(0, 2),
                st.integers(0, 3),
                st.integers(1, 3),
                st.sampled_from(["1", "2"]),
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
    ),
    min_size=2,
    max_size=7,
)
some = settings(max_examples=6, deadline=None)


def tell(home: ArchivedHome, story: list[Step], late: int = -1, unarchived: int = -1) -> None:
    """Merge a story; one step may be asked long before it is merged, one may not reach the archive."""
    at = NOON
    for number, step in enumerate(story):
        at += timedelta(hours=step.hours)
        asked = at - timedelta(hours=8) if number == late else at
        home.merge(
            *(
                answer(
                    asked + timedelta(minutes=n),
                    FIRST + timedelta(days=first),
                    FIRST + timedelta(days=first + more),
                    campaigns,
                    spend,
                    account,
                )
                for n, (first, more, campaigns, spend, account) in enumerate(step.answers)
            ),
            archived=number != unarchived,
        )


@some
@given(steps, st.integers(0, 6), st.data())
def test_restated_vanished_and_late_rows_come_again_and_what_the_archive_lacks_is_taken_over(
    tmp_path_factory: pytest.TempPathFactory, empty: Path, story: list[Step], late: int, data: st.DataObject
) -> None:
    home = ArchivedHome(tmp_path_factory.mktemp("story"), empty)
    tell(home, story, late, unarchived=data.draw(st.integers(-1, len(story) - 1)))
    before = home.dump()
    for file in data.draw(st.lists(st.sampled_from(home.files()), max_size=2, unique=True)):
        file.unlink()
    if not home.files():
        return
    assert replayed(home).state == "complete"
    assert home.dump() == before


def test_after_thinning_a_replay_shows_the_same_at_the_end_of_every_day(home: ArchivedHome) -> None:
    begin = datetime(2026, 9, 1, 1, tzinfo=UTC)
    for number in range(3 * 5):
        at = begin + timedelta(hours=5 * number)
        day = at.date()
        home.merge(answer(at, day - ONE_DAY, day, 1 + number % 3, number % 5 + 1))
    now = begin + timedelta(days=4 + KEEP_ALL_DAYS)
    home.thin_history(now)
    shutil.copyfile(home.settings.warehouse_path, home.settings.snapshot_path)
    ends = [datetime(2026, 9, day + 2, tzinfo=UTC) - timedelta(microseconds=1) for day in range(3)]
    before, files = [home.as_of(end) for end in ends], len(home.files())
    assert home.archive.thin(now, keep_days=1130) >= 6
    assert len(home.files()) <= files - 6
    assert replayed(home).days_taken_over == 0
    assert [home.as_of(end) for end in ends] == before
    assert all(before)
    # With the warehouse lost, the archive alone tells which days are thinned: no moment of theirs lacks a row.
    home.settings.warehouse_path.unlink()
    replayed(home)
    noons = [end - timedelta(hours=12) for end in ends]
    assert [home.as_of(noon) for noon in noons] == before


def test_what_is_older_than_the_retention_is_taken_over_with_its_history(home: ArchivedHome) -> None:
    for day in range(5):
        for spend in (1, 2):
            at = NOON + timedelta(days=day, hours=spend)
            home.merge(answer(at, FIRST, FIRST + timedelta(days=day), 2 + (day + spend) % 2, spend))
    before = home.dump()
    assert len(before["main.campaign_insights_history"]) > 10
    assert home.archive.thin(NOON + timedelta(days=5), keep_days=2) == 6
    receipt = replayed(home)
    assert home.dump() == before
    assert receipt.files == 4


def test_days_that_were_never_archived_stay_with_what_is_missing(home: ArchivedHome) -> None:
    gap = Gap(CAMPAIGNS.name, "3", FIRST, FIRST, "not yours", kind="refused")
    home.merge(answer(NOON, FIRST, FIRST, 2, 1), archived=False, gaps=[gap])
    home.merge(answer(NOON + HOUR, FIRST + ONE_DAY, FIRST + ONE_DAY, 2, 1))
    before = home.dump()
    receipt = replayed(home)
    assert home.dump() == before
    assert before["pipeline.missing"]
    assert (receipt.files, receipt.days_taken_over) == (1, 1)


# ---- rows that no report lists ----


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Path:
    """A home after syncs that had to ask for two deleted ads by themselves, one of which went on to be restated."""
    folder = tmp_path_factory.mktemp("recovered")
    with bench(folder, empty) as world:
        for place, hours in ((3, 1), (5, 3)):
            world.delete("ad", place, world.now() + timedelta(hours=hours))
        for hours in (0, 2, 2, 15):
            world.pass_time(timedelta(hours=hours))
            world.simulator.set_deleted_rows("by_id")
            world.sync(world.days(0, 2), entities_every=timedelta(0))
    return folder


@pytest.fixture
def recovered_copy(recovered: Path, tmp_path: Path) -> Settings:
    """Settings of a copy of that home, without a server."""
    shutil.copytree(recovered, tmp_path / "home")
    return Settings(
        _env_file=None,
        META_INSIGHTS_MODE="live",
        META_ACCESS_TOKEN="token-123",
        META_GRAPH_API_URL="http://127.0.0.1:9",
        META_INSIGHTS_HOME=tmp_path / "home",
    )


@pytest.mark.xdist_group("replay of recovered rows")
@pytest.mark.parametrize("is_lost", [False, True])
def test_rows_that_were_asked_for_by_themselves_come_again_with_their_history(
    recovered_copy: Settings, is_lost: bool
) -> None:
    before, ledger = dump(recovered_copy.warehouse_path), residuals(recovered_copy.warehouse_path)
    assert {line.split("'")[1] for line in before["pipeline.recovered_rows"]} == {"ad_insights"}
    if is_lost:
        recovered_copy.warehouse_path.unlink()
    assert run_replay(recovered_copy).days_taken_over == 0
    after = dump(recovered_copy.warehouse_path)
    assert residuals(recovered_copy.warehouse_path) == ledger
    lost = ("main.reconciliation", "main.reconciliation_history", "pipeline.history_thinning")
    for table in lost if is_lost else ():
        before.pop(table)
        after.pop(table)
    assert after == before


@dataclass(frozen=True)
class Told:
    """What is asked some hours later: the account's report, or campaigns by themselves."""

    hours: int
    by_id: bool
    campaigns: frozenset[str]
    spend: int
    days: int

    def answer(self, at: datetime) -> Answer:
        until = FIRST + timedelta(days=self.days)
        rows = [
            campaign_row(each, day, spend=str(self.spend))
            for each in sorted(self.campaigns)
            for day in DayRange(FIRST, until).days
        ]
        return Answer(at, FIRST, until, rows)


told = st.lists(
    st.builds(
        Told,
        st.integers(1, 9),
        st.booleans(),
        st.frozensets(st.sampled_from(["a", "b", "c"])),
        st.integers(1, 3),
        st.integers(0, 1),
    ),
    min_size=2,
    max_size=6,
)
few = settings(max_examples=3, deadline=None)


def live_through(home: ArchivedHome, story: list[Told], unarchived: int = -1) -> None:
    """Merge a story in its order."""
    at = NOON
    home.merge(Told(0, False, frozenset("ab"), 1, 1).answer(at))
    for number, one in enumerate(story):
        at += timedelta(hours=one.hours)
        if one.by_id:
            home.recover(one.answer(at), ["a", "b", "c"], archived=number != unarchived)
        else:
            home.merge(one.answer(at), archived=number != unarchived)


@few
@given(told, st.data())
def test_whatever_reports_and_campaigns_told_in_turns_comes_again(
    tmp_path_factory: pytest.TempPathFactory, empty: Path, story: list[Told], data: st.DataObject
) -> None:
    home = ArchivedHome(tmp_path_factory.mktemp("told"), empty)
    lacking = data.draw(st.integers(-1, len(story) - 1))
    live_through(home, story, lacking)
    before = home.dump()
    receipt = replayed(home)
    assert home.dump() == before
    if lacking < 0:
        assert receipt.days_taken_over == 0
        home.settings.warehouse_path.unlink()
        replayed(home)
        after = home.dump()
        for name in ("main.campaign_insights", "main.campaign_insights_history", "pipeline.recovered_rows"):
            assert after[name] == before[name]


def test_after_thinning_rows_that_no_report_lists_are_still_there_at_the_end_of_every_day(home: ArchivedHome) -> None:
    story = [
        Told(1, False, frozenset("abc"), 1, 1),
        # Two reports no longer list b; the first of them tells that the rows that b itself has are lacking.
        Told(1, False, frozenset("ac"), 1, 1),
        Told(1, True, frozenset("b"), 1, 1),
        Told(1, True, frozenset("b"), 2, 1),
        Told(1, False, frozenset("ac"), 2, 0),
        Told(1, False, frozenset("ac"), 2, 1),
    ]
    live_through(home, story)
    now = NOON + timedelta(days=5 + KEEP_ALL_DAYS)
    home.thin_history(now)
    shutil.copyfile(home.settings.warehouse_path, home.settings.snapshot_path)
    end = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=1, microseconds=-1)
    before, marked = home.as_of(end), home.dump()["pipeline.recovered_rows"]
    assert len(marked) == 2
    assert home.archive.thin(now, keep_days=1130) == 3
    assert len(home.files(f"{CAMPAIGNS.name}.by_id")) == 2
    home.settings.warehouse_path.unlink()
    run_replay(home.settings)
    assert home.as_of(end) == before
    assert home.dump()["pipeline.recovered_rows"] == marked


def test_recovered_rows_of_a_process_that_ended_before_its_time_come_again(home: ArchivedHome) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    gone = Answer(NOON + HOUR, FIRST, FIRST, [campaign_row("gone", FIRST)])
    home.recover(gone, ["gone"], settled=False)
    before = home.dump()
    receipt = replayed(home)
    assert (receipt.files, receipt.days_taken_over) == (2, 0)
    assert home.dump() == before


def test_days_with_recovered_rows_of_which_the_archive_does_not_tell_stay_as_they_were(home: ArchivedHome) -> None:
    home.merge(answer(NOON, FIRST, FIRST + ONE_DAY, 2, 1))
    moment = f"TIMESTAMP '{NOON.replace(tzinfo=None)}'"
    with home.warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO pipeline.recovered_rows (report, account_id, date_start, entity_id, recovered_at, run_id) "
            f"VALUES ('campaign_insights', '1', DATE '{FIRST}', 'gone', {moment}, 'run-1')"
        )
        # As old as the first page, so that nothing else tells that it is not of it.
        connection.execute(
            "INSERT INTO campaign_insights (account_id, campaign_id, date_start, changed_at) "
            f"VALUES ('1', 'gone', DATE '{FIRST}', {moment})"
        )
    before = home.dump()
    assert replayed(home).days_taken_over == 1
    assert home.dump() == before


def test_a_table_that_this_program_does_not_make_is_taken_over(home: ArchivedHome) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    with home.warehouse.connect() as connection:
        connection.execute("CREATE TABLE old_report AS SELECT 1 AS a, 'x' AS b")
        connection.execute("CREATE TABLE pipeline.old_book AS SELECT 2 AS c")
    before = home.dump()
    replayed(home)
    assert home.dump() == before


def test_what_a_sync_merges_while_the_replay_is_under_way_is_in_the_rebuilt_warehouse(
    home: ArchivedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    take = Rebuilder.take
    merged: list[str] = []

    def take_and_sync(rebuilder: Rebuilder) -> None:
        take(rebuilder)
        if not merged:
            merged.append(home.merge(answer(NOON + HOUR, FIRST, FIRST, 3, 2)))
            merged.append(home.merge(answer(NOON + 2 * HOUR, FIRST, FIRST, 1, 3), archived=False))
            merged.append(home.merge(answer(NOON, FIRST + ONE_DAY, FIRST + ONE_DAY, 1, 3), settled=False))
            merged.append(home.dump()["main.campaign_insights_history"][0])

    monkeypatch.setattr(Rebuilder, "take", take_and_sync)
    replayed(home)
    after = home.dump()
    assert merged[3] in after["main.campaign_insights_history"]
    assert {run_id for run_id in merged[:3] if any(run_id in row for row in after["pipeline.coverage"])} == {
        "run-3",
        "run-4",
    }
    assert dump(home.folder / "warehouse.duckdb.before-replay.bak") == after


# ---- entities ----


def refresh_of(at: datetime, names: dict[str, str], *, full: bool = False, kept: str | None = None) -> EntityBatch:
    rows: list[dict[str, Value]] = [
        {"account_id": "1", "campaign_id": each, "name": name, "is_deleted": False, "created_time": NOON}
        for each, name in names.items()
    ]
    if kept:
        rows.append({"account_id": "1", "campaign_id": kept, "is_deleted": True, "recovered": "kept"})
    return EntityBatch("1", at, full=full, rows={EntityKind.CAMPAIGNS: rows})


@pytest.mark.parametrize("first_archived", [0, 1, 2, 3])
def test_entities_and_their_earlier_versions_come_again_wherever_the_archive_begins(
    home: ArchivedHome, first_archived: int
) -> None:
    story = [
        refresh_of(NOON, {"a": "A", "b": "B", "c": "C"}, full=True),
        refresh_of(NOON + HOUR, {"a": "A2"}),
        refresh_of(NOON + 2 * HOUR, {"a": "A2", "b": "B2"}, full=True, kept="c"),
        refresh_of(NOON + 3 * HOUR, {"a": "A3", "d": "D"}),
    ]
    home.merge(answer(NOON, FIRST, FIRST, 1, 1))
    for number, batch in enumerate(story):
        home.refresh(batch, archived=number >= first_archived)
    before = home.dump()
    assert len(before["main.campaigns_history"]) == 4
    assert replayed(home).accounts_taken_over == 0
    assert home.dump() == before


@pytest.mark.parametrize("unarchived", [1, 2, 3])
def test_an_account_of_which_a_refresh_was_not_archived_stays_as_it_was(home: ArchivedHome, unarchived: int) -> None:
    for number in range(4):
        names = {"a": f"A{number}", "b": "B"}
        home.refresh(refresh_of(NOON + number * HOUR, names, full=True), archived=number != unarchived)
    before = home.dump()
    assert replayed(home).accounts_taken_over == 1
    assert home.dump() == before


# ---- fields that were unknown ----


def test_a_field_that_meta_sent_and_nobody_knew_is_read_from_yesterdays_pages(
    home: ArchivedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [campaign_row("c1", FIRST, brand_new_clicks="41"), campaign_row("c2", FIRST)]
    home.merge(Answer(NOON, FIRST, FIRST, rows))
    home.merge(Answer(NOON + HOUR, FIRST, FIRST, [campaign_row("c1", FIRST, brand_new_clicks="42"), rows[1]]))
    home.merge(answer(NOON + HOUR, FIRST + ONE_DAY, FIRST + ONE_DAY, 1, 1))
    kept = read_rows(
        home.settings.warehouse_path, "SELECT campaign_id, other_fields FROM campaign_insights ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in kept] == [("c0", None), ("c1", '{"brand_new_clicks":"42"}'), ("c2", None)]

    # Today the catalogue learns the field, and the report asks for it.
    new = Field(
        name="brand_new_clicks",
        kind=Kind.NUMBER,
        unit=Unit.COUNT,
        group="clicks",
        additive=True,
        level=Level.ACCOUNT,
        listed="sdk",
        description="New.",
    )
    known = MappingProxyType({**insights_fields(), new.name: new})
    for module in (fields, reports):
        monkeypatch.setattr(module, "insights_fields", lambda: known)
    today = tuple(
        report.model_copy(update={"fields": (*report.fields, new.name)}) if report.name == CAMPAIGNS.name else report
        for report in builtin_reports()
    )
    monkeypatch.setattr(schema, "builtin_reports", lambda: today)
    assert run_replay(home.settings, today).state == "complete"
    found = read_rows(
        home.settings.snapshot_path,
        "SELECT campaign_id, date_start, brand_new_clicks, withheld_fields, other_fields FROM campaign_insights ORDER BY ALL",
    )
    # Meta leaves out counts that are 0, and what it never sent is not known.
    assert [tuple(row.values()) for row in found] == [
        ("c0", FIRST + ONE_DAY, None, new.name, None),
        ("c1", FIRST, 42, None, None),
        ("c2", FIRST, 0, None, None),
    ]
    earlier = read_rows(home.settings.snapshot_path, "SELECT brand_new_clicks FROM campaign_insights_history")
    assert earlier == [{"brand_new_clicks": 41}]


def test_pages_of_a_report_that_is_another_one_today_leave_its_days_as_they_were(
    home: ArchivedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    (file,) = home.files()
    target = file.parent.with_name("adset_insights")
    file.parent.rename(target)
    receipt = replayed(home)
    (left,) = receipt.left_out
    assert "campaign level" in left.reason
    assert receipt.state == "partial"


# ---- harm ----


def test_a_damaged_file_is_named_and_its_days_stay_as_they_were(
    home: ArchivedHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for hour in range(4):
        home.merge(answer(NOON + hour * HOUR, FIRST, FIRST + ONE_DAY, 1 + hour % 2, hour + 1))
        home.merge(answer(NOON + hour * HOUR, FIRST, FIRST, 1 + hour % 2, hour + 1, "2"))
        home.refresh(refresh_of(NOON + hour * HOUR, {"a": f"A{hour}"}, full=True))
    before = home.dump()
    (damaged, *_) = [file for file in home.files() if "act_1" in str(file)][1:]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    refresh = home.files("entities")[2]
    refresh.write_bytes(b"")
    stranger = damaged.with_name("copy-of-something.zst")
    stranger.write_bytes(b"")
    for name, value in (
        ("META_INSIGHTS_MODE", "live"),
        ("META_INSIGHTS_HOME", str(home.folder)),
        ("META_ACCESS_TOKEN", "token-123"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home.folder)
    assert run(["replay", "--json"]) == 1
    shown = capsys.readouterr()
    receipt = ReplayReceipt.model_validate_json(shown.out)
    assert {one.file for one in receipt.left_out} == {str(damaged), str(refresh), str(stranger)}
    assert (receipt.state, receipt.days_taken_over, receipt.accounts_taken_over) == ("partial", 2, 1)
    sentence = shown.err.splitlines()[-1]
    assert "3 archived files could not be used, and their days are as they were before" in sentence
    assert str(damaged) in sentence
    assert home.dump() == before
    assert dump(home.settings.snapshot_path) == before


def test_the_command_prints_what_was_rebuilt(
    home: ArchivedHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    home.merge(answer(NOON + HOUR, FIRST, FIRST, 2, 2))
    monkeypatch.setenv("META_INSIGHTS_MODE", "live")
    monkeypatch.setenv("META_INSIGHTS_HOME", str(home.folder))
    monkeypatch.chdir(home.folder)
    assert run(["replay"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 archived answers of 2 merges, ")
    assert "campaign_insights              2                 1" in [line.rstrip() for line in lines]
    assert str(home.folder / "warehouse.duckdb.before-replay.bak") in lines[-2]


def test_without_an_archive_nothing_is_replayed_and_everything_stays(home: ArchivedHome) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1), archived=False)
    before = home.dump()
    with pytest.raises(ReplayError, match="holds no pages of live mode"):
        run_replay(home.settings)
    assert home.dump() == before
    assert not (home.folder / "warehouse.duckdb.before-replay.bak").exists()
    assert not list(home.folder.glob(".warehouse*"))


def test_a_warehouse_of_the_other_mode_is_not_replaced(home: ArchivedHome) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    stub = Settings(_env_file=None, META_INSIGHTS_HOME=home.folder)
    with pytest.raises(ReplayError, match="holds rows of live mode, and META_INSIGHTS_MODE is stub"):
        run_replay(stub)


def test_a_warehouse_that_cannot_be_opened_is_named_with_the_remedy(home: ArchivedHome) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    before = home.dump()["main.campaign_insights"]
    home.settings.warehouse_path.write_bytes(b"no database" * 1000)
    with pytest.raises(WarehouseError, match="rename it and replay again"):
        run_replay(home.settings)
    home.settings.warehouse_path.rename(home.folder / "damaged.duckdb")
    run_replay(home.settings)
    assert home.dump()["main.campaign_insights"] == before


# ---- processes that end before their time ----

KILLED_REPLAY = """
import os, signal, sys
from pathlib import Path
from meta_insights_pipeline.replay import run_replay
from meta_insights_pipeline.settings import load_settings
from meta_insights_pipeline.warehouse import rebuilding, publication
import meta_insights_pipeline.replay as replay

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv[1]
if where == "merge":
    rebuilding.merge_slices = die
elif where == "backup":
    link = Path.hardlink_to
    Path.hardlink_to = lambda self, target: (link(self, target), die())
elif where == "swap":
    put = Path.replace
    Path.replace = lambda self, target: die() if self.name.endswith(".replay") else put(self, target)
elif where == "publish":
    replay.publish = die
run_replay(load_settings(None))
"""


@pytest.mark.parametrize("where", ["merge", "backup", "swap", "publish"])
def test_a_replay_that_is_killed_leaves_a_whole_warehouse_and_the_next_one_succeeds(
    home: ArchivedHome, where: str
) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    home.merge(answer(NOON + HOUR, FIRST, FIRST, 2, 2))
    before = home.dump()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("META_", "DAGSTER_"))} | {
        "META_INSIGHTS_MODE": "live",
        "META_INSIGHTS_HOME": str(home.folder),
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED_REPLAY, where], env=variables, cwd=home.folder, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert home.dump() == before
    replayed(home)
    assert home.dump() == before
    assert dump(home.settings.snapshot_path) == before


KILLED_SYNC = """
import os, signal, sys
from meta_insights_pipeline.archiving import Admission
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.settings import load_settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.sync import SyncRequest, run_sync
import datetime

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv[1]
if where == "marking":
    Admission.mark_merged = die
elif where == "half settled":
    from pathlib import Path
    put = Path.rename
    Path.rename = lambda self, target: (put(self, target), die())
day = datetime.date.fromisoformat(sys.argv[2])
request = SyncRequest(f"sync-{where}", DayRange(day, day), reports_of_levels([Level.ACCOUNT]))
run_sync(load_settings(None), request)
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["marking", "half settled"])
def test_a_sync_that_is_killed_loses_no_page_that_it_merged(tmp_path: Path, where: str) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("META_", "DAGSTER_"))} | {
        "META_INSIGHTS_HOME": str(tmp_path)
    }

    def sync(where: str, day: date) -> int:
        command = [sys.executable, "-c", KILLED_SYNC, where, day.isoformat()]
        return subprocess.run(command, env=variables, cwd=tmp_path, check=False, timeout=120).returncode

    assert sync(where, TODAY - timedelta(days=3)) == -signal.SIGKILL
    assert sync("none", TODAY - timedelta(days=2)) == 0
    before = dump(settings.warehouse_path)
    # Two days of the four accounts of the simulated world.
    assert len(before["pipeline.coverage"]) == 8
    receipt = run_replay(settings)
    assert receipt.files == 8
    assert receipt.days_taken_over == 0
    assert dump(settings.warehouse_path) == before


def test_two_replays_at_once_do_not_meet(home: ArchivedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.merge(answer(NOON, FIRST, FIRST, 2, 1))
    monkeypatch.setattr("meta_insights_pipeline.replay._ARCHIVE_LOCK_SECONDS", 0.1)
    with home.archive.lock(), pytest.raises(ReplayError, match="Another replay"):
        run_replay(home.settings)
    replayed(home)
