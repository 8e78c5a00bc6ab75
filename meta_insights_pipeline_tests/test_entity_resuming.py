"""Entity lists that take more calls than one sync may make: the next sync goes on where the last one stopped."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector import entities
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.entity_truth import entity_truth
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.comparison import Row, read_rows
from meta_insights_pipeline_tests.graph_api.support import SharedClock
from meta_insights_pipeline_tests.live import TOKEN, yesterday_noon

BELOW_ACCOUNT = (EntityKind.CAMPAIGNS, EntityKind.ADSETS, EntityKind.ADS)
LARGE = WorldSpec(accounts=1, campaigns=10, adsets_per_campaign=2, ads_per_adset=5, always_on=True)


@dataclass
class Hours:
    """Syncs of one level of one account, an hour apart."""

    simulator: Simulator
    settings: Settings
    clock: SharedClock
    since: date
    syncs: int = 0

    def sync(self) -> Receipt:
        self.syncs += 1
        if self.syncs > 1:
            self.clock.sleep(3600.0)
        request = SyncRequest(
            f"hour-{self.syncs}",
            DayRange(self.since, self.since),
            reports_of_levels([Level.ACCOUNT]),
            entities_every=timedelta(0),
        )
        return run_sync(self.settings, request, clock=self.clock).receipt

    def rows(self, statement: str) -> list[Row]:
        return read_rows(self.settings.snapshot_path, statement)

    def stored(self, kind: EntityKind) -> set[tuple[str, str, str]]:
        rows = self.rows(f"SELECT {kind.id_column} AS id, name, effective_status FROM {kind.value}")
        return {(row["id"], row["name"], row["effective_status"]) for row in rows}

    def truth(self, kind: EntityKind, at: datetime | None = None) -> set[tuple[str, str, str]]:
        (account,) = self.simulator.world.accounts
        rows = entity_truth(self.simulator.world, kind.value, account.id, at or self.clock.now())
        return {(row["id"], row["name"], row["effective_status"]) for row in rows if row["listed"]}

    def asked(self, edge: str) -> Sequence[str | None]:
        """The cursor of every call of an edge."""
        found = self.simulator.requests
        return [one.params.get("after") for one in found if one.path.endswith(f"/{edge}")]


@contextmanager
def hours(
    home: Path, spec: WorldSpec = LARGE, *, score_limit: bool = False, at: datetime | None = None
) -> Iterator[Hours]:
    clock = SimulatedClock(at or yesterday_noon())
    simulator = Simulator(World(spec), clock, access_token=TOKEN, tier="development_access", score_limit=score_limit)
    with SimulatorServer(simulator) as server:
        settings = Settings(
            _env_file=None,
            META_INSIGHTS_MODE="live",
            META_ACCESS_TOKEN=TOKEN,
            META_GRAPH_API_URL=server.url,
            META_INSIGHTS_HOME=home,
        )
        yield Hours(simulator, settings, SharedClock(clock), clock.now().date() - timedelta(days=40))


def test_an_account_on_the_lowest_tier_is_listed_over_several_syncs_and_no_page_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 1)
    with hours(tmp_path, score_limit=True) as on:
        receipts = [on.sync()]
        lacking = on.rows("SELECT table_name, entity_id, reason FROM pipeline.missing_entities")
        assert [(row["table_name"], row["entity_id"]) for row in lacking] == [("ads", None)]
        assert "a limit that insights share" in lacking[0]["reason"]
        some = on.stored(EntityKind.ADS)
        while receipts[-1].state != "complete":
            receipts.append(on.sync())
            assert on.stored(EntityKind.ADS) > some
            some = on.stored(EntityKind.ADS)
        ads = len(on.truth(EntityKind.ADS))
        assert [receipt.state for receipt in receipts] == ["partial", "partial", "complete"]
        assert [one.account_id for one in receipts[0].not_refreshed] == [on.simulator.world.accounts[0].id]
        # The rest of the score is the insights'.
        assert max(receipt.calls["entities"] for receipt in receipts) <= 60 * 0.8
        assert on.rows("SELECT * FROM pipeline.missing_entities") == []
        for kind in BELOW_ACCOUNT:
            assert on.stored(kind) == on.truth(kind)
        cursors = on.asked("ads")
        assert len(cursors) == len(set(cursors)) >= ads
        assert len(on.asked("campaigns")) == len(on.asked("adsets")) == 1
        assert not on.simulator.calls_while_blocked
        assert list(on.settings.pages_path.glob("lists/*")) == []


def test_what_changed_is_stored_although_the_refresh_that_read_it_was_interrupted(tmp_path: Path) -> None:
    # An ad set is paused at 12:30 in New York.
    with hours(tmp_path, WorldSpec(accounts=1), at=datetime(2026, 11, 3, 12, 7, tzinfo=UTC)) as on:
        assert on.sync().state == "complete"
        before = on.truth(EntityKind.ADSETS)
        on.simulator.faults.add("graph_error", path="/ads$", code=2, times=None)
        on.clock.sleep(timedelta(hours=6).total_seconds())
        assert on.sync().state == "partial"
        changed = on.truth(EntityKind.ADSETS) - before
        assert changed
        on.simulator.faults.clear()
        assert on.sync().state == "complete"
        assert on.stored(EntityKind.ADSETS) >= changed
