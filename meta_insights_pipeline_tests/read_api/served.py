"""The whole read API over a small published world, with keys of every kind; in process or on a port."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.control import access_control
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.read_api.app import create_app
from meta_insights_pipeline.read_api.routes import routers
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.comparison import read_rows
from meta_insights_pipeline_tests.live import live
from meta_insights_pipeline_tests.processes import wait_for
from meta_insights_pipeline_tests.read_api.asgi import AsgiClient

Headers = dict[str, str]


@dataclass(frozen=True)
class World:
    """What was published: a home, and some of its ids."""

    home: Path
    accounts: tuple[str, str]
    """Two ad accounts."""
    ids: dict[str, tuple[str, str]]
    """By level: one of the first account and one of the second."""
    run_id: str
    """Of the sync that published it."""


def make_world(home: Path) -> World:
    """Sync a small world of two ad accounts."""
    with live(home) as source:
        days = DayRange(source.at.date() - timedelta(days=3), source.at.date())
        request = SyncRequest(
            "00000000-0000-4000-8000-000000000001", days, builtin_reports(), entities_every=timedelta(0)
        )
        outcome = run_sync(source.settings, request)
        assert outcome.complete
    file = source.settings.snapshot_path
    first, second = (row["id"] for row in read_rows(file, "SELECT account_id AS id FROM ad_accounts ORDER BY 1"))
    ids = {"account": (first, second)}
    for level in ("campaign", "adset", "ad"):
        rows = read_rows(file, f"SELECT account_id, min({level}_id) AS id FROM {level}_insights GROUP BY 1 ORDER BY 1")
        ids[level] = (rows[0]["id"], rows[1]["id"])
    return World(home, (first, second), ids, request.run_id)


def copy_world(world: World, home: Path) -> World:
    """The same world in a home of a test's own."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("meta_insights.duckdb", "accounts.json"):
        shutil.copyfile(world.home / name, home / name)
    shutil.copytree(world.home / "receipts", home / "receipts")
    return World(home, world.accounts, world.ids, world.run_id)


class Api:
    """The app over a home, and keys for it."""

    def __init__(self, home: Path, *, is_open: bool = False, clock: Clock | None = None, **variables: Any) -> None:
        values = {f"META_INSIGHTS_{name}": value for name, value in variables.items()}
        self.settings = Settings(
            _env_file=None, **{"META_INSIGHTS_API_REQUESTS_PER_MINUTE": 1_000_000, "META_INSIGHTS_HOME": home, **values}
        )
        self.clock = clock or SystemClock()
        self.access = access_control(self.settings, host="127.0.0.1", is_open_asked=is_open, clock=self.clock)
        self.app: FastAPI = create_app(self.settings, self.access, routers(), clock=self.clock)
        self.client = AsgiClient(self.app)
        self.book = KeyBook(AccessFile(self.settings.access_path), self.clock)

    def key(self, role: Role = Role.VIEWER, accounts: Sequence[str] | None = None, days: int | None = None) -> Headers:
        """Headers with a new key."""
        return {"X-API-Key": self.book.create("test", role, by="test", accounts=accounts, days=days).reveal()}

    def close(self) -> None:
        """Close what the app has opened."""
        self.app.state.snapshots.close()
        self.app.state.syncs.close()


@contextmanager
def opened(home: Path, **options: Any) -> Iterator[Api]:
    """The app over a home, closed again."""
    api = Api(home, **options)
    try:
        yield api
    finally:
        api.close()


@contextmanager
def on_a_port(app: FastAPI) -> Iterator[str]:
    """The app behind a server of this process, started and stopped as a whole; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive(), 30, "the server")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
