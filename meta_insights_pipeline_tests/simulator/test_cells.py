"""What is kept from call to call changes no answer, and does not grow."""

from datetime import date, timedelta

import numpy as np

from meta_insights_pipeline.simulator import Account, SimulatedClock, World, WorldSpec
from meta_insights_pipeline.simulator.cells import CellStore, make_cells
from meta_insights_pipeline_tests.simulator.support import NOW, Api, api, span

DAYS = np.arange(date(2026, 11, 20).toordinal(), date(2026, 11, 23).toordinal(), dtype=np.int64)


def _ads(world: World, account: Account) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    table = world.graph(account.id).ads
    return np.flatnonzero((table.start_day <= DAYS[-1]) & (table.stop_day >= DAYS[0]))


def test_kept_draws_give_the_same_numbers_at_every_step(world: World, account: Account) -> None:
    store, graph, ads = CellStore(), world.graph(account.id), _ads(world, account)
    for step in range(4):
        at = int(NOW.timestamp()) // 900 * 900 + step * 1800
        kept, conversions = store.get(graph, account.currency, ads, DAYS, at)
        made, anew = make_cells(graph, account.currency, ads, DAYS, at)
        for name in ("impressions", "clicks", "outbound_clicks", "spend", "thruplays", "post_engagement"):
            assert (getattr(kept, name) == getattr(made, name)).all(), name
        for window, amount in anew.value("purchase").windows.items():
            assert (conversions.value("purchase").windows[window] == amount).all()
        assert store.get(graph, account.currency, ads, DAYS, at)[0] is kept


def test_no_more_is_kept_than_a_number_of_ad_days(world: World, account: Account) -> None:
    store, graph, ads = CellStore(), world.graph(account.id), _ads(world, account)
    for first in range(int(DAYS[0]) - 2000, int(DAYS[0])):
        days = np.arange(first, first + 4, dtype=np.int64)
        store.get(graph, account.currency, ads, days, int(NOW.timestamp()))
    assert len(store._kept) * len(ads) * 4 <= 65_536
    assert store._size == sum(len(ads) * 4 for _ in store._kept)


def test_answers_of_earlier_hours_are_forgotten_and_reports_still_read(graph: Api, account: Account) -> None:
    clock = graph.simulator.clock
    assert isinstance(clock, SimulatedClock)
    question = {"level": "ad", "fields": "ad_id,spend", "time_range": span(date(2026, 11, 1), date(2026, 11, 22))}
    run = graph.call("POST", f"act_{account.id}/insights", **question).json()["report_run_id"]
    rows = graph.rows(f"{run}/insights")
    results = graph.simulator._results
    for _ in range(20):
        clock.advance(timedelta(hours=1))
        graph.get(f"act_{account.id}/insights", **question)
        assert len(results._plans) <= 3
        assert len(results._texts) <= 3
    assert results._bytes > 0
    assert graph.rows(f"{run}/insights") == rows


def test_many_small_accounts_are_answered_alike_with_and_without_what_is_kept() -> None:
    world = World(WorldSpec(accounts=5, campaigns=2, adsets_per_campaign=2, ads_per_adset=2, always_on=True))
    question = {
        "time_increment": 1,
        "fields": "spend,reach,actions",
        "time_range": span(date(2026, 11, 21), NOW.date()),
    }
    with api(world) as used:
        clock = used.simulator.clock
        assert isinstance(clock, SimulatedClock)
        for _ in range(3):
            clock.advance(timedelta(minutes=30))
            with api(world, clock.now()) as fresh:
                for account in world.accounts:
                    for level in ("account", "campaign", "adset", "ad"):
                        path = f"act_{account.id}/insights"
                        assert used.get(path, level=level, **question) == fresh.get(path, level=level, **question)
