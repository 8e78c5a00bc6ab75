"""Refreshing the entities of an account: what is asked, what it costs, and what becomes of what Meta refuses."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, EntityRow, Ghost, KnownEntities, Recovered
from meta_insights_pipeline.collector import entities
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.entities import Refreshed, fetch_entities, full_listing_is_due
from meta_insights_pipeline.collector.list_book import ListBook
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.errors import (
    BadRequestError,
    BlockedError,
    GraphApiError,
    PermissionDeniedError,
    ThrottleError,
    TooMuchDataError,
)
from meta_insights_pipeline.simulator import (
    SimRequest,
    SimResponse,
    SimulatedClock,
    Simulator,
    SimulatorAdapter,
    World,
    WorldSpec,
    entity_truth,
)
from meta_insights_pipeline.simulator.structure import ACTIVE, DELETED
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock

NOW = datetime(2026, 11, 20, 12, 7, tzinfo=UTC)
CAMPAIGNS, ADSETS, ADS, CREATIVES = (
    EntityKind.CAMPAIGNS,
    EntityKind.ADSETS,
    EntityKind.ADS,
    EntityKind.CREATIVES,
)
WHOLE_CREATIVE = "creative{account_id"
POST_IS_GONE = {"message": "Invalid parameter", "code": 100, "error_subcode": 2446289, "is_transient": False}
TOO_MUCH = {"message": "Please reduce the amount of data you're asking for, then retry your request", "code": 1}


class Peculiar(Simulator):
    """A simulator that refuses every answer which would hold certain creatives whole, as Meta does; keeps all requests."""

    def __init__(self, world: World, clock: SimulatedClock) -> None:
        super().__init__(world, clock)
        self.refused: dict[str, dict[str, Any]] = {}
        """Errors by the id of the creative."""
        self.received: list[SimRequest] = []

    def handle(self, request: SimRequest) -> SimResponse:
        self.received.append(request)
        response = super().handle(request)
        if request.params.get("batch"):
            wanted = json.loads(request.params["batch"])
            elements = json.loads(response.body)
            for element, entry in zip(elements, wanted, strict=True):
                if error := self._error(entry["relative_url"], element["body"]):
                    element |= {"code": 400, "body": json.dumps({"error": error})}
            return replace(response, body=json.dumps(elements).encode())
        error = self._error(request.params.get("fields", ""), response.body.decode())
        return replace(response, status=400, body=json.dumps({"error": error}).encode()) if error else response

    def _error(self, asked: str, body: str) -> dict[str, Any] | None:
        if WHOLE_CREATIVE not in asked and "object_story_spec" not in asked:
            return None
        return next((error for each, error in self.refused.items() if f'"{each}"' in body), None)

    def limits(self, edge: str) -> list[int]:
        """The `limit` of every call of an edge."""
        return [int(each.params["limit"]) for each in self.received if each.path.endswith(f"/{edge}")]


@dataclass
class Talk:
    """A client on a simulator, about the first account."""

    api: GraphApi
    simulator: Peculiar
    clock: SimulatedClock

    @property
    def account(self) -> AdAccount:
        first = self.simulator.world.accounts[0]
        return AdAccount(first.id, first.name, first.currency, first.timezone_name)

    def fetch(self, known: KnownEntities | None = None, *, full: bool = False, **options: Any) -> EntityBatch:
        refreshed = self.refresh(known, full=full, **options)
        if refreshed.interrupted is not None:
            raise refreshed.interrupted
        (batch,) = refreshed.batches
        return batch

    def refresh(self, known: KnownEntities | None = None, *, full: bool = False, **options: Any) -> Refreshed:
        return fetch_entities(
            self.api, self.account, known or KnownEntities(), full=full, now=self.clock.now(), **options
        )

    def fails(self, known: KnownEntities | None = None, *, full: bool = False) -> GraphApiError:
        with pytest.raises(GraphApiError) as caught:
            self.fetch(known, full=full)
        return caught.value

    @property
    def calls(self) -> dict[str, int]:
        return self.api.meter.counts().calls

    def truth(self, kind: EntityKind) -> dict[str, dict[str, Any]]:
        rows = entity_truth(self.simulator.world, kind.value, self.account.id, self.clock.now())
        return {row["id"]: row for row in rows}


@contextmanager
def talk(world: World, at: datetime = NOW) -> Iterator[Talk]:
    clock = SimulatedClock(at)
    simulator = Peculiar(world, clock)
    with GraphApi(
        base_url=simulator.base_url,
        version="v26.0",
        access_token="token-123",
        adapter=SimulatorAdapter(simulator),
        clock=SkippingClock(),
    ) as api:
        yield Talk(api, simulator, clock)


@pytest.fixture(scope="module")
def small() -> World:
    """Two campaigns with two ad sets of two ads each, which never change."""
    return World(WorldSpec(accounts=1, campaigns=2, adsets_per_campaign=2, ads_per_adset=2))


@pytest.fixture(scope="module")
def living() -> World:
    """An account of some hundred ads, in which something happens every day."""
    return World(WorldSpec(accounts=1))


def known_of(batch: EntityBatch) -> KnownEntities:
    """What is known when this batch alone is stored."""

    def ids(kind: EntityKind, *, deleted: bool) -> Iterator[EntityRow]:
        return (row for row in batch.rows.get(kind, ()) if row["is_deleted"] is deleted)

    moments = {kind: [row.get("updated_time") for row in batch.rows.get(kind, ())] for kind in EntityKind}
    return KnownEntities(
        live={
            kind: {str(row[kind.id_column]): _text(row.get(kind.status_column)) for row in ids(kind, deleted=False)}
            for kind in EntityKind
        },
        deleted={kind: frozenset(str(row[kind.id_column]) for row in ids(kind, deleted=True)) for kind in EntityKind},
        updated={kind: max(each) for kind, values in moments.items() if (each := _moments(values))},
        listed_at=batch.collected_at if batch.full else None,
    )


def _moments(values: list[Any]) -> list[datetime]:
    return [value for value in values if isinstance(value, datetime)]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def rows_of(batch: EntityBatch, kind: EntityKind) -> dict[str, EntityRow]:
    found = {str(row[kind.id_column]): row for row in batch.rows[kind]}
    assert len(found) == len(batch.rows[kind])
    return found


def statuses(batch: EntityBatch, kind: EntityKind) -> dict[str, object]:
    return {each: row[kind.status_column] for each, row in rows_of(batch, kind).items()}


# ---- what is asked, and when ----


def test_everything_is_listed_the_first_time_and_then_once_in_each_day_of_the_account() -> None:
    account = AdAccount("1", "Shop", "JPY", "Asia/Tokyo")
    midnight = datetime(2026, 11, 20, 15, tzinfo=UTC)
    before = KnownEntities(listed_at=midnight - timedelta(minutes=1))
    assert full_listing_is_due(KnownEntities(), account, midnight)
    assert not full_listing_is_due(before, account, midnight - timedelta(seconds=1))
    assert full_listing_is_due(before, account, midnight)
    assert not full_listing_is_due(replace(before, listed_at=midnight), account, midnight + timedelta(hours=23))


def test_a_full_listing_of_a_small_account_is_four_calls(small: World) -> None:
    with talk(small) as told:
        batch = told.fetch(full=True)
        assert told.calls == {"entities": 4}
    assert {kind.value: len(rows) for kind, rows in batch.rows.items()} == {
        "ad_accounts": 1,
        "campaigns": 2,
        "adsets": 4,
        "ads": 8,
        "creatives": 8,
    }
    assert (batch.full, batch.collected_at, batch.missing) == (True, NOW, ())


def test_a_refresh_in_between_is_three_calls_and_brings_what_was_changed(small: World) -> None:
    with talk(small) as told:
        first = told.fetch(full=True)
        assert told.calls == {"entities": 4}
        batch = told.fetch(known_of(first))
        assert told.calls == {"entities": 7}
    assert not batch.full
    assert batch.rows[EntityKind.AD_ACCOUNTS] == ()
    margin = entities.UPDATED_MARGIN
    for kind in (CAMPAIGNS, ADSETS, ADS):
        highest = known_of(first).updated[kind]
        recent = {
            each
            for each, row in rows_of(first, kind).items()
            if row["updated_time"] > highest - margin  # type: ignore[operator]
        }
        assert set(rows_of(batch, kind)) == recent


def test_without_a_listing_before_a_refresh_is_a_full_one(small: World) -> None:
    with talk(small) as told:
        assert told.fetch(full=False).full


def test_archived_entities_are_listed_and_deleted_ones_are_not(living: World) -> None:
    with talk(living) as told:
        batch = told.fetch(full=True)
        for kind in (CAMPAIGNS, ADSETS, ADS):
            listed = {each: row["effective_status"] for each, row in told.truth(kind).items() if row["listed"]}
            assert statuses(batch, kind) == listed
    assert "ARCHIVED" in statuses(batch, ADS).values()
    assert "DELETED" not in statuses(batch, ADS).values()
    assert all(row["recovered"] is None for kind in (CAMPAIGNS, ADSETS, ADS) for row in batch.rows[kind])


def test_creatives_come_with_the_ads_and_cost_no_call(small: World) -> None:
    with talk(small) as told:
        batch = told.fetch(full=True)
        edges = {each.path.rpartition("/")[2] for each in told.simulator.received}
        truth = told.truth(CREATIVES)
    assert "adcreatives" not in edges
    assert set(rows_of(batch, CREATIVES)) == {row["creative_id"] for row in batch.rows[ADS]} == set(truth)
    for each, row in rows_of(batch, CREATIVES).items():
        assert (row["title"], row["body"], row["url_tags"]) == tuple(
            truth[each].get(name) for name in ("title", "body", "url_tags")
        )


# ---- interrupted, and gone on with ----


@pytest.fixture
def book(tmp_path: Path) -> Iterator[ListBook]:
    with State.in_memory() as state:
        yield ListBook(state, tmp_path, SkippingClock(NOW), owner="run", is_alive=lambda _: False)


def stop_behind_the_first_page(told: Talk, edge: str) -> None:
    told.simulator.faults.add("graph_error", path=f"/{edge}$", query="after=", code=2, times=None)


def cursors(told: Talk, edge: str) -> list[str | None]:
    return [each.params.get("after") for each in told.simulator.received if each.path.endswith(f"/{edge}")]


def test_an_interrupted_listing_gives_what_it_has_read_and_the_next_one_goes_on_behind_it(
    small: World, book: ListBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 3)
    with talk(small) as told:
        stop_behind_the_first_page(told, "ads")
        first = told.refresh(full=True, book=book)
        (batch,) = first.batches
        assert first.interrupted is not None
        assert first.seen is None
        assert not batch.full
        assert {kind: len(batch.rows[kind]) for kind in (CAMPAIGNS, ADSETS, ADS)} == {CAMPAIGNS: 2, ADSETS: 4, ADS: 3}
        assert [(one.kind, one.id) for one in batch.missing] == [(ADS, None)]
        book.interrupt(told.account.id, is_stored=False)
        told.simulator.faults.clear()
        told.simulator.received.clear()
        told.clock.advance(timedelta(hours=1))
        second = told.refresh(full=True, book=book)
        assert (second.interrupted, second.seen) == (None, NOW)
        # Nothing says that the first batch was stored, so its rows come again, with their own moment.
        old, new = second.batches
        assert [(one.collected_at, one.full) for one in second.batches] == [
            (NOW, False),
            (NOW + timedelta(hours=1), True),
        ]
        assert rows_of(old, ADS) == rows_of(batch, ADS)
        assert {*rows_of(old, ADS), *rows_of(new, ADS)} == set(told.truth(ADS))
        assert cursors(told, "campaigns") == cursors(told, "adsets") == []
        assert None not in cursors(told, "ads")


def test_what_is_stored_is_not_given_again_and_not_taken_for_gone(
    small: World, book: ListBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 3)
    with talk(small) as told:
        stop_behind_the_first_page(told, "ads")
        (batch,) = told.refresh(full=True, book=book).batches
        book.interrupt(told.account.id, is_stored=True)
        told.simulator.faults.clear()
        told.clock.advance(timedelta(hours=1))
        (rest,) = told.refresh(known_of(batch), full=True, book=book).batches
        assert rest.full
        assert rows_of(rest, ADS).keys() == told.truth(ADS).keys() - rows_of(batch, ADS).keys()
        assert rest.rows[CAMPAIGNS] == ()
        assert rest.fetched_by_id == {}


def test_a_cursor_that_leads_nowhere_any_more_costs_the_list_its_pages_and_nothing_else(
    small: World, book: ListBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 3)
    with talk(small) as told:
        stop_behind_the_first_page(told, "ads")
        told.refresh(full=True, book=book)
        told.simulator.faults.clear()
        # As often as it is asked for, with fewer and fewer ads and without their creatives.
        told.simulator.faults.add("graph_error", path="/ads$", query="after=", code=2642, times=3)
        second = told.refresh(full=True, book=book)
        assert second.interrupted is None
        assert set(rows_of(second.batches[-1], ADS)) == set(told.truth(ADS))


def test_nothing_of_an_interrupted_refresh_in_between_is_stored_but_its_pages_are_kept(
    living: World, book: ListBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 2)
    monkeypatch.setattr(entities, "UPDATED_MARGIN", timedelta(days=4))
    with talk(living) as told:
        known = known_of(told.fetch(full=True))
        told.simulator.received.clear()
        stop_behind_the_first_page(told, "ads")
        first = told.refresh(known, book=book)
        (batch,) = first.batches
        assert first.interrupted is not None
        assert batch.rows == {}
        assert [(one.kind, one.id) for one in batch.missing] == [(ADS, None)]
        book.interrupt(told.account.id, is_stored=False)
        told.simulator.faults.clear()
        asked = len(cursors(told, "ads"))
        told.clock.advance(timedelta(hours=1))
        second = told.refresh(known, book=book)
        assert second.interrupted is None
        assert None not in cursors(told, "ads")[asked:]
        assert len(cursors(told, "campaigns")) == 1


def test_what_changed_while_a_refresh_went_on_over_several_syncs_is_asked_for_by_the_next_one(
    small: World, book: ListBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 3)
    with talk(small) as told:
        known = known_of(told.fetch(full=True))
        # An object of the last page is newer than what was read hours before.
        known = replace(known, updated=dict.fromkeys(known.updated, NOW + timedelta(hours=6)))
        book.close(told.account.id, NOW)
        told.simulator.received.clear()
        told.refresh(known, book=book)
        (rule,) = json.loads(
            next(each.params["filtering"] for each in told.simulator.received if each.path.endswith("/ads"))
        )
        assert rule["value"] == int((NOW - entities.UPDATED_MARGIN).timestamp())


def test_listing_leaves_a_quarter_of_what_it_shares_to_insights_but_reads_some_pages_in_any_case(
    small: World, book: ListBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "HEAVY_PAGE_OBJECTS", 1)
    with talk(small) as told:
        usage = {"acc_id_util_pct": 76, "reset_time_duration": 300}
        told.simulator.faults.add("headers", times=None, headers={"x-ad-account-usage": json.dumps(usage)})
        first = told.refresh(full=True, book=book)
        assert isinstance(first.interrupted, BlockedError)
        assert "insights share" in str(first.interrupted)
        # The lists of campaigns and ad sets are one page each.
        assert len(first.batches[0].rows[ADS]) == entities.PAGES_AT_LEAST - 2
        assert told.calls == {"entities": 1 + entities.PAGES_AT_LEAST}


# ---- what a parent passes down ----


def paused(world: World) -> tuple[str, datetime]:
    """A campaign that is paused while its ad sets and ads are active, and when."""
    graph = world.graph(world.accounts[0].id)
    for place, moment in sorted(enumerate(graph.campaigns.paused.tolist()), key=lambda each: each[1]):
        at = datetime.fromtimestamp(moment, UTC) if moment < 1 << 40 else NOW
        adsets = (graph.adsets.parent == place) & (graph.effective_status("adset", moment - 1) == ACTIVE)
        lasting = adsets & (graph.adsets.paused > moment + 3600)
        if datetime(2024, 1, 1, tzinfo=UTC) < at < NOW and lasting.any():
            return graph.campaigns.ids[place], at
    raise AssertionError("no campaign is paused before its ad sets")


def test_ads_whose_campaign_is_paused_are_refreshed_although_nobody_changed_them(living: World) -> None:
    campaign, at = paused(living)
    with talk(living, at - timedelta(minutes=30)) as told:
        known = known_of(told.fetch(full=True))
        told.clock.set(at + timedelta(minutes=20))
        batch = told.fetch(known)
        assert statuses(batch, CAMPAIGNS)[campaign] == "PAUSED"
        for kind in (ADSETS, ADS):
            truth = {
                each: row["effective_status"]
                for each, row in told.truth(kind).items()
                if row["listed"] and row["campaign_id"] == campaign
            }
            assert truth
            assert truth.items() <= statuses(batch, kind).items()
            assert any(known.live[kind].get(each) != status for each, status in truth.items())


def test_when_many_parents_move_the_lists_below_are_read_whole(living: World) -> None:
    with talk(living) as told:
        first = told.fetch(full=True)
        known = known_of(first)
        before = len(told.simulator.received)
        moved = replace(
            known,
            live={**known.live, CAMPAIGNS: dict.fromkeys(known.live[CAMPAIGNS], "IN_PROCESS")},
            updated={**known.updated, CAMPAIGNS: datetime(2020, 1, 1, tzinfo=UTC)},
        )
        batch = told.fetch(moved)
        paths = [each.path for each in told.simulator.received[before:]]
    assert len(batch.rows[CAMPAIGNS]) > entities.CHANGED_PARENTS_AT_MOST
    assert set(rows_of(batch, ADS)) == set(rows_of(first, ADS))
    assert all(f"act_{told.account.id}/" in path for path in paths)
    assert not batch.full


# ---- by id ----


def test_what_a_full_listing_no_longer_shows_is_read_by_id_with_its_creative(living: World) -> None:
    graph = living.graph(living.accounts[0].id)
    place = next(
        place
        for place, moment in enumerate(graph.ads.deleted.tolist())
        if datetime(2026, 6, 1, tzinfo=UTC).timestamp() < moment < NOW.timestamp()
        and graph.effective_status("ad", moment - 1)[place] != DELETED
    )
    ad = graph.ads.ids[place]
    at = datetime.fromtimestamp(int(graph.ads.deleted[place]), UTC)
    with talk(living, at - timedelta(hours=1)) as told:
        known = known_of(told.fetch(full=True))
        assert ad in known.live[ADS]
        told.clock.set(at + timedelta(hours=1))
        incremental, full = told.fetch(known), told.fetch(known, full=True)
        creative = told.truth(ADS)[ad]["creative"]["id"]
    assert ad not in rows_of(incremental, ADS)
    row = rows_of(full, ADS)[ad]
    assert (row["effective_status"], row["is_deleted"], row["recovered"]) == ("DELETED", True, "by_id")
    assert ad in full.fetched_by_id[ADS]
    assert rows_of(full, CREATIVES)[creative]["recovered"] == "by_id"
    assert told.calls["entity_by_id"] == sum(len(ids) for ids in full.fetched_by_id.values())


def test_fifty_entities_are_read_in_one_request(living: World) -> None:
    with talk(living) as told:
        batch = told.fetch(full=True)
        live = {**known_of(batch).live, ADS: dict.fromkeys((f"1202000309999{n:05d}" for n in range(60)), "ACTIVE")}
        before = len(told.simulator.received)
        told.fetch(replace(known_of(batch), live=live), full=True)
        batches = [each for each in told.simulator.received[before:] if each.params.get("batch")]
    # Twice, as a creative might have been what was refused.
    assert [len(json.loads(each.params["batch"])) for each in batches] == [50, 10, 50, 10]


def test_an_entity_that_only_insights_know_is_read_by_id_with_the_parents_that_are_unknown(living: World) -> None:
    with talk(living) as told:
        known = known_of(told.fetch(full=True))
        ads = told.truth(ADS)
        ad = next(row for row in ads.values() if not row["listed"] and row["adset_id"] not in known.live[ADSETS])
        batch = told.fetch(known, ghosts=[Ghost(ADS, ad["id"], {"name": "Old name"})])
    row = rows_of(batch, ADS)[ad["id"]]
    assert (row["name"], row["effective_status"], row["recovered"]) == (ad["name"], "DELETED", "by_id")
    assert batch.fetched_by_id[ADS] == {ad["id"]}
    assert rows_of(batch, ADSETS)[ad["adset_id"]]["is_deleted"] is True
    assert ad["campaign_id"] in {*known.live[CAMPAIGNS], *rows_of(batch, CAMPAIGNS)}


def test_what_is_stored_already_is_no_ghost(living: World) -> None:
    with talk(living) as told:
        known = known_of(told.fetch(full=True))
        deleted = replace(known, deleted={ADS: frozenset({"gone"})})
        ghosts = [Ghost(ADS, "gone", {}), Ghost(ADS, next(iter(known.live[ADS])), {})]
        assert told.fetch(deleted, ghosts=ghosts).fetched_by_id == {}


def test_an_id_that_meta_does_not_know_becomes_a_row_of_what_insights_know(small: World) -> None:
    lost = "120200030199999999"
    with talk(small) as told:
        known = known_of(told.fetch(full=True))
        adset = next(iter(known.live[ADSETS]))
        campaign = next(iter(known.live[CAMPAIGNS]))
        ghost = Ghost(ADS, lost, {"name": "As it was", "adset_id": adset, "campaign_id": campaign})
        batch = told.fetch(known, ghosts=[ghost])
    assert rows_of(batch, ADS)[lost] == {
        "account_id": told.account.id,
        "ad_id": lost,
        "name": "As it was",
        "adset_id": adset,
        "campaign_id": campaign,
        "is_deleted": True,
        "recovered": Recovered.INSIGHTS,
    }
    assert batch.missing == ()


def test_a_stored_entity_that_meta_does_not_know_any_more_is_kept(small: World) -> None:
    lost = "120200010199999999"
    with talk(small) as told:
        known = known_of(told.fetch(full=True))
        live = {**known.live, CAMPAIGNS: {**known.live[CAMPAIGNS], lost: "ACTIVE"}}
        batch = told.fetch(replace(known, live=live), full=True)
    assert rows_of(batch, CAMPAIGNS)[lost] == {
        "account_id": told.account.id,
        "campaign_id": lost,
        "is_deleted": True,
        "recovered": Recovered.KEPT,
    }


def test_an_entity_that_may_not_be_read_is_missing_and_the_others_come(living: World) -> None:
    with talk(living) as told:
        known = known_of(told.fetch(full=True))
        closed, open_ = [each for each, row in told.truth(CAMPAIGNS).items() if not row["listed"]][:2]
        told.simulator.faults.add("graph_error", path=closed, code=200, status=403, times=None)
        batch = told.fetch(known, ghosts=[Ghost(CAMPAIGNS, closed, {}), Ghost(CAMPAIGNS, open_, {})])
    assert rows_of(batch, CAMPAIGNS)[open_]["recovered"] == "by_id"
    assert closed not in rows_of(batch, CAMPAIGNS)
    assert batch.fetched_by_id[CAMPAIGNS] == {closed, open_}
    assert [(each.kind, each.id) for each in batch.missing] == [(CAMPAIGNS, closed)]


# ---- creatives that Meta refuses ----


@pytest.mark.parametrize("error", [POST_IS_GONE, TOO_MUCH])
def test_a_creative_that_is_refused_is_named_and_everything_else_comes(living: World, error: Mapping[str, Any]) -> None:
    with talk(living) as told:
        whole = told.fetch(full=True)
        ads = list(rows_of(whole, ADS).values())
        bad = {str(ads[place]["creative_id"]) for place in (0, 37, 150, len(ads) - 1)}
        told.simulator.refused = {each: dict(error) for each in bad}
        before = len(told.simulator.received)
        batch = told.fetch(full=True)
        calls = len(told.simulator.received) - before
    assert rows_of(batch, ADS) == rows_of(whole, ADS)
    assert set(rows_of(batch, CREATIVES)) == set(rows_of(whole, CREATIVES)) - bad
    assert {(each.kind, each.id) for each in batch.missing} == {(CREATIVES, each) for each in bad}
    assert all(str(error["message"]) in each.reason for each in batch.missing)
    assert calls < 100


def test_the_page_grows_again_behind_a_refused_creative(living: World) -> None:
    with talk(living) as told:
        first = told.fetch(full=True)
        told.simulator.refused = {str(first.rows[ADS][0]["creative_id"]): POST_IS_GONE}
        told.simulator.received.clear()
        told.fetch(full=True)
        limits = told.simulator.limits("ads")
    assert limits[:8] == [100, 50, 25, 12, 6, 3, 1, 1]
    assert limits[8:15] == [1, 2, 4, 8, 16, 32, 64]
    assert set(limits[15:]) == {100}


def test_when_many_creatives_are_refused_the_rest_is_read_by_id(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entities, "REFUSED_CREATIVES_AT_MOST", 2)
    with talk(small) as told:
        whole = told.fetch(full=True)
        creatives = [str(row["creative_id"]) for row in whole.rows[ADS]]
        told.simulator.refused = dict.fromkeys(creatives[:5], POST_IS_GONE)
        batch = told.fetch(full=True)
    assert rows_of(batch, ADS) == rows_of(whole, ADS)
    assert set(rows_of(batch, CREATIVES)) == set(creatives[5:])
    assert {each.id for each in batch.missing} == set(creatives[:5])
    assert batch.fetched_by_id[CREATIVES] == set(creatives[2:])


def test_an_ad_that_is_read_by_id_comes_without_its_refused_creative(living: World) -> None:
    with talk(living) as told:
        known = known_of(told.fetch(full=True))
        ad = next(row for row in told.truth(ADS).values() if not row["listed"])
        told.simulator.refused = {ad["creative"]["id"]: POST_IS_GONE}
        batch = told.fetch(known, ghosts=[Ghost(ADS, ad["id"], {})])
    assert rows_of(batch, ADS)[ad["id"]]["creative_id"] == ad["creative"]["id"]
    assert [(each.kind, each.id) for each in batch.missing] == [(CREATIVES, ad["creative"]["id"])]


def test_creatives_that_no_ad_uses_are_looked_at_in_turn(living: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entities, "UNLISTED_CREATIVES_AT_MOST", 2)
    with talk(living) as told:
        first = told.fetch(full=True)
        known, used = known_of(first), rows_of(first, CREATIVES)
        unused = [each for each in told.truth(CREATIVES) if each not in used][:3]
        stale = replace(
            known, live={**known.live, CREATIVES: {**dict.fromkeys(unused, "ACTIVE"), **known.live[CREATIVES]}}
        )
        full, incremental = told.fetch(stale, full=True), told.fetch(stale)
        truth = told.truth(CREATIVES)
    assert full.fetched_by_id[CREATIVES] == set(unused[:2])
    for each in unused[:2]:
        assert rows_of(full, CREATIVES)[each]["status"] == truth[each]["status"]
    assert CREATIVES not in incremental.fetched_by_id


# ---- lists that Meta refuses ----


def test_a_list_that_is_too_large_is_read_in_smaller_pages(living: World) -> None:
    with talk(living) as told:
        whole = told.fetch(full=True)
        told.simulator.faults.add(
            "graph_error", path="/adsets$", limit_above=130, code=1, message=TOO_MUCH["message"], times=None
        )
        batch = told.fetch(full=True)
        limits = told.simulator.limits("adsets")
    assert rows_of(batch, ADSETS) == rows_of(whole, ADSETS)
    assert {500, 250, 125} <= set(limits)


def test_an_account_may_hide_what_needs_more_than_ads_read(small: World) -> None:
    with talk(small) as told:
        told.simulator.faults.add("graph_error", query="business{", code=200, status=403, times=None)
        batch = told.fetch(full=True)
    (account,) = batch.rows[EntityKind.AD_ACCOUNTS]
    assert (account["name"], account["business_id"], account["is_prepay_account"]) == (told.account.name, None, None)
    (missing,) = batch.missing
    assert (missing.kind, missing.id) == (EntityKind.AD_ACCOUNTS, told.account.id)


@pytest.mark.parametrize(
    ("path", "fault", "expected"),
    [
        ("/act_[0-9]+$", {"code": 200, "status": 403}, PermissionDeniedError),
        ("/campaigns$", {"code": 200, "status": 403}, PermissionDeniedError),
        ("/adsets$", {"code": 100}, BadRequestError),
        ("/ads$", {"code": 100}, BadRequestError),
        ("/ads$", {"code": 1, "message": TOO_MUCH["message"]}, TooMuchDataError),
        ("/ads$", {"code": 80004, "subcode": 2446079}, ThrottleError),
    ],
)
def test_a_list_that_cannot_be_had_at_all_fails_the_refresh(
    small: World, path: str, fault: dict[str, Any], expected: type[GraphApiError]
) -> None:
    with talk(small) as told:
        told.simulator.faults.add("graph_error", path=path, times=None, **fault)
        assert isinstance(told.fails(full=True), expected)
        assert len(told.simulator.received) < 25


def test_a_limit_that_is_met_while_reading_by_id_fails_the_refresh(small: World) -> None:
    with talk(small) as told:
        known = known_of(told.fetch(full=True))
        told.simulator.faults.add("graph_error", kind="object", code=80004, subcode=2446079, times=None)
        live = {**known.live, CAMPAIGNS: {**known.live[CAMPAIGNS], "120200010199999999": "ACTIVE"}}
        assert isinstance(told.fails(replace(known, live=live), full=True), ThrottleError)


def test_a_passing_fault_while_reading_by_id_is_outlived(living: World) -> None:
    with talk(living) as told:
        known = known_of(told.fetch(full=True))
        campaign = next(row for row in told.truth(CAMPAIGNS).values() if not row["listed"])
        told.simulator.faults.add("graph_error", path=campaign["id"], code=2, status=500, is_transient=True)
        batch = told.fetch(known, ghosts=[Ghost(CAMPAIGNS, campaign["id"], {})])
    assert rows_of(batch, CAMPAIGNS)[campaign["id"]]["name"] == campaign["name"]
    assert batch.missing == ()


def test_a_value_of_a_wrong_form_leaves_the_stored_row_as_it_was(small: World) -> None:
    with talk(small) as told:
        body = json.dumps(
            {
                "data": [
                    {"id": "1", "name": "Good", "status": "ACTIVE"},
                    {"id": "2", "name": "Bad", "daily_budget": "much"},
                ]
            }
        )
        told.simulator.faults.add("text", path="/campaigns$", status=200, body=body)
        batch = told.fetch(full=True)
    assert "2" not in rows_of(batch, CAMPAIGNS)
    assert rows_of(batch, CAMPAIGNS)["1"]["name"] == "Good"
    (missing,) = batch.missing
    assert (missing.kind, missing.id) == (CAMPAIGNS, "2")
    assert "daily_budget" in missing.reason
