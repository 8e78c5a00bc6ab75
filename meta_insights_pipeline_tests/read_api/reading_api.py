"""The routes that read, over a warehouse in memory: answers are held against their models, whoever asks."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
from fastapi import FastAPI
from fastapi.routing import APIRoute

from meta_insights_pipeline.read_api.access.dependencies import current_principal
from meta_insights_pipeline.read_api.access.principal import OPEN, Principal, Role
from meta_insights_pipeline.read_api.problems import install_problems
from meta_insights_pipeline.read_api.routes import routers
from meta_insights_pipeline.read_api.snapshot_dependency import current_snapshot
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.read_api.asgi import AsgiClient
from meta_insights_pipeline_tests.warehouse.mart_building import Books

NOW = datetime(2026, 11, 3, 15, 30, tzinfo=UTC)
Row = dict[str, Any]


class OpenBooks:
    """A warehouse that a test still writes to, read like a snapshot."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.identity = uuid.uuid4().hex

    def renew(self) -> None:
        """Be taken for another file: the accounts have changed."""
        self.identity = uuid.uuid4().hex

    def rows(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._execute(sql, parameters).fetchall()

    def arrow(self, sql: str, parameters: Any = ()) -> pa.RecordBatchReader:
        """The rows of a query, three at a time."""
        return self._execute(sql, parameters).to_arrow_reader(3)

    def together(self, *parts: Callable[[], Any]) -> list[Any]:
        """What the parts of an answer return, one after the other."""
        return [part() for part in parts]

    def _execute(self, sql: str, parameters: Any) -> duckdb.DuckDBPyConnection:
        self._books.write()
        return self._books.connection.cursor().execute(sql, parameters or None)


def confined_to(*accounts: str) -> Principal:
    """Somebody who sees some accounts alone."""
    return Principal(kind="key", subject="test", role=Role.VIEWER, accounts=frozenset(accounts))


class ReadingApi:
    """The app and what a test says to it."""

    def __init__(self, snapshot: Any, home: Path = Path("nowhere")) -> None:
        self.clock = SkippingClock(NOW)
        self.principal = OPEN
        self.app = FastAPI()
        install_problems(self.app)
        self.app.state.clock = self.clock
        self.app.state.settings = Settings(META_INSIGHTS_HOME=home)
        for router in routers():
            self.app.include_router(router)
        self.app.dependency_overrides[current_principal] = lambda: self.principal
        self.app.dependency_overrides[current_snapshot] = lambda: snapshot
        self._client = AsgiClient(self.app)

    def ask(self, path: str, **parameters: Any) -> httpx.Response:
        """The answer to a request below /meta/insights."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._client.get(f"/meta/insights/{path}", params=given)

    def get(self, path: str, **parameters: Any) -> Any:
        """The content of an answer as JSON, which must be what the API says of it."""
        response = self.ask(path, **parameters)
        assert response.status_code == 200, response.text
        self.model_of(path).model_validate_json(response.content, strict=True)
        return response.json()

    def refusal(self, path: str, **parameters: Any) -> tuple[str, str]:
        """Where and why a request cannot be understood."""
        response = self.ask(path, **parameters)
        assert response.status_code == 422, response.text
        (error,) = response.json()["errors"]
        return error["where"], error["detail"]

    def model_of(self, path: str) -> Any:
        """The model of the answers at an address."""
        return next(
            route.response_model
            for router in routers()
            for route in router.routes
            if isinstance(route, APIRoute) and route.path_regex.match(f"/meta/insights/{path}")
        )

    def pages(self, path: str, inside: str = "", **parameters: Any) -> list[Row]:
        """The items of all pages; `inside` names the part of the answer that has pages."""
        items: list[Row] = []
        cursor = None
        while True:
            content = self.get(path, cursor=cursor, **parameters)
            page = content[inside] if inside else content
            assert len(page["items"]) <= parameters["limit"]
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    @contextmanager
    def seen_by(self, *accounts: str) -> Iterator[None]:
        """Ask as somebody who is confined to some accounts."""
        self.principal = confined_to(*accounts)
        try:
            yield
        finally:
            self.principal = OPEN
