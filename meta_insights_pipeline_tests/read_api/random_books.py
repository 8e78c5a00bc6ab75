"""Small warehouses with what answers must get right: currencies, zones, gaps, withheld fields, entities without a row."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from meta_insights_pipeline.catalog.conversions import events
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline_tests.warehouse.mart_building import Books

LAST_DAY = date(2026, 11, 3)
DAYS = 12
"""Days with rows, the last of them `LAST_DAY`."""
ACCOUNTS = {"11": ("EUR", "Europe/Berlin"), "22": ("EUR", "America/Los_Angeles"), "33": ("JPY", "Asia/Tokyo")}
FIELDS = {"actions": ("omni_purchase", "purchase", "lead", "link_click"), "action_values": ("omni_purchase", "lead")}
# Of all events, those that are counted otherwise and types of no event among them.
MORE_FIELDS = {
    "actions": tuple(event.action_type for event in events().values() if event.count_field == "actions"),
    "action_values": ("omni_add_to_cart", "omni_initiated_checkout", "omni_complete_registration", "omni_view_content"),
    "conversions": (*(event.action_type for event in events().values() if event.count_field == "conversions"), "odd"),
    "conversion_values": ("schedule_total", "subscribe_total", "start_trial_total", "contact_total"),
    "outbound_clicks": ("outbound_click",),
    "video_thruplay_watched_actions": ("video_view",),
}
TABLES = (
    *("insight_actions", "insight_actions_history", "pipeline.coverage", "pipeline.missing", "reconciliation"),
    *(f"{level.value}_insights{suffix}" for level in Level for suffix in ("", "_history")),
    *(f"{kind.value}{suffix}" for kind in EntityKind for suffix in ("", "_history")),
)


def clear(books: Books) -> None:
    """Remove all rows."""
    books.pending.clear()
    for table in TABLES:
        books.connection.execute(f"DELETE FROM {table}")


def remove_account(books: Books, account_id: str) -> None:
    """Remove all rows of an account."""
    books.write()
    for table in TABLES:
        books.connection.execute(f"DELETE FROM {table} WHERE account_id = ?", [account_id])


def fill(books: Books, random: Random, *, with_all: bool = False) -> None:
    """Write a warehouse; with all accounts, or with some."""
    # What came to be drawn later has chances of its own, so that the worlds of old seeds stay as they were.
    more = Random(str(random.getstate()))
    for account_id, (currency, zone) in ACCOUNTS.items():
        if with_all or random.random() < 0.9:
            _Account(books, random, account_id, currency, zone).fill()
            _Past(books, more, account_id).fill()
    books.write()


class _Account:
    def __init__(self, books: Books, random: Random, account_id: str, currency: str, zone: str) -> None:
        self._books = books
        self._random = random
        self._id = account_id
        self._currency = currency
        self._zone = zone

    def fill(self) -> None:
        random, books = self._random, self._books
        if random.random() < 0.9:
            books.account(self._id, self._currency, self._zone, status="ACTIVE")
        self._facts(Level.ACCOUNT, self._id, {})
        for campaign in range(random.randint(0, 3)):
            ids = {"campaign_id": f"{self._id}0{campaign}"}
            self._entity(EntityKind.CAMPAIGNS, ids)
            self._facts(Level.CAMPAIGN, ids["campaign_id"], {})
            for adset in range(random.randint(0, 2)):
                below = {**ids, "adset_id": f"{ids['campaign_id']}{adset}"}
                self._entity(EntityKind.ADSETS, below)
                self._facts(Level.ADSET, below["adset_id"], ids)
                for ad in range(random.randint(0, 2)):
                    own = {**below, "ad_id": f"{below['adset_id']}{ad}"}
                    self._entity(EntityKind.ADS, own)
                    self._facts(Level.AD, own["ad_id"], below)
        self._ledger()

    def _entity(self, kind: EntityKind, ids: dict[str, str]) -> None:
        random = self._random
        if random.random() < 0.15:
            return
        status = random.choice(["ACTIVE", "PAUSED", "DELETED"])
        name = random.choice(["Summer sale", "=1+1", "Ünïcode", "summer", None, f"{kind.value} {self._id}"])
        own = {"name": name, "status": status, "effective_status": status, "is_deleted": status == "DELETED"}
        budgets = {"daily_budget": Decimal(random.randint(1, 9999)) / 100} if kind is not EntityKind.ADS else {}
        self._books.entity(kind, self._id, **ids, **own, **budgets)

    def _facts(self, level: Level, entity_id: str, parents: dict[str, str]) -> None:
        random, books = self._random, self._books
        for back in range(DAYS):
            day = LAST_DAY - timedelta(days=back)
            if level in (Level.ACCOUNT, Level.CAMPAIGN) and random.random() < 0.7 and entity_id == self._id:
                at = datetime(day.year, day.month, day.day, random.randint(0, 23), tzinfo=UTC)
                books.collected(
                    level, day, at + timedelta(days=random.choice([0, 1, 27, 28, 29, 30])), account_id=self._id
                )
            if random.random() < 0.5:
                continue
            numbers: dict[str, Any] = {
                "impressions": random.choice([0, random.randint(1, 10_000)]),
                "clicks": random.choice([0, random.randint(1, 500)]),
                "inline_link_clicks": random.randint(0, 100),
                "spend": Decimal(random.choice([0, random.randint(1, 10**9)])) / 10 ** random.choice([0, 2, 6]),
                "reach": random.choice([None, 0, random.randint(1, 9_000)]),
                "withheld_fields": random.choice([None] * 8 + ["actions", "action_values", "actions,reach"]),
                "account_currency": random.choice([self._currency] * 3 + [None]),
                f"{level.value}_name": random.choice([None, f"Name {back}"]),
            }
            books.fact(level, entity_id, day, account_id=self._id, **parents, **numbers)
            self._actions(level, entity_id, day)

    def _actions(self, level: Level, entity_id: str, day: date) -> None:
        random = self._random
        for field, types in FIELDS.items():
            for action_type in types:
                if random.random() < 0.4:
                    windows = {
                        f"value_{name}": random.choice([None, Decimal(random.randint(0, 999)) / 4])
                        for name in ("1d_click", "7d_click", "1d_view")
                    }
                    value = random.choice([None, Decimal(random.randint(0, 9_999)) / 8])
                    self._books.action(
                        level, entity_id, action_type, value, day, account_id=self._id, field=field, **windows
                    )

    def _ledger(self) -> None:
        random = self._random
        for back in range(random.randint(0, 4)):
            day = LAST_DAY - timedelta(days=back)
            for level in ("campaign", "adset", "ad"):
                for metric in ("spend", "clicks"):
                    self.line(day, level, metric, random.choice(["equal", "explained", "incomplete", "unexplained"]))

    def line(self, day: date, level: str, metric: str, status: str) -> None:
        number = Decimal(self._random.randint(0, 10**6)) / 100
        row = {
            "account_id": self._id,
            "date_start": day,
            "level": level,
            "metric": metric,
            "account_currency": self._currency if metric == "spend" else None,
            "account_value": number,
            "level_sum": number,
            "residual": 0,
            "status": status,
            "details": f"About {self._id}.",
            "checked_at": datetime(2026, 11, 3, 9, tzinfo=UTC),
            "run_id": "run",
        }
        self._books._insert("reconciliation", row)


class _Past:
    """What was collected of an account and when, what lacks, and how its rows were before."""

    def __init__(self, books: Books, random: Random, account_id: str) -> None:
        self._books = books
        self._random = random
        self._id = account_id

    def fill(self) -> None:
        random, books = self._random, self._books
        books.write()
        is_whole = random.random() < 0.4
        for level in Level:
            there = {
                day
                for (day,) in books.connection.execute(
                    "SELECT date_start FROM pipeline.coverage WHERE report = ? AND account_id = ?",
                    [f"{level.value}_insights", self._id],
                ).fetchall()
            }
            for back in range(-2, 2 * DAYS):
                day = LAST_DAY - timedelta(days=back)
                if day not in there and (is_whole or random.random() < 0.7):
                    books.collected(level, day, self._moment(), account_id=self._id)
                elif random.random() < 0.2:
                    self._lack(level, day)
        self._actions()
        for level in Level:
            self._versions(f"{level.value}_insights", "changed_at", "superseded_at", "spend", "7.25")
        self._versions("insight_actions", "changed_at", "superseded_at", "value", "3.5")
        for kind in EntityKind:
            self._versions(kind.value, "valid_from", "valid_to", "name", "'Before'")
        for book in ("reconciliation", "pipeline.missing"):
            moment = "checked_at" if book == "reconciliation" else "noticed_at"
            self._shift(book, moment)

    def _actions(self) -> None:
        """Every event and every window, of the rows that there are."""
        books, random = self._books, self._random
        keys = "level, entity_id, date_start, field, action_type"
        there = set(books.connection.execute(f"SELECT {keys} FROM insight_actions").fetchall())
        for level in Level:
            rows = books.connection.execute(
                f"SELECT {level.id_field}, date_start FROM {level.value}_insights WHERE account_id = ? ORDER BY ALL",
                [self._id],
            ).fetchall()
            for entity_id, day in rows:
                for field, types in MORE_FIELDS.items():
                    for action_type in types:
                        key = (level.value, entity_id, day, field, action_type)
                        if random.random() < 0.06 and key not in there:
                            values = {
                                name: random.choice([None, Decimal(random.randint(0, 999)) / 4])
                                for name in ("value", *(windows()[each].column for each in default_windows()))
                            }
                            value = values.pop("value")
                            books.action(
                                level, entity_id, action_type, value, day, account_id=self._id, field=field, **values
                            )

    def _moment(self) -> datetime:
        """Within the last week."""
        return datetime(2026, 11, 3, 15, tzinfo=UTC) - timedelta(minutes=self._random.randint(0, 7 * 1440))

    def _lack(self, level: Level, day: date) -> None:
        random = self._random
        row = {
            "report": f"{level.value}_insights",
            "account_id": self._id,
            "date_start": day,
            "noticed_at": self._moment(),
            "run_id": "run",
            "reason": random.choice(["The limit is reached.", "=Closed."]),
            "retry_at": random.choice([None, datetime(2026, 11, 4, 7, tzinfo=UTC)]),
            "kind": random.choice(["deferred", "failed"]),
        }
        self._books._insert("pipeline.missing", row)

    def _versions(self, table: str, began: str, ended: str, column: str, value: str) -> None:
        """Rows have come at different moments, some have an earlier version, and some are gone."""
        books, random = self._books, self._random
        books.write()
        self._shift(table, began)
        # By a number of the row itself, so that which rows they are does not hang on their order.
        chance = f"hash(to_json(t)::VARCHAR || '{random.random()}') % 10"
        of_account = f"account_id = '{self._id}'"
        columns = "COLUMNS(c -> c NOT IN ('ctr', 'cpc', 'cpm', 'cpp', 'frequency'))"
        books.connection.execute(
            f"INSERT INTO {table}_history BY NAME "
            f"SELECT * REPLACE ({began} - INTERVAL 30 HOURS AS {began}, {value} AS {column}), {began} AS {ended} "
            f"FROM (SELECT {columns} FROM {table} AS t WHERE {of_account} AND {chance} < 3)"
        )

    def _shift(self, table: str, column: str) -> None:
        self._books.write()
        self._books.connection.execute(
            f"UPDATE {table} AS t SET {column} = {column} - INTERVAL 1 MINUTE * (hash(to_json(t)::VARCHAR || "
            f"'{self._random.random()}') % 6000)::INTEGER WHERE account_id = '{self._id}'"
        )
