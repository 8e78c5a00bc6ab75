"""Every column of every row of every answer equals what plain queries of the oracle give: for any days, at any moment."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.catalog.entities import EntityKind, Type
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.read_api.oracle import (
    ENTITIES,
    STATUS,
    Oracle,
    Question,
    Row,
    assert_row,
    between,
    is_same,
)
from meta_insights_pipeline_tests.read_api.random_books import DAYS, LAST_DAY, clear, fill
from meta_insights_pipeline_tests.read_api.reading_api import NOW, OpenBooks, ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import Books

pytestmark = pytest.mark.slow


def random_worlds(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


seeds = st.integers(0, 2**32)
FIGURES = ("impressions", "clicks", "spend", "reach", "inline_link_clicks", "purchases", "purchase_value")
RATIOS = ("ctr", "cpc", "cpm", "cpp", "frequency", "roas", "cpa")
FRESH = ("is_final", "collected_at", "changed_at", "withheld_fields")


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Some days, named or counted back, at some moment; often as of an earlier one."""
    now = NOW + timedelta(minutes=draw(st.integers(0, 16 * 60)))
    as_of = draw(st.none() | st.integers(1, 6 * 1440).map(lambda minutes: NOW - timedelta(minutes=minutes)))
    length = draw(st.integers(1, 8))
    if draw(st.booleans()):
        return Question(now, days=length, as_of=as_of)
    until = LAST_DAY - timedelta(days=draw(st.integers(-1, DAYS - 1)))
    return Question(now, (until - timedelta(days=length - 1), until), as_of=as_of)


class World:
    """Books that are written anew for each example."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._snapshot = OpenBooks(books)
        self._api = ReadingApi(self._snapshot)

    def filled(self, seed: int, question: Question) -> tuple[Oracle, ReadingApi]:
        clear(self._books)
        fill(self._books, Random(seed))
        self._books.count_by(*(("lead=lead@7d_click",) if seed % 3 == 0 else ()))
        self._snapshot.renew()
        return Oracle(self._books.connection, question), self._api


@pytest.fixture
def world(shop: Books) -> Iterator[World]:
    yield World(shop)
    shop.count_by()


def at(api: ReadingApi, question: Question) -> dict[str, Any]:
    """Set the clock; gives the parameters."""
    api.app.state.clock = SkippingClock(question.now)
    return question.parameters


def period_of(first: date, last: date, length: int) -> Row:
    return {"date_from": str(first), "date_to": str(last), "days": length}


def only(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


# ---- the overview ----


@random_worlds(8)
@given(seed=seeds, question=questions())
def test_every_column_of_the_overview(world: World, seed: int, question: Question) -> None:
    oracle, api = world.filled(seed, question)
    content = api.get("overview", top=2, **at(api, question))
    since, until = _envelope(oracle)
    back = timedelta(days=question.length)
    assert set(content) == {
        *("period", "previous_period", "compared_days", "as_of", "currencies", "freshness", "notes"),
    }
    assert content["period"] == period_of(since, until, question.length)
    assert content["previous_period"] == period_of(since - back, until - back, question.length)
    assert is_same(content["as_of"], question.as_of and question.as_of.replace(tzinfo=None))
    freshness = oracle.freshness()
    assert len(content["freshness"]) == len(freshness)
    for found, row in zip(content["freshness"], freshness, strict=True):
        for part, expected in zip(found.pop("missing"), row.pop("missing"), strict=True):
            assert_row(part, expected)
        assert_row(found, row)
    shown = {entry["account_currency"] for entry in content["currencies"] if entry["totals"]}
    assert shown == oracle.currencies()
    for entry in content["currencies"]:
        assert set(entry) == {
            *("account_currency", "totals", "previous", "change", "conversions", "daily", "top_campaigns"),
        }
        currency = entry["account_currency"]
        if entry["totals"] is not None:
            _assert_totals(oracle, entry, currency)
        its = f"coalesce(f.account_currency, a.currency) IS NOT DISTINCT FROM {_literal(currency)}"
        _assert_days(oracle, Level.ACCOUNT, entry["daily"], f"{its} AND {oracle.any_days(Level.ACCOUNT)}", "accounts")
        _assert_conversions(
            entry["conversions"], oracle.happened(Level.ACCOUNT, f"{its} AND {oracle.any_days(Level.ACCOUNT)}")
        )
        _assert_best(oracle, entry["top_campaigns"], f"{its} AND {oracle.any_days(Level.CAMPAIGN)}")


def _envelope(oracle: Oracle) -> tuple[date, date]:
    if oracle.question.dates:
        return oracle.question.dates
    first, _ = oracle.question.ending(oracle.oldest)
    _, last = oracle.question.ending(oracle.newest)
    return first, last


def _assert_totals(oracle: Oracle, entry: Row, currency: str | None) -> None:
    totals, previous, over, over_before, is_comparable = oracle.totals(currency)
    assert_row(entry["totals"], totals, currency)
    assert_row(entry["previous"], previous, currency)
    if not is_comparable:
        assert entry["change"] is None
        return
    assert set(entry["change"]) == {*FIGURES, *RATIOS}
    for name, change in entry["change"].items():
        now, before = over[name], over_before[name]
        if now is None or before is None:
            assert change == {"absolute": None, "relative": None}, name
        elif isinstance(now, Decimal):
            assert is_same(change["absolute"], now - before), name
        else:
            assert change["absolute"] == pytest.approx(now - before), name
        if now is not None and before is not None:
            expected = float((now - before) / before) if before else None
            assert change["relative"] == (None if expected is None else pytest.approx(expected)), name


def _assert_days(oracle: Oracle, level: Level, rows: list[Row], where: str, *more: str) -> None:
    days = oracle.ask(f"SELECT DISTINCT f.date_start {oracle.rows(level, where)} ORDER BY 1")
    assert [row["date_start"] for row in rows] == [str(each["date_start"]) for each in days]
    for found, each in zip(rows, days, strict=True):
        day = each["date_start"]
        expected = oracle.figures(level, f"{where} AND {between((day, day))}", is_one_day=True)
        own = {} if "accounts" in more else _currency(oracle, level, f"{where} AND {between((day, day))}")
        assert_row(found, {"date_start": day, **own, **only(expected, *FIGURES, *RATIOS, *FRESH, *more)}, day)


def _currency(oracle: Oracle, level: Level, where: str) -> Row:
    (row,) = oracle.ask(
        f"SELECT any_value(coalesce(f.account_currency, a.currency)) AS account_currency {oracle.rows(level, where)}"
    )
    return row


def _assert_conversions(found: list[Row], expected: list[Row]) -> None:
    assert [row["event"] for row in found] == [row["event"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert_row(one, other, other["event"])


def _assert_best(oracle: Oracle, rows: list[Row], where: str) -> None:
    best = oracle.ask(
        "SELECT f.account_id, f.campaign_id, arg_max(f.campaign_name, f.date_start) AS name "
        f"{oracle.rows(Level.CAMPAIGN, where)} "
        "GROUP BY ALL ORDER BY sum(f.spend) DESC, f.campaign_id LIMIT 2"
    )
    assert [row["campaign_id"] for row in rows] == [row["campaign_id"] for row in best]
    for found, row in zip(rows, best, strict=True):
        known = oracle.attributes(Level.CAMPAIGN, row["campaign_id"])
        name = known["name"] if known and known["name"] is not None else row["name"]
        own = f"{where} AND f.campaign_id = '{row['campaign_id']}'"
        figures = oracle.figures(Level.CAMPAIGN, own, is_one_day=oracle.question.length == 1)
        days = only(figures, *FIGURES, *RATIOS, *FRESH, "days", "first_day", "last_day")
        assert_row(found, {**only(row, "account_id", "campaign_id"), "campaign_name": name, **days})


# ---- one entity ----


@random_worlds(5)
@given(seed=seeds, question=questions())
def test_every_column_of_an_entity_and_what_is_below_it(world: World, seed: int, question: Question) -> None:
    oracle, api = world.filled(seed, question)
    for level in Level:
        for account_id, entity_id in _some(oracle, level, Random(seed), 2):
            content = api.get(f"{level.value}/{entity_id}", **at(api, question))
            days = oracle.own_days(account_id)
            where = f"f.account_id = '{account_id}' AND f.{level.id_field} = '{entity_id}'"
            summary = oracle.summed(level, where, account_id, days)
            currency = _currency(oracle, level, f"{where} AND {between(days)}")
            _assert_head(oracle, content, level, account_id, entity_id, currency["account_currency"])
            assert content["period"] == period_of(*days, question.length)
            assert_row(content["summary"], {**currency, **summary}, (level, entity_id))
            _assert_days(oracle, level, content["daily"], f"{where} AND {between(days)}")
            _assert_conversions(content["conversions"], oracle.happened(level, f"{where} AND {between(days)}"))
            _assert_children(oracle, content["children"], level, account_id, entity_id)
            assert ("as_of" in content["notes"]) == (question.as_of is not None)
            assert (question.length > 1) <= ("several days" in content["notes"].get("reach", ""))


def _some(oracle: Oracle, level: Level, random: Random, count: int) -> list[tuple[str, str]]:
    """Account and id of some entities of a level."""
    found = oracle.ask(
        f"SELECT account_id, {level.id_field} AS id FROM {oracle.table(f'{level.value}_insights')} UNION "
        f"SELECT account_id, {level.id_field} FROM {oracle.table(ENTITIES[level])} ORDER BY ALL"
    )
    chosen = random.sample(found, min(count, len(found)))
    return [(row["account_id"], row["id"]) for row in chosen]


def _assert_head(
    oracle: Oracle, content: Row, level: Level, account_id: str, entity_id: str, currency: str | None
) -> None:
    assert set(content) == {
        *("level", "id", "name", "account_id", "account_currency", "timezone_name", "period", "as_of", "attributes"),
        *("parents", "summary", "daily", "conversions", "children", "notes"),
    }
    known, newest = oracle.attributes(level, entity_id), oracle.newest_insights(level, entity_id)
    source = known or newest or {}
    account = oracle.account(account_id)
    assert (content["level"], content["id"], content["account_id"]) == (level.value, entity_id, account_id)
    assert content["name"] == source["name" if known else f"{level.value}_name"]
    assert content["account_currency"] == (account.currency or currency)
    assert content["timezone_name"] == account.zone
    if known is None:
        assert content["attributes"] is None
    else:
        texts = {each.column for each in _kind(level).attributes if each.type is Type.JSON}
        expected = {name: value for name, value in known.items() if name not in (*_kind(level).key, "name")}
        for name in texts & set(expected):
            expected[name] = expected[name] and orjson.loads(expected[name])
        assert_row(content["attributes"], expected, entity_id)
    assert len(content["parents"]) == level.depth
    for found, parent in zip(content["parents"], Level, strict=False):
        own_id = source[parent.id_field]
        row = (oracle.attributes(parent, own_id) if known is not None else None) or {}
        own_name = row.get("name") if known is not None else source[f"{parent.value}_name"]
        expected = {"level": parent.value, "id": own_id, "name": own_name, "status": row.get(STATUS[parent])}
        assert_row(found, expected, parent)


def _kind(level: Level) -> EntityKind:
    return EntityKind(ENTITIES[level])


def _assert_children(oracle: Oracle, children: Any, level: Level, account_id: str, entity_id: str) -> None:
    if level is Level.AD:
        assert children is None
        return
    assert set(children) == {"level", "items", "next_cursor"}
    below = list(Level)[level.depth + 1]
    assert (children["level"], children["next_cursor"]) == (below.value, None)
    days = oracle.own_days(account_id)
    there = oracle.ask(
        f"SELECT {below.id_field} AS id FROM {oracle.table(ENTITIES[below])} WHERE {level.id_field} = '{entity_id}' UNION "
        f"SELECT f.{below.id_field} {oracle.rows(below)} AND f.{level.id_field} = '{entity_id}' AND {between(days)}"
    )
    assert sorted(row["id"] for row in children["items"]) == sorted(row["id"] for row in there)
    for row in children["items"]:
        assert_row(row, oracle.listed(below, account_id, row["id"], days), row["id"])
    assert [row["spend"] for row in children["items"]] == _falling([row["spend"] for row in children["items"]])


def _falling(values: list[str | None]) -> list[str | None]:
    return sorted(values, key=lambda text: (text is None, -Decimal(text or 0)))


@random_worlds(5)
@given(seed=seeds, question=questions())
def test_every_column_of_recent_rows_from_the_newest_on(world: World, seed: int, question: Question) -> None:
    oracle, api = world.filled(seed, question)
    for level in Level:
        for account_id, entity_id in _some(oracle, level, Random(seed), 1):
            for is_open in (False, True):
                asked = at(api, question)
                if is_open:
                    asked = {name: value for name, value in asked.items() if name == "as_of"}
                content = api.get(f"recent-insights/{entity_id}", **asked)
                currency = content.pop("account_currency")
                days = oracle.own_days(account_id)
                if is_open:
                    days = (date(2000, 1, 1), oracle.own_today(account_id))
                where = f"f.account_id = '{account_id}' AND f.{level.id_field} = '{entity_id}' AND {between(days)}"
                rows = content.pop("items")[::-1]
                _assert_days(oracle, level, rows, where)
                newest = rows[-1]["account_currency"] if rows else None
                assert currency == (oracle.account(account_id).currency or newest)
                content.pop("notes")
                as_of = question.as_of and question.as_of.replace(tzinfo=None)
                assert_row(
                    content,
                    {
                        "level": level.value,
                        "id": entity_id,
                        "account_id": account_id,
                        "as_of": as_of,
                        "next_cursor": None,
                    },
                )


# ---- lists ----


@random_worlds(8)
@given(seed=seeds, question=questions())
def test_every_column_of_the_accounts_and_of_what_a_search_finds(world: World, seed: int, question: Question) -> None:
    oracle, api = world.filled(seed, question)
    content = api.get("accounts", **at(api, question))
    assert content["period"] == period_of(*_envelope(oracle), question.length)
    there = oracle.ask(
        f"SELECT account_id FROM {oracle.table('ad_accounts')} UNION "
        f"SELECT f.account_id {oracle.rows(Level.ACCOUNT)} AND {oracle.any_days(Level.ACCOUNT)}"
    )
    assert sorted(row["id"] for row in content["items"]) == sorted(row["account_id"] for row in there)
    for row in content["items"]:
        days = oracle.days(row["id"])
        expected = oracle.listed(Level.ACCOUNT, row["id"], row["id"], days)
        assert_row(row, {**expected, "date_from": days[0], "date_to": days[1]}, row["id"])
    as_of = {name: value for name, value in question.parameters.items() if name == "as_of"}
    for text in ("Summer", "11", "=1"):
        found = api.get("search", q=text, limit=100, **as_of)["items"]
        expected_rows = [row for level in Level for row in _matches(oracle, level, text)]
        expected_rows.sort(key=lambda row: row.pop("rank"))
        assert len(found) == len(expected_rows)
        for one, other in zip(found, expected_rows, strict=True):
            assert_row(one, other, text)


def _matches(oracle: Oracle, level: Level, text: str) -> Iterator[Row]:
    for row in oracle.ask(f"SELECT * FROM {oracle.table(ENTITIES[level])}"):
        own_id, name = row[level.id_field], row["name"]
        if own_id.startswith(text) or (name is not None and text.lower() in name.lower()):
            lower = (name or "").lower()
            best = 0 if own_id == text else 1 if lower == text.lower() else 2 if lower.startswith(text.lower()) else 3
            yield {
                "rank": (best, level.depth, name is None, name or "", row["account_id"], own_id),
                "level": level.value,
                "id": own_id,
                "name": name,
                "account_id": row["account_id"],
                "campaign_id": row.get("campaign_id"),
                "adset_id": row.get("adset_id"),
                "effective_status": row[STATUS[level]],
                "is_deleted": row["is_deleted"],
            }


@random_worlds(5)
@given(seed=seeds, question=questions())
def test_every_column_of_the_ledger(world: World, seed: int, question: Question) -> None:
    oracle, api = world.filled(seed, question)
    content = api.get("reconciliation", limit=1000, **at(api, question))
    assert content["period"] == period_of(*_envelope(oracle), question.length)
    lines = oracle.ask(
        f"SELECT * EXCLUDE (run_id) FROM {oracle.table('reconciliation')} "
        "ORDER BY date_start DESC, account_id, level, metric"
    )
    expected = [
        row
        for row in lines
        if oracle.days(row["account_id"])[0] <= row["date_start"] <= oracle.days(row["account_id"])[1]
    ]
    assert len(content["items"]) == len(expected)
    for found, row in zip(content["items"], expected, strict=True):
        assert_row(found, row)


# ---- tables ----


@random_worlds(4)
@given(seed=seeds, question=questions())
def test_every_part_as_csv_has_the_rows_and_columns_that_json_has(world: World, seed: int, question: Question) -> None:
    oracle, api = world.filled(seed, question)
    asked = at(api, question)
    overview = api.get("overview", **asked)
    money = "account_currency"

    def of_all(name: str) -> list[Row]:
        return [{money: entry[money], **row} for entry in overview["currencies"] for row in entry[name]]

    totals = [
        {money: entry[money], "is_current": name == "totals", **entry[name]}
        for entry in overview["currencies"]
        for name in ("totals", "previous")
        if entry[name]
    ]
    # Texts that a spreadsheet would run are written with ' before them.
    missing = [{"account_id": row["account_id"], **part} for row in overview["freshness"] for part in row["missing"]]
    freshness = [{name: value for name, value in row.items() if name != "missing"} for row in overview["freshness"]]
    parts = {name: of_all(name) for name in ("daily", "conversions", "top_campaigns")}
    for part, rows in {**parts, "totals": totals, "freshness": freshness, "missing": missing}.items():
        _assert_lines(api.ask("overview", format="csv", part=part, **asked).text, rows, part)
    for level in Level:
        for _, entity_id in _some(oracle, level, Random(seed), 1):
            path = f"{level.value}/{entity_id}"
            content = api.get(path, **asked)
            tables = {
                "daily": content["daily"],
                "summary": [content["summary"]],
                "conversions": [
                    {money: _own_currency(oracle, level, entity_id, content), **row} for row in content["conversions"]
                ],
                **({"children": content["children"]["items"]} if content["children"] else {}),
            }
            for part, rows in tables.items():
                _assert_lines(api.ask(path, format="csv", part=part, **asked).text, rows, (path, part))
            recent = api.get(f"recent-insights/{entity_id}", **asked)["items"]
            _assert_lines(api.ask(f"recent-insights/{entity_id}", format="csv", **asked).text, recent, path)
    for path in ("accounts", "reconciliation"):
        _assert_lines(api.ask(path, format="csv", **asked).text, api.get(path, limit=1000, **asked)["items"], path)


def _own_currency(oracle: Oracle, level: Level, entity_id: str, content: Row) -> str | None:
    """The currency of an account is one, also on days whose row does not say it."""
    days = oracle.own_days(content["account_id"])
    (row,) = oracle.ask(
        f"SELECT max(coalesce(f.account_currency, a.currency)) AS currency {oracle.rows(level)} "
        f"AND f.{level.id_field} = '{entity_id}' AND {between(days)}"
    )
    currency: str | None = row["currency"]
    return currency


def _assert_lines(text: str, rows: list[Row], about: object) -> None:
    lines = csv.DictReader(io.StringIO(text, newline=""))
    found = list(lines)
    assert len(found) == len(rows), about
    for line, row in zip(found, rows, strict=True):
        assert set(line) == set(row), about
        for name, value in row.items():
            assert line[name] == _cell(value) or line[name] == f"'{value}", (about, name, line[name], value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _literal(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"


# ---- what the oracle itself must do ----


def test_the_oracle_does_not_let_a_column_pass_that_nobody_checks() -> None:
    assert_row({"a": 1, "b": "1.5"}, {"a": 1, "b": Decimal("1.5")})
    for found, expected in (({"a": 1, "b": 2}, {"a": 1}), ({"a": 1}, {"a": 1, "b": None}), ({"a": "1"}, {"a": 1})):
        with pytest.raises(AssertionError):
            assert_row(found, expected)
    for text in ("1.50", "1.", "15E-1", 1.5):
        assert not is_same(text, Decimal("1.5"))
    assert is_same("2026-11-03T01:02:03Z", datetime(2026, 11, 3, 1, 2, 3, tzinfo=UTC).replace(tzinfo=None))
