"""What answers must say, found out by plain queries of its own over the tables: row by row, and every column of a row.

Nothing here is shared with the code under test but names of tables. `assert_row` fails for a column that is not expected, so that
none can be added to an answer without somebody who checks it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from meta_insights_pipeline.catalog.levels import Level

Row = dict[str, Any]
Days = tuple[date, date]
ENTITIES = {
    Level.ACCOUNT: "ad_accounts",
    Level.CAMPAIGN: "campaigns",
    Level.ADSET: "adsets",
    Level.AD: "ads",
}
STATUS = {level: "status" if level is Level.ACCOUNT else "effective_status" for level in Level}
WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
ADDED = ("impressions", "clicks", "spend", "inline_link_clicks")
ZEROS: Row = {
    **dict.fromkeys(("impressions", "clicks", "inline_link_clicks"), 0),
    **dict.fromkeys(("spend", "purchases", "purchase_value"), Decimal(0)),
}


# ---- comparing ----


def assert_row(found: Mapping[str, Any], expected: Mapping[str, Any], about: object = "") -> None:
    """Every column is expected, and is what is expected."""
    assert set(found) == set(expected), about
    for name, value in expected.items():
        assert is_same(found[name], value), (about, name, found[name], value)


def is_same(found: Any, expected: Any) -> bool:
    """Whether JSON shows a value of the tables."""
    match expected:
        case bool() | None:
            return found is expected
        case float():
            return bool(found == pytest.approx(expected, rel=1e-12))
        case Decimal():
            # In as few digits as it takes.
            return (
                isinstance(found, str)
                and Decimal(found) == expected
                and found == f"{Decimal(found):f}"
                and ("." not in found or not found.endswith(("0", ".")))
            )
        case datetime():
            return bool(found == f"{expected.isoformat()}Z")
        case date():
            return bool(found == expected.isoformat())
        case _:
            return bool(found == expected and type(found) is type(expected))


def ratio(top: Any, bottom: Any, scale: int = 1) -> float | None:
    return None if top is None or not bottom else scale * float(top) / float(bottom)


def with_ratios(row: Row) -> Row:
    """A row of figures with what is divided from them."""
    return {
        **row,
        "ctr": ratio(row["clicks"], row["impressions"], 100),
        "cpc": ratio(row["spend"], row["clicks"]),
        "cpm": ratio(row["spend"], row["impressions"], 1000),
        "cpp": ratio(row["spend"], row["reach"], 1000),
        "frequency": ratio(row["impressions"], row["reach"]),
        "roas": ratio(row["purchase_value"], row["spend"]),
        "cpa": ratio(row["spend"], row["purchases"]),
    }


# ---- asking ----


@dataclass(frozen=True)
class Question:
    """What is asked for."""

    now: datetime
    """By the server's clock."""
    dates: Days | None = None
    days: int = 0
    """That many, today the last, when no dates are named."""
    as_of: datetime | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """As a client says it."""
        named: dict[str, Any] = {"days": self.days}
        if self.dates is not None:
            named = {"date_from": str(self.dates[0]), "date_to": str(self.dates[1])}
        return named if self.as_of is None else {**named, "as_of": self.as_of.isoformat()}

    @property
    def length(self) -> int:
        """How many days."""
        return self.days if self.dates is None else (self.dates[1] - self.dates[0]).days + 1

    def ending(self, today: date) -> Days:
        """The days of an account in which it is this day."""
        return self.dates or (today - timedelta(days=self.days - 1), today)


@dataclass(frozen=True)
class Account:
    """An ad account, as the tables know it now."""

    currency: str | None
    zone: str | None
    today: date


class Oracle:
    """Answers of one moment over the tables of one warehouse."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, question: Question) -> None:
        self._connection = connection
        self.question = question
        moment = question.as_of or question.now
        known = self.ask("SELECT account_id, currency, timezone_name AS zone FROM ad_accounts")
        todays = {row["account_id"]: _today(row["zone"], moment) for row in known}
        # An account of which nothing but figures is known goes with those that are furthest ahead.
        self.newest = max(todays.values(), default=moment.date())
        self.oldest = min(todays.values(), default=moment.date())
        self.utc = moment.date()
        self._accounts = {
            row["account_id"]: Account(row["currency"], row["zone"], todays[row["account_id"]]) for row in known
        }
        self._counted = self.ask("SELECT * FROM conversion_events ORDER BY event")

    def ask(self, statement: str) -> list[Row]:
        """The rows of a query."""
        cursor = self._connection.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def account(self, account_id: str) -> Account:
        """An account, whether the tables know it or not."""
        return self._accounts.get(account_id, Account(None, None, self.newest))

    def days(self, account_id: str) -> Days:
        """The days of an account among others."""
        return self.question.ending(self.account(account_id).today)

    def own_days(self, account_id: str) -> Days:
        """The days of an account that is asked for alone."""
        return self.question.ending(self.own_today(account_id))

    def own_today(self, account_id: str) -> date:
        """The day that it is for an account that is asked for alone."""
        known = self._accounts.get(account_id)
        return known.today if known else self.utc

    # ---- tables of the moment ----

    def table(self, name: str) -> str:
        """A table as it was known at the moment, as SQL."""
        if self.question.as_of is None:
            return name
        ts = f"TIMESTAMP '{self.question.as_of.astimezone(UTC).replace(tzinfo=None).isoformat()}'"
        moments = {
            "pipeline.coverage": "collected_at",
            "pipeline.missing": "noticed_at",
            "reconciliation": "checked_at",
        }
        if name in moments:
            return f"(SELECT * FROM {name} WHERE {moments[name]} <= {ts})"
        began, ended = ("valid_from", "valid_to") if name in ENTITIES.values() else ("changed_at", "superseded_at")
        return (
            f"(SELECT * FROM {name} WHERE {began} <= {ts} UNION ALL BY NAME "
            f"SELECT * EXCLUDE ({ended}) FROM {name}_history WHERE {began} <= {ts} AND {ended} > {ts})"
        )

    def rows(self, level: Level, where: str = "true") -> str:
        """FROM and WHERE of rows of insights `f`, with the account `a` and what was collected `c`."""
        name = f"{level.value}_insights"
        return (
            f"FROM {self.table(name)} AS f LEFT JOIN ad_accounts AS a ON a.account_id = f.account_id "
            f"LEFT JOIN {self.table('pipeline.coverage')} AS c ON c.report = '{name}' AND c.account_id = f.account_id "
            f"AND c.date_start = f.date_start WHERE ({where})"
        )

    def any_days(self, level: Level, shift: int = 0) -> str:
        """The condition that rows are of the days of their account, or of as many days so many times before."""
        accounts = self.ask(f"SELECT DISTINCT account_id FROM {self.table(f'{level.value}_insights')}")
        back = timedelta(days=shift * self.question.length)
        parts = [
            f"(f.account_id = '{one['account_id']}' AND {between((since - back, until - back))})"
            for one in accounts
            for since, until in [self.days(one["account_id"])]
        ]
        return f"({' OR '.join(parts or ['false'])})"

    # ---- figures ----

    def figures(self, level: Level, where: str, *, is_one_day: bool) -> Row:
        """What rows come to: all figures, and how their days were collected. `rows` and `accounts` are how many there are."""
        final = "coalesce((c.collected_at AT TIME ZONE 'UTC' AT TIME ZONE a.timezone_name)::DATE - f.date_start > 28, false)"
        sums = ", ".join(f"sum(f.{name}) FILTER (f.{name} IS NOT NULL) AS {name}" for name in ADDED)
        (row,) = self.ask(
            f"SELECT count(*) AS rows, count(DISTINCT f.account_id) AS accounts, {sums}, any_value(f.reach) AS reach, "
            "count(DISTINCT f.date_start) AS days, min(f.date_start) AS first_day, max(f.date_start) AS last_day, "
            f"bool_and({final}) AS is_final, min(c.collected_at) AS collected_at, max(f.changed_at) AS changed_at, "
            f"string_agg(f.withheld_fields, ',') AS withheld_fields {self.rows(level, where)}"
        )
        withheld = sorted(set((row["withheld_fields"] or "").split(",")) - {""})
        if row["rows"] != 1 or not is_one_day:
            row["reach"] = None
        for name in ("impressions", "clicks", "inline_link_clicks"):
            row[name] = None if row[name] is None else int(row[name])
        for name, field in (("purchases", "actions"), ("purchase_value", "action_values")):
            row[name] = None if field in withheld or not row["rows"] else self.done(level, where, "purchase", field)
        row["withheld_fields"] = ",".join(withheld) or None
        return with_ratios(row)

    def done(self, level: Level, where: str, event: str, field: str) -> Decimal:
        """How often an event happened, or its money, by the number that it is counted by."""
        counted = next(each for each in self._counted if each["event"] == event)
        found = self.actions(level, where, counted["action_type"], field, counted["value_column"])
        return found or Decimal(0)

    def actions(self, level: Level, where: str, action_type: str, field: str, column: str) -> Decimal | None:
        """The sum of a number of actions; None when there is none."""
        ((total,),) = self._connection.execute(
            f"SELECT sum(i.{column}) FROM {self.table('insight_actions')} AS i WHERE i.level = '{level.value}' "
            f"AND i.field = '{field}' AND i.action_type = '{action_type}' AND (i.account_id, i.entity_id, i.date_start) IN "
            f"(SELECT (f.account_id, f.{level.id_field}, f.date_start) {self.rows(level, where)})"
        ).fetchall()
        return total if total is None else Decimal(total)

    def happened(self, level: Level, where: str) -> list[Row]:
        """The rows of conversions."""
        (row,) = self.ask(
            f"SELECT count(*) AS rows, string_agg(f.withheld_fields, ',') AS held {self.rows(level, where)}"
        )
        held = set((row["held"] or "").split(","))
        there = {
            (each["field"], each["action_type"])
            for each in self.ask(
                f"SELECT DISTINCT i.field, i.action_type FROM {self.table('insight_actions')} AS i "
                f"WHERE i.level = '{level.value}' AND (i.account_id, i.entity_id, i.date_start) IN "
                f"(SELECT (f.account_id, f.{level.id_field}, f.date_start) {self.rows(level, where)})"
            )
        }
        found = []
        for each in self._counted if row["rows"] else []:
            # An event without money shows none, whatever its book says.
            money = each["value_field"] if each["event"] in EVENTS_WITH_MONEY else None
            fields = [field for field in (each["count_field"], money) if field]
            if each["count_field"] not in held and not any((field, each["action_type"]) in there for field in fields):
                continue

            def number(field: str | None, column: str, each: Row = each) -> Decimal | None:
                if field is None or field in held:
                    return None
                return self.actions(level, where, each["action_type"], field, column)

            window = each["value_column"].removeprefix("value_")
            count = number(each["count_field"], each["value_column"])
            found.append(
                {
                    "event": each["event"],
                    "action_type": each["action_type"],
                    "counted_within": None if window == "value" else window,
                    "conversions": None if each["count_field"] in held else count or Decimal(0),
                    "value": number(money, each["value_column"]),
                    **{f"conversions_{name}": number(each["count_field"], f"value_{name}") for name in WINDOWS},
                    **{f"value_{name}": number(money, f"value_{name}") for name in WINDOWS},
                }
            )
        return found

    def summed(self, level: Level, where: str, account_id: str, days: Days) -> Row:
        """The figures of an entity over its days, with how many were collected; zeros when all were and nothing came."""
        row = self.figures(level, f"({where}) AND {between(days)}", is_one_day=days[0] == days[1])
        collected = self.collected_days(level, account_id, days)
        if not row["rows"]:
            nothing = ZEROS if collected == (days[1] - days[0]).days + 1 else dict.fromkeys(ZEROS)
            row = with_ratios({**row, **nothing})
        return _without({**row, "collected_days": collected}, "rows", "accounts")

    def collected_days(self, level: Level, account_id: str, days: Days) -> int:
        """How many days of a level were collected."""
        ((count,),) = self._connection.execute(
            f"SELECT count(*) FROM {self.table('pipeline.coverage')} AS f WHERE report = '{level.value}_insights' "
            f"AND account_id = '{account_id}' AND {between(days)}"
        ).fetchall()
        return int(count)

    # ---- the overview ----

    def totals(self, currency: str | None) -> tuple[Row, Row, Row, Row, bool]:
        """Of a currency totals and previous, the same of the days that are compared, and whether these can be."""
        length = self.question.length
        both = self._both_periods()
        accounts = [each for each, its in self._currencies(both).items() if its == currency]
        is_all_over = self.question.dates is not None and self.question.dates[1] < self.oldest
        counts, over_counts, asked, over_asked = [0, 0], [0, 0], 0, 0
        alike, any_over = True, False
        over_where: list[list[str]] = [[], []]
        for each in both:
            since, _ = self.days(each)
            over = length if is_all_over else max(0, min(length, (self.account(each).today - since).days))
            for place, conditions in enumerate(over_where):
                first = since - timedelta(days=place * length)
                conditions.append(f"(f.account_id = '{each}' AND {between((first, first + timedelta(days=over - 1)))})")
            if each not in accounts:
                continue
            booked, collected = both[each]
            if not booked:
                continue
            now = {(day - since).days for day in collected}
            asked, over_asked = asked + length, over_asked + over
            counts[0] += len([place for place in now if place >= 0])
            counts[1] += len([place for place in now if place < 0])
            own = (len([p for p in now if 0 <= p < over]), len([p for p in now if -length <= p < over - length]))
            over_counts = [over_counts[0] + own[0], over_counts[1] + own[1]]
            alike = alike and own[0] == own[1] and own[0] in (0, over)
            any_over = any_over or own[0] > 0
        its = f"coalesce(f.account_currency, a.currency) IS NOT DISTINCT FROM {_literal(currency)}"
        spans = [self.days(each) for each in accounts]
        found = []
        for place in (0, 1):
            back = timedelta(days=place * length)
            found.append(
                self._total(
                    f"{its} AND {self.any_days(Level.ACCOUNT, place)}",
                    asked,
                    counts[place],
                    date_from=min((since - back for since, _ in spans), default=None),
                    date_to=max((until - back for _, until in spans), default=None),
                )
            )
        for place in (0, 1):
            where = f"{its} AND ({' OR '.join(over_where[place] or ['false'])})"
            found.append(self._total(where, over_asked, over_counts[place]))
        return found[0], found[1], found[2], found[3], alike and any_over

    def currencies(self) -> set[str | None]:
        """Those of which there are accounts or rows of accounts."""
        both = self._both_periods()
        rows = self.ask(
            f"SELECT DISTINCT coalesce(f.account_currency, a.currency) AS currency {self.rows(Level.ACCOUNT)} "
            f"AND ({self.any_days(Level.ACCOUNT)} OR {self.any_days(Level.ACCOUNT, 1)})"
        )
        return {row["currency"] for row in rows} | set(self._currencies(both).values())

    def _total(self, where: str, asked: int, collected: int, **span: Any) -> Row:
        row = self.figures(Level.ACCOUNT, where, is_one_day=self.question.length == 1)
        is_whole = asked > 0 and collected == asked
        if not row["rows"]:
            row = with_ratios({**row, **(ZEROS if is_whole else dict.fromkeys(ZEROS))})
        told = {"account_days": asked, "collected_days": collected, "is_whole": is_whole}
        return _without({**row, **told, **span}, "rows")

    def _both_periods(self) -> dict[str, tuple[int, set[date]]]:
        """Of each account, how many days are in the books in both periods, and which of them were collected."""
        length = self.question.length
        found: dict[str, tuple[int, set[date]]] = {
            row["account_id"]: (0, set()) for row in self.ask(f"SELECT account_id FROM {self.table('ad_accounts')}")
        }

        def note(account_id: str, day: date, *, is_booked: bool, is_collected: bool) -> None:
            since, until = self.days(account_id)
            if since - timedelta(days=length) <= day <= until:
                booked, collected = found.setdefault(account_id, (0, set()))
                found[account_id] = (booked + is_booked, collected | ({day} if is_collected else set()))

        for book, is_collected in (("pipeline.coverage", True), ("pipeline.missing", False)):
            for row in self.ask(f"SELECT * FROM {self.table(book)} WHERE report = 'account_insights'"):
                note(row["account_id"], row["date_start"], is_booked=True, is_collected=is_collected)
        for row in self.ask(f"SELECT f.account_id, f.date_start {self.rows(Level.ACCOUNT)}"):
            is_known = self.question.as_of is not None
            note(row["account_id"], row["date_start"], is_booked=is_known, is_collected=is_known)
        return found

    def _currencies(self, accounts: Iterable[str]) -> dict[str, str | None]:
        found = {}
        for each in accounts:
            rows = self.ask(
                f"SELECT max(f.account_currency) AS currency {self.rows(Level.ACCOUNT)} AND f.account_id = '{each}' "
                f"AND ({self.any_days(Level.ACCOUNT)} OR {self.any_days(Level.ACCOUNT, 1)})"
            )
            found[each] = self.account(each).currency or rows[0]["currency"]
        return found

    def freshness(self) -> list[Row]:
        """How fresh and whole each account is."""
        books = self.ask(
            f"SELECT c.*, a.timezone_name FROM {self.table('pipeline.coverage')} AS c LEFT JOIN ad_accounts AS a "
            "ON a.account_id = c.account_id WHERE report = 'account_insights'"
        )
        known = {row["account_id"]: row for row in self.ask(f"SELECT * FROM {self.table('ad_accounts')}")}
        found = []
        for account_id in sorted(known.keys() | {row["account_id"] for row in books}):
            own = [row for row in books if row["account_id"] == account_id]
            since, until = self.days(account_id)
            inside = [row for row in own if since <= row["date_start"] <= until]
            newest = max(own, key=lambda row: row["date_start"], default=None)
            entity = known.get(account_id, {})
            found.append(
                {
                    "account_id": account_id,
                    "account_name": entity.get("name"),
                    "timezone_name": entity.get("timezone_name"),
                    "date_from": since,
                    "date_to": until,
                    "newest_day": newest and newest["date_start"],
                    "collected_at": newest and newest["collected_at"],
                    "collected_days": len(inside),
                    "is_final": len([row for row in inside if _is_final(row)]) == self.question.length,
                    "missing": self.missing(account_id),
                }
            )
        return found

    def missing(self, account_id: str) -> list[Row]:
        """Days that lack, those that follow each other for one reason as one part."""
        rows = self.ask(
            f"SELECT * FROM {self.table('pipeline.missing')} AS f WHERE account_id = '{account_id}' "
            f"AND {between(self.days(account_id))} ORDER BY report, reason, kind, retry_at, date_start"
        )
        same = ("report", "kind", "reason", "retry_at")
        parts: list[Row] = []
        for row in rows:
            part = {name: row[name] for name in same}
            last = parts[-1] if parts else None
            if (
                last
                and all(last[name] == row[name] for name in same)
                and last["date_to"] == row["date_start"] - timedelta(days=1)
            ):
                last["date_to"] = row["date_start"]
            else:
                parts.append({**part, "date_from": row["date_start"], "date_to": row["date_start"]})
        return sorted(parts, key=lambda part: (part["report"], part["date_from"], part["reason"]))

    # ---- entities ----

    def attributes(self, level: Level, entity_id: str) -> Row | None:
        """The row of an entity."""
        table = ENTITIES[level]
        rows = self.ask(f"SELECT * FROM {self.table(table)} WHERE {level.id_field} = '{entity_id}'")
        return rows[0] if rows else None

    def newest_insights(self, level: Level, entity_id: str) -> Row | None:
        """The newest row of insights of an entity."""
        rows = self.ask(
            f"SELECT * FROM {self.table(f'{level.value}_insights')} WHERE {level.id_field} = '{entity_id}' "
            "ORDER BY date_start DESC LIMIT 1"
        )
        return rows[0] if rows else None

    def listed(self, level: Level, account_id: str, entity_id: str, days: Days) -> Row:
        """The row of an entity in a list."""
        own = self.attributes(level, entity_id) or {}
        where = f"f.account_id = '{account_id}' AND f.{level.id_field} = '{entity_id}'"
        (names,) = self.ask(
            f"SELECT arg_max(f.{level.value}_name, f.date_start) AS name, "
            f"any_value(coalesce(f.account_currency, a.currency)) AS currency {self.rows(level, where)} AND {between(days)}"
        )
        account = self.account(account_id)
        return {
            "level": level.value,
            "id": entity_id,
            "name": own.get("name") or (own.get("name") if own.get("name") == "" else names["name"]),
            "account_id": account_id,
            "account_currency": names["currency"] or account.currency,
            "timezone_name": account.zone,
            "status": own.get("status"),
            "effective_status": own.get(STATUS[level]),
            "daily_budget": own.get("daily_budget"),
            "lifetime_budget": own.get("lifetime_budget"),
            "is_deleted": own.get("is_deleted"),
            **self.summed(level, where, account_id, days),
        }


EVENTS_WITH_MONEY = (
    *("purchase", "lead", "add_to_cart", "initiate_checkout", "complete_registration", "schedule", "subscribe"),
    "start_trial",
)


def between(days: Days) -> str:
    """The condition that rows `f` are of some days."""
    return f"f.date_start BETWEEN DATE '{days[0]}' AND DATE '{days[1]}'"


def _today(zone: str | None, moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(zone)).date() if zone else moment.astimezone(UTC).date()


def _is_final(row: Row) -> bool:
    if row["timezone_name"] is None:
        return False
    local: datetime = row["collected_at"].replace(tzinfo=UTC).astimezone(ZoneInfo(row["timezone_name"]))
    return bool((local.date() - row["date_start"]).days > 28)


def _literal(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}
