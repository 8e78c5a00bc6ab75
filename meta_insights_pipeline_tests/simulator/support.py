"""A small reader of the simulated API for tests: one session, plain parameters, every page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import requests

from meta_insights_pipeline.simulator import SimulatedClock, Simulator, SimulatorAdapter, TokenInfo, World, WorldSpec

NOW = datetime(2026, 11, 22, 15, 7, tzinfo=UTC)
BASE = "https://graph.facebook.com"
WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
NUMBERS = "impressions,clicks,reach,inline_link_clicks,spend"
LISTS = (
    "actions",
    "action_values",
    "conversions",
    "conversion_values",
    "outbound_clicks",
    "video_play_actions",
    "video_thruplay_watched_actions",
    "video_30_sec_watched_actions",
    "video_p25_watched_actions",
    "video_p50_watched_actions",
    "video_p75_watched_actions",
    "video_p95_watched_actions",
    "video_p100_watched_actions",
)
EVERY_STATUS = ("ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "CAMPAIGN_PAUSED", "ADSET_PAUSED")


class Api:
    """Calls of one simulator through the adapter."""

    def __init__(self, simulator: Simulator, session: requests.Session, token: str = "token") -> None:
        self.simulator = simulator
        self.session = session
        self.token = token

    def call(self, method: str, path: str, /, **params: Any) -> requests.Response:
        """Return the response to `path` (without version) with these parameters."""
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
        texts.setdefault("access_token", self.token)
        place = {"params": texts} if method == "GET" else {"data": texts}
        return self.session.request(method, f"{BASE}/v26.0/{path}", **place)  # type: ignore[arg-type]

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a successful GET."""
        response = self.call("GET", path, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def error(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the error of a failed GET, with the HTTP status as `status`."""
        response = self.call("GET", path, **params)
        assert response.status_code != 200, response.text
        return {**response.json()["error"], "status": response.status_code}

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield every page, following `paging.next`."""
        page = self.get(path, **params)
        yield page
        while "next" in page.get("paging", {}):
            page = self.session.get(page["paging"]["next"]).json()
            yield page

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Return the rows of every page."""
        return [row for page in self.pages(path, **params) for row in page["data"]]

    def daily(self, account_id: str, level: str, since: date, until: date, **params: Any) -> list[dict[str, Any]]:
        """Return the daily rows of a level, deleted entities included."""
        if level != "account":
            status = {"field": f"{level}.effective_status", "operator": "IN", "value": list(EVERY_STATUS)}
            params.setdefault("filtering", [status])
        params.setdefault("fields", f"account_id,campaign_id,adset_id,ad_id,{NUMBERS}")
        return self.rows(
            f"act_{account_id}/insights",
            level=level,
            time_increment=1,
            time_range=span(since, until),
            **{"limit": 500, **params},
        )


def span(since: date, until: date) -> dict[str, str]:
    """Return a `time_range`."""
    return {"since": since.isoformat(), "until": until.isoformat()}


@contextmanager
def api(
    world: World | WorldSpec | None = None,
    at: datetime = NOW,
    *,
    token: str = "token",
    info: TokenInfo | None = None,
    **options: Any,
) -> Iterator[Api]:
    """Open a simulator with a clock that stands still, and a session on it; `info` is what it thinks of tokens."""
    if not isinstance(world, World):
        world = World(world or WorldSpec())
    simulator = Simulator(world, SimulatedClock(at), token=info, **options)
    with requests.Session() as session:
        session.mount(BASE, SimulatorAdapter(simulator))
        yield Api(simulator, session, token)
