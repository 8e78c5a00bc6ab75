"""Every figure of every answer equals what a query of its own over the tables gives."""

from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import KINDS
from meta_insights_pipeline_tests.read_api.oracle import Oracle, assert_figures
from meta_insights_pipeline_tests.read_api.random_books import DAYS, LAST_DAY, clear, fill
from meta_insights_pipeline_tests.read_api.reading_api import OpenBooks, ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import Books

ONE_DAY = (LAST_DAY - timedelta(days=2), LAST_DAY - timedelta(days=2))
WEEK = (LAST_DAY - timedelta(days=7), LAST_DAY - timedelta(days=1))
random_worlds = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
seeds = st.integers(0, 2**32)
periods = st.sampled_from([ONE_DAY, WEEK])


def asked(period: tuple[date, date]) -> dict[str, str]:
    return {"date_from": str(period[0]), "date_to": str(period[1])}


def currency_is(currency: str | None) -> str:
    return f"coalesce(f.account_currency, a.currency) IS NOT DISTINCT FROM {'NULL' if currency is None else repr(currency)}"


class World:
    """Books that are written anew for each example."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._snapshot = OpenBooks(books)
        self._api = ReadingApi(self._snapshot)

    def filled(self, seed: int) -> tuple[Books, ReadingApi]:
        clear(self._books)
        fill(self._books, Random(seed))
        self._snapshot.renew()
        return self._books, self._api


@pytest.fixture
def world(shop: Books) -> World:
    return World(shop)


@random_worlds
@given(seed=seeds, period=periods)
def test_totals_days_and_top_campaigns_of_the_overview_are_the_sums_of_each_currency(
    world: World, seed: int, period: tuple[date, date]
) -> None:
    books, api = world.filled(seed)
    content = api.get("overview", top=2, **asked(period))
    since, until = period
    length = (until - since).days + 1
    before = (since - timedelta(days=length), since - timedelta(days=1))
    assert content["previous_period"] == {**asked(before), "days": length}
    all_currencies = books.connection.execute(
        "SELECT DISTINCT coalesce(f.account_currency, a.currency) FROM account_insights AS f LEFT JOIN ad_accounts AS a "
        f"USING (account_id) WHERE date_start BETWEEN DATE '{before[0]}' AND DATE '{until}'"
    ).fetchall()
    shown = {entry["account_currency"] for entry in content["currencies"] if entry["totals"] or entry["previous"]}
    assert shown == {currency for (currency,) in all_currencies}
    for entry in content["currencies"]:
        where = currency_is(entry["account_currency"])
        for name, days in (("totals", period), ("previous", before)):
            oracle = Oracle(books.connection, Level.ACCOUNT, where, *days)
            if entry[name] is None:
                assert oracle.value("count(*)") == 0
            else:
                assert_figures(entry[name], oracle.figures())
                assert entry[name]["accounts"] == oracle.value("count(DISTINCT f.account_id)")
                assert entry[name]["days"] == oracle.value("count(DISTINCT f.date_start)")
        for row in entry["daily"]:
            day = date.fromisoformat(row["date_start"])
            assert_figures(row, Oracle(books.connection, Level.ACCOUNT, where, day, day).figures())
        assert len(entry["daily"]) == Oracle(books.connection, Level.ACCOUNT, where, *period).value(
            "count(DISTINCT f.date_start)"
        )
        best = books.connection.execute(
            f"SELECT f.campaign_id FROM campaign_insights AS f LEFT JOIN ad_accounts AS a USING (account_id) WHERE {where} AND "
            f"f.date_start BETWEEN DATE '{since}' AND DATE '{until}' GROUP BY 1 ORDER BY sum(f.spend) DESC, 1 LIMIT 2"
        ).fetchall()
        assert [row["campaign_id"] for row in entry["top_campaigns"]] == [campaign for (campaign,) in best]
        for row in entry["top_campaigns"]:
            own = f"{where} AND f.campaign_id = '{row['campaign_id']}'"
            assert_figures(row, Oracle(books.connection, Level.CAMPAIGN, own, *period).figures())


@random_worlds
@given(seed=seeds, period=periods)
def test_the_change_is_the_difference_of_both_periods_and_null_where_there_is_none(
    world: World, seed: int, period: tuple[date, date]
) -> None:
    _, api = world.filled(seed)
    for entry in api.get("overview", **asked(period))["currencies"]:
        for name, change in entry["change"].items():
            now, before = (entry[each][name] if entry[each] else None for each in ("totals", "previous"))
            if now is None or before is None:
                assert change == {"absolute": None, "relative": None}
            elif isinstance(now, str):
                assert Decimal(change["absolute"]) == Decimal(now) - Decimal(before)
                assert not ("." in change["absolute"] and change["absolute"].endswith(("0", ".")))
            else:
                assert change["absolute"] == pytest.approx(now - before)
            if now is not None and before is not None:
                assert (change["relative"] is None) == (float(before) == 0)
                if change["relative"] is not None:
                    assert float(before) * (1 + change["relative"]) == pytest.approx(float(now), abs=1e-6)


@random_worlds
@given(seed=seeds, period=periods)
def test_an_entity_and_its_children_have_the_sums_of_their_own_rows(
    world: World, seed: int, period: tuple[date, date]
) -> None:
    books, api = world.filled(seed)
    for level in Level:
        ids = books.connection.execute(
            f"SELECT account_id, {level.id_field} FROM {level.value}_insights UNION "
            f"SELECT account_id, {level.id_field} FROM {KINDS[level].value} ORDER BY ALL"
        ).fetchall()
        for account_id, entity_id in ids[:3]:
            content = api.get(f"{level.value}/{entity_id}", **asked(period))
            own = f"f.{level.id_field} = '{entity_id}'"
            oracle = Oracle(books.connection, level, own, *period)
            assert_figures(content["summary"], oracle.figures())
            assert content["account_id"] == account_id
            assert len(content["daily"]) == content["summary"]["days"] == oracle.value("count(*)")
            for row in content["daily"]:
                day = date.fromisoformat(row["date_start"])
                assert_figures(row, Oracle(books.connection, level, own, day, day).figures())
            assert ("reach" in content["notes"]) == (period != ONE_DAY)
            assert_children(books, content, level, entity_id, period)


def assert_children(
    books: Books, content: dict[str, Any], level: Level, entity_id: str, period: tuple[date, date]
) -> None:
    if level is Level.AD:
        assert content["children"] is None
        return
    below = list(Level)[level.depth + 1]
    assert content["children"]["level"] == below.value
    for row in content["children"]["items"]:
        own = f"f.{below.id_field} = '{row['id']}' AND f.{level.id_field} = '{entity_id}'"
        assert_figures(row, Oracle(books.connection, below, own, *period).figures())
    there = books.connection.execute(
        f"SELECT {below.id_field} FROM {below.value}s WHERE {level.id_field} = '{entity_id}' UNION "
        f"SELECT {below.id_field} FROM {below.value}_insights WHERE {level.id_field} = '{entity_id}' "
        f"AND date_start BETWEEN DATE '{period[0]}' AND DATE '{period[1]}'"
    ).fetchall()
    assert sorted(row["id"] for row in content["children"]["items"]) == sorted(child for (child,) in there)


@random_worlds
@given(seed=seeds, period=periods)
def test_conversions_are_summed_by_their_one_action_type_in_all_and_by_window(
    world: World, seed: int, period: tuple[date, date]
) -> None:
    books, api = world.filled(seed)
    types = {"purchase": "omni_purchase", "lead": "lead", "link_click": "link_click"}
    for (campaign,) in books.connection.execute(
        "SELECT DISTINCT campaign_id FROM campaign_insights ORDER BY 1"
    ).fetchall():
        found = {row["event"]: row for row in api.get(f"campaign/{campaign}", **asked(period))["conversions"]}
        withheld = (
            Oracle(books.connection, Level.CAMPAIGN, f"f.campaign_id = '{campaign}'", *period)
            .value("coalesce(string_agg(withheld_fields, ','), '')")
            .split(",")
        )
        for event, action_type in types.items():
            for field, names in (("actions", "conversions"), ("action_values", "value")):
                for window in ("", "_1d_click", "_7d_click", "_28d_click", "_1d_view"):
                    ((total, rows),) = books.connection.execute(
                        f"SELECT sum(value{window}), count(*) FROM insight_actions WHERE level = 'campaign' AND "
                        f"entity_id = '{campaign}' AND field = '{field}' AND action_type = '{action_type}' AND "
                        f"date_start BETWEEN DATE '{period[0]}' AND DATE '{period[1]}'"
                    ).fetchall()
                    shown = found.get(event, {}).get(names + window)
                    has_money = event != "link_click"
                    if field in withheld or (field == "action_values" and not has_money):
                        assert shown is None
                    elif total is None:
                        assert shown in (None, "0")
                    else:
                        assert Decimal(shown) == total, (event, names, window, rows)


@random_worlds
@given(seed=seeds)
def test_recent_rows_are_all_days_of_an_entity_from_the_newest_on(world: World, seed: int) -> None:
    books, api = world.filled(seed)
    for level in Level:
        ids = books.connection.execute(
            f"SELECT DISTINCT {level.id_field} FROM {level.value}_insights ORDER BY 1"
        ).fetchall()
        for (entity_id,) in ids[:2]:
            rows = api.pages(f"recent-insights/{entity_id}", limit=3)
            days = books.connection.execute(
                f"SELECT date_start FROM {level.value}_insights WHERE {level.id_field} = '{entity_id}' ORDER BY 1 DESC"
            ).fetchall()
            assert [row["date_start"] for row in rows] == [str(day) for (day,) in days]
            for row in rows:
                day = date.fromisoformat(row["date_start"])
                own = f"f.{level.id_field} = '{entity_id}'"
                assert_figures(row, Oracle(books.connection, level, own, day, day).figures())


@random_worlds
@given(seed=seeds)
def test_a_day_is_final_exactly_when_the_report_of_the_day_says_so(world: World, seed: int) -> None:
    books, api = world.filled(seed)
    for (account,) in books.connection.execute("SELECT DISTINCT account_id FROM account_insights").fetchall():
        shown = {row["date_start"]: row for row in api.get(f"recent-insights/{account}")["items"]}
        reported = books.ask(
            f"SELECT date_start, is_final, collected_at FROM account_report WHERE account_id = '{account}'"
        )
        assert len(shown) == len(reported) <= DAYS
        for row in reported:
            assert shown[str(row["date_start"])]["is_final"] == bool(row["is_final"])
