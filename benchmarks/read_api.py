"""The read API over 10 M ad rows: answers beside their bare queries, answers from memory, both while snapshots are published too.

`BENCH_AD_ROWS` makes it smaller; `BENCH_FOLDER` names a folder in which the filled warehouse stays for the next time.
"""

import asyncio
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import duckdb
import httpx
import pyarrow as pa
from fastapi import FastAPI

from benchmarks.filler import ACCOUNT_DAYS, ADS, add_upper_levels, fill
from benchmarks.measuring import against, median, table
from benchmarks.serving import MEMORY, THREADS, Served, nothing_published, on_core, publishing, serving
from meta_insights_pipeline.read_api.access.dependencies import current_principal
from meta_insights_pipeline.read_api.access.principal import OPEN
from meta_insights_pipeline.read_api.routes import routers
from meta_insights_pipeline.read_api.snapshot_dependency import current_snapshot
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline.warehouse.publication import publish

AD_ROWS = int(os.environ.get("BENCH_AD_ROWS", ADS * ACCOUNT_DAYS))
FOLDER = os.environ.get("BENCH_FOLDER")
REQUESTS = 200
UNCOUNTED = 10
"""Requests before the first that counts, in which either side reads the file for the first time."""
ADDED_LIMIT = 2.0
CACHED_LIMIT = 2_000
WRK_SECONDS = 5
WRK_CONNECTIONS = 16
_BEFORE = date(2026, 11, 1)
_SHIFTS = 200
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_PERCENTILES = re.compile(r"\s(50|99)%\s+([\d.]+)(us|ms|s)\b")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_NO_WRK = (
    "wrk is not installed, so answers from memory were not measured; install it with `sudo apt-get install wrk` "
    "(macOS: `brew install wrk`)."
)

Statement = tuple[str, Mapping[str, Any]]


def run() -> str:
    """Fill, publish, and measure a quiet server and one below which snapshots change."""
    with _folder() as folder:
        warehouse, snapshot = _filled(folder), folder / "home" / "meta_insights.duckdb"
        publish(warehouse.path, snapshot)
        cases = _cases(snapshot)
        with serving(folder / "home") as server:
            cold = [_cold_beside_bare(server, snapshot, name, addresses) for name, addresses in cases.items()]
        cached = _cached(folder / "home", cases)
        with serving(folder / "home") as server, publishing(warehouse.path, snapshot) as published:
            cold_meanwhile = {name: _cold(server, addresses) for name, addresses in cases.items()}
        answered = sum(len(each.times) for each in cold_meanwhile.values())
        failed = sum(each.failed for each in cold_meanwhile.values())
        cached_meanwhile = _cached(folder / "home", cases, below=(warehouse.path, snapshot))
        size = snapshot.stat().st_size / 1e6
    notes = [
        f"Milliseconds of {REQUESTS} requests one after the other on one connection, each a question that was not asked before.",
        f"Bare: the statements of the same answers in this process, by DuckDB with as many threads ({THREADS}), rows fetched.",
        (
            f"{published.count} publications of {size:,.0f} MB while the last columns were measured: "
            f"{failed} of {answered:,} answers failed {against(failed, 0)}"
        ),
    ]
    rows = [
        (
            each.name,
            *(f"{value:.1f}" for value in (each.bare_p50, each.p50)),
            f"{each.added:+.2f} {against(each.added, ADDED_LIMIT)}",
            f"{each.p99:.1f}",
            f"{cold_meanwhile[each.name].p50:.1f}",
            f"{cold_meanwhile[each.name].p99:.1f}",
        )
        for each in cold
    ]
    header = ("answer", "bare p50", "p50", "added", "p99", "p50, publishing", "p99, publishing")
    first = table(f"Answers that are made for one request, {AD_ROWS:,} ad rows", header, rows, notes)
    return f"{first}\n{_cached_table(cached, cached_meanwhile)}"


# ---- what is asked ----


def _cases(snapshot: Path) -> dict[str, list[str]]:
    """By name, so many different addresses."""
    chance = random.Random(7)
    with duckdb.connect(str(snapshot), read_only=True) as connection:
        ids = {
            level: [row[0] for row in connection.execute(f"SELECT {level}_id FROM {level}s ORDER BY 1").fetchall()]
            for level in ("campaign", "ad")
        }
        (newest,) = connection.execute("SELECT max(date_start) FROM account_insights").fetchone() or (_BEFORE,)
    count = REQUESTS + UNCOUNTED

    def days(length: int, number: int) -> str:
        until = newest - timedelta(days=number % _SHIFTS)
        return f"date_from={until - timedelta(days=length - 1)}&date_to={until}"

    def some(level: str) -> list[str]:
        return chance.choices(ids[level], k=count)

    return {
        # Beyond the shifts of days the number of campaigns makes them different.
        "overview, 30 days": [f"overview?{days(30, n)}&top={10 - n // _SHIFTS}" for n in range(count)],
        "overview, 365 days": [f"overview?{days(365, n)}&top={10 - n // _SHIFTS}" for n in range(count)],
        "campaign, 30 days": [
            f"campaign/{each}?{days(30, n)}&limit={100 - n // _SHIFTS}" for n, each in enumerate(some("campaign"))
        ],
        "ad, 30 days": [f"ad/{each}?{days(30, n)}" for n, each in enumerate(chance.sample(ids["ad"], count))],
        "recent insights of an ad": [f"recent-insights/{each}" for each in chance.sample(ids["ad"], count)],
    }


# ---- answers that are made ----


@dataclass
class _Times:
    """Of requests that count."""

    times: list[float] = field(default_factory=list)
    """In ms."""
    failed: int = 0

    @property
    def p50(self) -> float:
        return median(self.times)

    @property
    def p99(self) -> float:
        return quantiles(self.times, n=100)[98]


@dataclass(frozen=True)
class _Cold:
    name: str
    p50: float
    p99: float
    bare_p50: float

    @property
    def added(self) -> float:
        """By how many ms the answer takes longer than its queries."""
        return self.p50 - self.bare_p50


def _cold_beside_bare(server: Served, snapshot: Path, name: str, addresses: Sequence[str]) -> _Cold:
    client, api, bare = server.client(), _Times(), _Times()
    # Closed again, so that both sides have as much of the file in memory: what earlier answers have read.
    with _bare(snapshot) as connection:
        statements = _statements(connection, addresses)
    with _bare(snapshot) as connection:
        for number, (address, asked) in enumerate(zip(addresses, statements, strict=True)):
            # In turn, so that whatever else goes on falls on both.
            answered, queried = _timed(partial(client.get, address)), _timed(partial(_query, connection, asked))
            if number >= UNCOUNTED:
                api.times.append(answered)
                bare.times.append(queried)
    if client.failed:
        raise RuntimeError(f"{client.failed} requests of {name} failed: {client.last}")
    return _Cold(name, api.p50, api.p99, bare.p50)


def _cold(server: Served, addresses: Sequence[str]) -> _Times:
    client, found = server.client(), _Times()
    found.times = [_timed(partial(client.get, address)) for address in addresses][UNCOUNTED:]
    found.failed = client.failed
    return found


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _query(connection: duckdb.DuckDBPyConnection, statements: Sequence[Statement]) -> None:
    for sql, parameters in statements:
        connection.execute(sql, parameters or None).fetchall()


@contextmanager
def _bare(snapshot: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    config: dict[str, Any] = {"threads": THREADS, "memory_limit": MEMORY}
    with duckdb.connect(str(snapshot), read_only=True, config=config) as connection:
        yield connection


class _Recorder:
    """A snapshot that notes what it is asked."""

    identity = "of the benchmark"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.asked: list[Statement] = []
        self._connection = connection

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        self.asked.append((sql, dict(parameters)))
        return self._connection.execute(sql, parameters or None).fetchall()

    def together(self, *parts: Callable[[], Any]) -> list[Any]:
        return [part() for part in parts]

    def arrow(self, sql: str, parameters: Mapping[str, Any]) -> pa.RecordBatchReader:
        raise NotImplementedError("Answers in JSON are measured.")


def _statements(connection: duckdb.DuckDBPyConnection, addresses: Sequence[str]) -> list[list[Statement]]:
    """The statements by which each answer is made, as the routes themselves make them."""
    recorder, found = _Recorder(connection), []
    app = FastAPI()
    for router in routers():
        app.include_router(router)
    app.dependency_overrides[current_principal] = lambda: OPEN
    app.dependency_overrides[current_snapshot] = lambda: recorder

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            # Once per file and not per answer, the accounts are read.
            await client.get(f"/meta/insights/{addresses[0]}")
            for address in addresses:
                recorder.asked.clear()
                response = await client.get(f"/meta/insights/{address}")
                if response.status_code != 200 or not recorder.asked:
                    raise RuntimeError(f"{address} is answered {response.status_code}: {response.text[:500]}")
                found.append(list(recorder.asked))

    asyncio.run(ask())
    return found


# ---- answers from memory ----


@dataclass(frozen=True)
class _Load:
    """What wrk tells."""

    name: str
    per_second: float
    p50: float
    p99: float
    """In ms."""
    failed: int
    """Answers other than 2xx and 3xx, and errors of sockets."""
    publications: int


def _cached(home: Path, cases: Mapping[str, Sequence[str]], *, below: tuple[Path, Path] | None = None) -> list[_Load]:
    """One address of each case, asked again and again of a server on one core by wrk on another; nothing without wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return []
    found = []
    with serving(home, core=0) as server:
        for name, addresses in cases.items():
            address = f"{server.url}/meta/insights/{addresses[-1]}"
            server.client().get(addresses[-1])
            load = ["-t1", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", "--latency", "-H", f"X-API-Key: {server.key}"]
            command = [*on_core(1), wrk, *load, address]
            with publishing(*below) if below else nothing_published() as published:
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found.append(_load(name, output, published.count))
    return found


def _load(name: str, output: str, publications: int) -> _Load:
    rate = _RATE.search(output)
    latencies = {rank: float(number) * _MILLISECONDS[unit] for rank, number, unit in _PERCENTILES.findall(output)}
    if rate is None:
        raise RuntimeError(output)
    refused, sockets = _REFUSED.search(output), _SOCKET_ERRORS.search(output)
    failed = int(refused[1]) if refused else 0
    failed += sum(int(number) for number in sockets.groups()) if sockets else 0
    return _Load(name, float(rate[1]), latencies["50"], latencies["99"], failed, publications)


def _cached_table(quiet: Sequence[_Load], meanwhile: Sequence[_Load]) -> str:
    if not quiet:
        return _NO_WRK
    rows = [
        (
            each.name,
            f"{each.per_second:,.0f} {against(each.per_second, CACHED_LIMIT, at_most=False)}",
            f"{each.p50:.1f} ms",
            f"{each.p99:.1f} ms",
            f"{changing.per_second:,.0f}",
            f"{changing.publications}",
            f"{each.failed + changing.failed} {against(each.failed + changing.failed, 0)}",
        )
        for each, changing in zip(quiet, meanwhile, strict=True)
    ]
    header = ("answer", "a second", "p50", "p99", "a second, publishing", "publications", "failed")
    cores = os.cpu_count() or 1
    own = "on another" if cores > 1 else "on the same one, the only one here, so that it takes its share of it"
    notes = [
        f"wrk with {WRK_CONNECTIONS} connections for {WRK_SECONDS} s; the server is one process on one core, wrk runs {own}. "
    ]
    return table("Answers from memory, one core", header, rows, notes)


# ---- the warehouse ----


@contextmanager
def _folder() -> Iterator[Path]:
    if FOLDER:
        Path(FOLDER).mkdir(parents=True, exist_ok=True)
        yield Path(FOLDER)
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _filled(folder: Path) -> Warehouse:
    """A warehouse with all levels and entities; one that is there already is taken as it is."""
    warehouse = Warehouse(folder / "warehouse.duckdb", folder / "tmp")
    if not warehouse.path.exists():
        fill(warehouse, AD_ROWS, _BEFORE, ads=max(100, AD_ROWS // ACCOUNT_DAYS))
        add_upper_levels(warehouse)
    return warehouse
