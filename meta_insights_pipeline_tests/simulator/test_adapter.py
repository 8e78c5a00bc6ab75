"""The door without a socket, as the `requests` package sees it."""

from datetime import timedelta

import requests

from meta_insights_pipeline.simulator import Account, Simulator, SimulatorAdapter, World, WorldSpec
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline_tests.simulator.support import BASE, NOW, Api

TOKEN = {"access_token": "token"}


def test_responses_are_real_ones(graph: Api, account: Account) -> None:
    response = graph.session.get(f"{BASE}/v26.0/act_{account.id}/ads", params=TOKEN)
    assert response.ok
    assert response.headers["Content-Length"] == str(len(response.content))
    assert response.request.url is not None
    assert response.request.url.startswith(BASE)
    assert response.json()["data"]
    assert response.encoding == "UTF-8"


def test_bodies_can_be_streamed(graph: Api, account: Account) -> None:
    with graph.session.get(f"{BASE}/v26.0/act_{account.id}/ads", params=TOKEN, stream=True) as response:
        parts = list(response.iter_content(100))
    assert len(parts) > 3
    assert b"".join(parts).endswith(b"}")
    left = graph.session.get(f"{BASE}/v26.0/act_{account.id}/ads", params=TOKEN, stream=True)
    left.close()


def test_links_begin_with_the_base_address(world: World, account: Account) -> None:
    base = "https://graph.example"
    simulator = Simulator(world, SimulatedClock(NOW), base_url=base)
    with requests.Session() as session:
        session.mount(base, SimulatorAdapter(simulator))
        page = session.get(f"{base}/v26.0/act_{account.id}/ads", params=TOKEN, headers={"Host": "elsewhere"}).json()
        assert page["paging"]["next"].startswith(f"{base}/v26.0/act_{account.id}/ads?")
        assert session.get(page["paging"]["next"]).json()["data"]


def test_latency_passes(world: World) -> None:
    simulator = Simulator(World(WorldSpec(accounts=1)), SimulatedClock(NOW), latency=0.02)
    with requests.Session() as session:
        session.mount(BASE, SimulatorAdapter(simulator))
        assert session.get(f"{BASE}/v26.0/me", params=TOKEN).elapsed.total_seconds() >= 0.02


def test_errors_keep_their_status(graph: Api) -> None:
    response = graph.session.get(f"{BASE}/v26.0/act_1", params=TOKEN)
    assert response.status_code == 400
    assert response.reason


def test_answers_tell_the_time_of_the_simulated_clock(graph: Api, clock: SimulatedClock) -> None:
    assert graph.call("GET", "me").headers["date"] == "Sun, 22 Nov 2026 15:07:00 GMT"
    clock.advance(timedelta(days=1))
    assert graph.call("GET", "me").headers["date"] == "Mon, 23 Nov 2026 15:07:00 GMT"
    graph.simulator.faults.add("graph_error", headers={"Date": "Mon, 23 Nov 2026 10:00:00 GMT"})
    skewed = graph.call("GET", "me")
    assert (skewed.status_code, skewed.headers["date"]) == (500, "Mon, 23 Nov 2026 10:00:00 GMT")
