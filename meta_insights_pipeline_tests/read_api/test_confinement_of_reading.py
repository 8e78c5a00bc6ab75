"""Whoever is confined to some ad accounts is answered as if there were no others, at every address."""

from random import Random
from typing import Any

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.read_api.random_books import ACCOUNTS, LAST_DAY, fill, remove_account
from meta_insights_pipeline_tests.read_api.reading_api import OpenBooks, ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import NOON, Books

LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("overview", {"days": 9}),
    *(
        ("overview", {"days": 9, "format": "csv", "part": part})
        for part in ("daily", "totals", "top_campaigns", "freshness")
    ),
    ("overview", {"days": 9, "as_of": NOON.isoformat()}),
    ("accounts", {"sort": "spend"}),
    ("accounts", {"format": "csv"}),
    ("search", {"q": "summer"}),
    ("search", {"q": "2"}),
    ("search", {"q": "3", "format": "csv"}),
    ("reconciliation", {}),
    ("reconciliation", {"format": "csv"}),
)


def entities(books: Books) -> list[tuple[str, Level, str]]:
    """Account, level and id of everything."""
    books.write()
    return [
        (account_id, level, entity_id)
        for level in Level
        for account_id, entity_id in books.connection.execute(
            f"SELECT DISTINCT account_id, {level.id_field} FROM {level.value}_insights ORDER BY ALL"
        ).fetchall()
    ]


@pytest.mark.parametrize(("seed", "own"), [(1, ("11",)), (2, ("11", "33")), (1, ())])
def test_answers_are_those_of_a_warehouse_that_has_no_other_accounts(
    shop: Books, seed: int, own: tuple[str, ...]
) -> None:
    fill(shop, Random(seed), with_all=True)
    snapshot = OpenBooks(shop)
    api = ReadingApi(snapshot)
    things = entities(shop)
    addresses = [f"{level.value}/{entity_id}" for _, level, entity_id in things]
    addresses += [f"recent-insights/{entity_id}" for _, _, entity_id in things]
    asked = [*LISTS, *((address, {"days": 9}) for address in addresses)]
    whole = [api.ask(path, **parameters) for path, parameters in asked]
    with api.seen_by(*own):
        confined = [api.ask(path, **parameters) for path, parameters in asked]
    for account_id in set(ACCOUNTS) - set(own):
        remove_account(shop, account_id)
    snapshot.renew()
    alone = [api.ask(path, **parameters) for path, parameters in asked]
    for (path, _), one, other in zip(asked, confined, alone, strict=True):
        if one.status_code == 404:
            assert other.status_code == 404
            assert one.json()["detail"] == other.json()["detail"]
        else:
            assert (one.status_code, one.content) == (other.status_code, other.content), path
    assert any(answer.content != other.content for answer, other in zip(confined, whole, strict=True))


def test_a_foreign_entity_is_asked_for_by_the_same_queries_as_one_that_does_not_exist(shop: Books) -> None:
    fill(shop, Random(4))
    snapshot = Noting(shop)
    api = ReadingApi(snapshot)
    for account_id, level, entity_id in entities(shop):
        if account_id == "11":
            continue
        for path in (level.value, "recent-insights"):
            with api.seen_by("11"):
                foreign, queries = api.ask(f"{path}/{entity_id}"), snapshot.taken()
                unknown, others = api.ask(f"{path}/{'9' * len(entity_id)}"), snapshot.taken()
            assert foreign.status_code == unknown.status_code == 404
            assert foreign.json()["detail"].replace(entity_id, "") == unknown.json()["detail"].replace(
                "9" * len(entity_id), ""
            )
            assert queries == others


class Noting(OpenBooks):
    """A snapshot that knows what it was asked."""

    def __init__(self, books: Books) -> None:
        super().__init__(books)
        self._asked: list[str] = []

    def rows(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self._asked.append(sql)
        return super().rows(sql, parameters)

    def taken(self) -> list[str]:
        asked, self._asked = self._asked, []
        return [
            sql for sql in asked if not any(word in sql for word in ("conversion_events", "timezone", "duckdb_views"))
        ]


def test_an_account_that_is_named_and_may_not_be_seen_counts_for_nothing(shop: Books, api: ReadingApi) -> None:
    fill(shop, Random(5))
    with api.seen_by("11"):
        foreign = api.ask("overview", account=["22", "33"], date_from=str(LAST_DAY), date_to=str(LAST_DAY))
        unknown = api.ask("overview", account="99", date_from=str(LAST_DAY), date_to=str(LAST_DAY))
    assert foreign.content == unknown.content
    assert foreign.json()["currencies"] == foreign.json()["freshness"] == []


def test_the_newest_day_is_that_of_accounts_that_may_be_seen(shop: Books, api: ReadingApi) -> None:
    # It is the afternoon in UTC, and the next day already in Kiribati.
    shop.account("1", zone="UTC")
    shop.account("2", zone="Pacific/Kiritimati")
    assert api.get("overview", days=1)["period"]["date_to"] == "2026-11-04"
    with api.seen_by("1"):
        assert api.get("overview", days=1)["period"]["date_to"] == "2026-11-03"
