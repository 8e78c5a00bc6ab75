"""How the history grows: an account whose days are read and restated as the schedule would have it, for some weeks.

The rows are the simulator's answers of each moment; they are staged and merged as a sync does it, and thinned when it is due.
META_INSIGHTS_PROOF=long takes 48 syncs a day for 14 days with 20 ads (672 merges) and prints what docs/data.md says of it.
"""

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.simulator.adapter import SimulatorAdapter
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS
from meta_insights_pipeline.warehouse.writing import write
from meta_insights_pipeline_tests.warehouse.building import Desk

LONG = os.environ.get("META_INSIGHTS_PROOF") == "long"
SYNCS_A_DAY, DAYS, ADS = (48, 14, 20) if LONG else (3, 10, 1)
BEGIN = datetime(2026, 10, 1, 5, 7, tzinfo=UTC)
DAY = timedelta(days=1)
TABLES = ("ad_insights", "insight_actions")
REPORT = reports_of_levels([Level.AD])[0]
Version = tuple[datetime, datetime | None]
"""From when until when it held; None: still."""


@dataclass
class Account:
    """A simulated account and a warehouse that follows it."""

    desk: Desk
    clock: SimulatedClock
    session: requests.Session
    account_id: str

    def follow(self, at: datetime) -> None:
        """Read today and yesterday of the account as of a moment, and merge them."""
        self.clock.set(at)
        until = at.date()
        pages = self.ask(until - DAY, until)
        staged = self.desk.stage(pages, since=until - DAY, until=until, at=at, report=REPORT, account=self.account_id)
        write(
            self.desk.warehouse,
            self.desk.snapshot,
            [staged],
            [],
            run_id=f"{at:%d-%H%M}",
            source="live",
            publish_result=False,
            now=at,
        )

    def ask(self, since: date, until: date) -> list[dict[str, Any]]:
        """The simulator's answer."""
        parameters = {**REPORT.request_parameters(since, until), "access_token": "any", "limit": "500"}
        url = f"https://graph.facebook.com/v26.0/act_{self.account_id}/insights"
        answer = self.session.get(url, params=parameters).json()
        assert "next" not in answer["paging"]
        rows: list[dict[str, Any]] = json.loads(json.dumps(answer["data"]))
        return rows

    def versions(self, table: str) -> dict[tuple[Any, ...], list[Version]]:
        """All versions of each row, in order."""
        key = "ad_id, date_start" if table == "ad_insights" else "entity_id, date_start, field, action_type"
        found: dict[tuple[Any, ...], list[Version]] = {}
        for *place, since, until in self.desk.ask(
            f"SELECT {key}, changed_at, superseded_at FROM {table}_history "
            f"UNION ALL SELECT {key}, changed_at, NULL FROM {table} ORDER BY ALL"
        ):
            found.setdefault(tuple(place), []).append((since, until))
        return found

    def bytes_used(self) -> int:
        """What the warehouse's file takes, without the blocks that are free again."""
        with self.desk.warehouse.connect() as connection:
            connection.execute("CHECKPOINT")
            row = connection.execute(
                "SELECT block_size * used_blocks FROM pragma_database_size() WHERE database_name = 'warehouse'"
            ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.slow
def test_after_a_week_a_row_has_as_many_versions_as_days_on_which_it_changed(
    tmp_path: Path, empty_warehouse: Path
) -> None:
    spec = WorldSpec(seed=5, accounts=1, campaigns=1, adsets_per_campaign=1, ads_per_adset=ADS, always_on=True)
    clock = SimulatedClock(BEGIN)
    simulator = Simulator(World(spec), clock)
    end = BEGIN + DAYS * DAY
    changed: dict[str, dict[tuple[Any, ...], set[date]]] = {table: {} for table in TABLES}
    with requests.Session() as session:
        session.mount("https://graph.facebook.com", SimulatorAdapter(simulator))
        account = Account(Desk(tmp_path, empty_warehouse), clock, session, simulator.world.accounts[0].id)
        empty = account.bytes_used()
        moments = [BEGIN + number * DAY / SYNCS_A_DAY for number in range(SYNCS_A_DAY * DAYS)]
        for at in moments:
            account.follow(at)
            # Versions of a day are thinned a week later at the earliest, so all of them are there at its end.
            is_last_of_its_day = (at + DAY / SYNCS_A_DAY).date() != at.date()
            for table in TABLES if is_last_of_its_day else ():
                for place, versions in account.versions(table).items():
                    changed[table].setdefault(place, set()).update(since.date() for since, _ in versions)
    thinned_before = (end - (KEEP_ALL_DAYS + 1) * DAY).replace(tzinfo=None)
    for table in TABLES:
        old = {}
        for place, versions in account.versions(table).items():
            if place[1] + DAY < (thinned_before - DAY).date():
                old[place] = len(versions)
                assert len(versions) == len(changed[table][place]), (table, place)
        assert old
        _tell(account, table, Counter(old.values()))
    _say(f"{account.bytes_used() - empty:,} bytes in all for {DAYS} days of {ADS} ads")


def _tell(account: Account, table: str, old: Counter[int]) -> None:
    (rows,), (versions,) = (account.desk.ask(f"SELECT count(*) FROM {table}{part}")[0] for part in ("", "_history"))
    _say(f"{table}: {rows:,} rows, {versions:,} earlier versions; of old rows by number of versions: {dict(old)}")


def _say(text: str) -> None:
    if LONG:
        sys.stdout.write(f"{text}\n")
