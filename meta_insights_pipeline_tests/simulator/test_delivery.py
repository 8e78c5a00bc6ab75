"""The integer model: what nests, what grows, what is corrected, what arrives, and what stays for ever."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from meta_insights_pipeline.simulator import World
from meta_insights_pipeline.simulator.conversions import EVENTS, Conversions
from meta_insights_pipeline.simulator.days import midnight
from meta_insights_pipeline.simulator.delivery import AdDays
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.reach import runs, union_lengths

DELIVERY = ("impressions", "clicks", "inline_link_clicks", "outbound_clicks", "spend", "video_plays", "post_engagement")


def _cells(world: World, place: int, since: date, days: int, at: int) -> AdDays:
    account = world.accounts[place]
    graph = world.graph(account.id)
    first = since.toordinal()
    ads = np.flatnonzero((graph.ads.start_day <= first + days) & (graph.ads.stop_day >= first))
    return AdDays(graph, account.currency, ads, np.arange(first, first + days, dtype=np.int64), at)


def _second(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


@pytest.mark.parametrize("place", range(4))
def test_what_people_do_nests(world: World, place: int) -> None:
    cells = _cells(world, place, date(2026, 10, 20), 40, _second(2026, 11, 22, 15))
    chain = (cells.impressions, cells.clicks, cells.inline_link_clicks, cells.outbound_clicks)
    video = (cells.impressions, cells.video_plays, *(cells.mark(which) for which in range(5)))
    for names in (chain, video, (cells.video_plays, cells.video_views, cells.thruplays)):
        for outer, inner in pairwise(names):
            assert (inner <= outer).all()
            assert (inner >= 0).all()
    assert (cells.page_engagement >= cells.post_engagement).all()
    assert (cells.post_engagement >= cells.inline_link_clicks + cells.video_views).all()
    idle = cells.impressions == 0
    for name in DELIVERY:
        assert (getattr(cells, name)[idle] == 0).all(), name


@pytest.mark.parametrize("place", range(4))
def test_windows_nest_and_follow_the_ad_sets_setting(world: World, place: int) -> None:
    cells = _cells(world, place, date(2026, 10, 20), 34, _second(2026, 11, 22, 15))
    setting = cells.graph.attribution[cells.graph.ads.parent[cells.ads]]
    for event in EVENTS:
        count = Conversions(cells).count(event)
        day, week, month = (count.windows[name] for name in ("1d_click", "7d_click", "28d_click"))
        assert (day <= week).all()
        assert (week <= month).all()
        view = count.windows["1d_view"]
        assert (count.value[:, setting == 0] == (week + view)[:, setting == 0]).all()
        assert (count.value[:, setting == 1] == day[:, setting == 1]).all()
        assert (count.value[:, setting == 2] == week[:, setting == 2]).all()
        assert (count.value[cells.impressions == 0] == 0).all()


def test_today_only_grows_and_begins_at_nothing(world: World) -> None:
    zone, today = world.accounts[0].timezone_name, date(2026, 11, 1)
    begin, end = midnight(zone, today.toordinal()), midnight(zone, today.toordinal() + 1)
    assert end - begin == 25 * 3600
    earlier: dict[str, Ints] = {}
    for at in range(begin, end + 1, 900):
        cells = _cells(world, 0, today, 1, at)
        conversions = Conversions(cells)
        now = {name: getattr(cells, name) for name in DELIVERY}
        now |= {event: conversions.count(event).windows["28d_click"] for event in EVENTS}
        for name, array in earlier.items():
            assert (now[name] >= array).all(), name
        if at == begin:
            assert not any(array.any() for array in now.values())
        earlier = now
    assert earlier["impressions"].sum() > 1000


def test_a_day_is_corrected_downwards_for_three_days_and_then_never(world: World) -> None:
    zone, day = world.accounts[1].timezone_name, date(2026, 10, 10)
    end = midnight(zone, day.toordinal() + 1)
    hourly = [_cells(world, 1, day, 1, end + hour * 3600) for hour in (0, 1, 24, 71, 72, 73, 24 * 90)]
    for name in DELIVERY:
        series = [getattr(cells, name) for cells in hourly]
        for before, after in pairwise(series):
            assert (after <= before).all()
        assert (series[-1] == series[-3]).all()
    first, last = hourly[0].impressions.sum(), hourly[-1].impressions.sum()
    assert first * 98 // 100 <= last < first


def test_now_and_then_a_tiny_day_vanishes_within_three_days(world: World) -> None:
    vanished = 0
    for place in range(4):
        since = date(2026, 3, 1)
        for day in range(60):
            on = since + timedelta(days=day)
            end = midnight(world.accounts[place].timezone_name, on.toordinal() + 1)
            early = _cells(world, place, on, 1, end).impressions
            late = _cells(world, place, on, 1, end + 73 * 3600)
            gone = (early > 0) & (late.impressions == 0)
            vanished += int(gone.sum())
            assert (early[gone] <= 4).all()
    assert vanished >= 5


def test_nothing_changes_once_a_day_is_28_days_old(world: World) -> None:
    zone, day = world.accounts[3].timezone_name, date(2026, 9, 20)
    last = midnight(zone, day.toordinal() + 28)
    moments = [_cells(world, 3, day, 1, at) for at in (last - 900, last, last + 365 * 86400)]
    for event in EVENTS:
        counts = [Conversions(cells).count(event) for cells in moments]
        for count in counts[1:]:
            assert (count.value == counts[0].value).all()
            assert all((count.windows[name] == array).all() for name, array in counts[0].windows.items())
    for name in DELIVERY:
        assert all((getattr(cells, name) == getattr(moments[0], name)).all() for cells in moments)


def test_conversions_still_arrive_between_the_first_and_the_fourth_week(world: World) -> None:
    zone, day = world.accounts[0].timezone_name, date(2026, 9, 20)
    at = [midnight(zone, day.toordinal() + age) for age in (3, 9, 20, 28)]
    totals = [
        int(Conversions(_cells(world, 0, day, 7, moment)).count("purchase").windows["28d_click"].sum()) for moment in at
    ]
    assert totals == sorted(totals)
    assert len(set(totals)) == 4


def test_money_is_worth_about_the_same_in_every_currency(world: World) -> None:
    costs = []
    for place in range(4):
        cells = _cells(world, place, date(2026, 9, 1), 28, _second(2026, 11, 1))
        costs.append(cells.spend.sum() * 1000 / cells.impressions.sum())
    # Minor units a thousand impressions: cents, and yen for the Japanese account.
    assert all(300 < cost < 3500 for cost in costs)


@pytest.mark.parametrize("place", range(4))
def test_reach_counts_people_once(world: World, place: int) -> None:
    cells = _cells(world, place, date(2026, 10, 20), 28, _second(2026, 11, 22))
    first, length = runs(cells)
    assert (length <= cells.impressions).all()
    assert ((length >= 1) == (cells.impressions >= 1)).all()
    days, ads = length.shape

    def union(group: Ints, groups: int) -> Ints:
        return union_lengths(group.ravel(), first.ravel(), length.ravel(), groups)

    everything = int(union(np.zeros_like(first), 1)[0])
    by_day = union(np.broadcast_to(np.arange(days)[:, None], first.shape), days)
    by_ad = union(np.broadcast_to(np.arange(ads)[None, :], first.shape), ads)
    for parts in (by_day, by_ad):
        assert parts.max() <= everything <= parts.sum()
    assert (length.max(axis=0) <= by_ad).all()
    assert (by_ad <= length.sum(axis=0)).all()
    assert everything < length.sum()


def test_union_lengths_agree_with_counting_people_one_by_one() -> None:
    rng = np.random.default_rng(5)
    first, length = rng.integers(0, 60, 200), rng.integers(0, 9, 200)
    group = rng.integers(0, 7, 200)
    people: list[set[int]] = [set() for _ in range(7)]
    for number, start, count in zip(group.tolist(), first.tolist(), length.tolist(), strict=True):
        people[number] |= set(range(start, start + count))
    assert union_lengths(group, first, length, 7).tolist() == [len(each) for each in people]
