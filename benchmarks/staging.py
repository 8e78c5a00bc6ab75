"""Two ways from pages to typed rows: DuckDB's JSON reader on the pages as they came, or orjson and Arrow.

The pipeline stages through the first; this keeps the measurement that decided it.
"""

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa

from benchmarks.measuring import median, table
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.paging import follow_pages
from meta_insights_pipeline.simulator.adapter import SimulatorAdapter
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.world import World, WorldSpec
from meta_insights_pipeline.warehouse.database import open_memory
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staging


def run() -> str:
    """Time both on the pages of 14,000 ad rows."""
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    days = (now.date() - timedelta(days=28), now.date() - timedelta(days=1))
    report = reports_of_levels([Level.AD])[0]
    world = World(WorldSpec(accounts=1, campaigns=10, adsets_per_campaign=10, ads_per_adset=5, always_on=True))
    simulator = Simulator(world, SimulatedClock(now))
    account = world.accounts[0].id
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with GraphApi(
            base_url=simulator.base_url, version="v26.0", access_token="any", adapter=SimulatorAdapter(simulator)
        ) as api:
            parameters = {**report.request_parameters(*days), "limit": "500"}
            pages: list[Path] = []
            for page in follow_pages(api, f"act_{account}/insights", parameters, kind="page"):
                pages.append(folder / f"{len(pages)}.json")
                pages[-1].write_bytes(page.rows)
        part = Slice(report, account, *days, now)

        def reader() -> None:
            with open_memory(folder / "tmp") as connection:
                staging = Staging(connection, folder)
                staging.add(part, [PageFile(page) for page in pages])
                staging.finish()

        def arrow() -> None:
            with open_memory(folder / "tmp") as connection:
                facts, actions = [], []
                for page in pages:
                    for row in orjson.loads(page.read_bytes()):
                        key = (row["account_id"], row["ad_id"], row["date_start"])
                        facts.append(
                            {**{n: v for n, v in row.items() if isinstance(v, str)}, "spend": Decimal(row["spend"])}
                        )
                        actions += [
                            (
                                *key,
                                field,
                                action["action_type"],
                                *(_decimal(action.get(w)) for w in ("value", *report.windows)),
                            )
                            for field, value in row.items()
                            if isinstance(value, list)
                            for action in value
                        ]
                facts_table = pa.Table.from_pylist(facts)  # noqa: F841 - DuckDB finds it by name
                names = [f"c{number}" for number in range(len(actions[0]))]
                actions_table = pa.table(dict(zip(names, zip(*actions, strict=True), strict=True)))  # noqa: F841
                for name in ("facts_table", "actions_table"):
                    connection.execute(f"COPY (FROM {name}) TO '{folder / name}.parquet' (FORMAT parquet)")

        rows = [
            ("DuckDB's JSON reader", f"{14_000 / _time(reader):,.0f}"),
            ("orjson and Arrow", f"{14_000 / _time(arrow):,.0f}"),
        ]
    return table("Staging: pages on disk to typed Parquet, 14,000 ad rows with their actions", ("way", "rows/s"), rows)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _time(work: Callable[[], None]) -> float:
    seconds = []
    for _ in range(4):
        began = time.monotonic()
        work()
        seconds.append(time.monotonic() - began)
    return median(seconds[1:])
