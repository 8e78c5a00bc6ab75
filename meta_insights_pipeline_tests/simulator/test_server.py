"""The HTTP door: connections, compression, control doors, faults on the wire, and a clean end."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import requests

from meta_insights_pipeline.simulator import (
    Account,
    SimulatedClock,
    Simulator,
    SimulatorServer,
    WallClock,
    World,
    entity_truth,
)
from meta_insights_pipeline_tests.simulator.support import NOW

TOKEN = {"access_token": "token"}


@contextmanager
def served(world: World, **options: Any) -> Iterator[tuple[SimulatorServer, Simulator, requests.Session]]:
    """Serve a simulator, with a session to ask it."""
    simulator = Simulator(world, SimulatedClock(NOW))
    with SimulatorServer(simulator, **options) as server, requests.Session() as session:
        yield server, simulator, session


def test_links_lead_back_to_the_server(world: World, account: Account) -> None:
    with served(world) as (server, simulator, session):
        page = session.get(f"{server.url}/v26.0/act_{account.id}/insights", params={**TOKEN, "level": "ad"}).json()
        assert page["paging"]["next"].startswith(f"{server.url}/v26.0/act_{account.id}/insights?")
        assert session.get(page["paging"]["next"]).json()["data"]
        assert simulator.requests.count("insights") == 2


def _address_of(response: requests.Response) -> Any:
    """Return our own end of the connection that brings a response."""
    connection: Any = response.raw.connection
    return connection.sock.getsockname()


def test_a_connection_is_kept(world: World) -> None:
    with served(world) as (server, _, session):
        first = session.get(f"{server.url}/v26.0/me", params=TOKEN, stream=True)
        source = _address_of(first)
        assert first.content
        second = session.get(f"{server.url}/v26.0/me", params=TOKEN, stream=True)
        assert _address_of(second) == source
        assert second.json()["id"]
        assert second.headers["content-length"] == str(len(second.content))


def test_forms_can_be_posted(world: World, account: Account) -> None:
    with served(world) as (server, _, session):
        made = session.post(f"{server.url}/v26.0/act_{account.id}/insights", data={**TOKEN, "level": "campaign"}).json()
        rows = session.get(f"{server.url}/v26.0/{made['report_run_id']}/insights", params=TOKEN).json()
        assert rows["data"]


@pytest.mark.parametrize("compress", [False, True])
def test_answers_are_compressed_when_both_sides_want_it(world: World, account: Account, compress: bool) -> None:
    with served(world, compress=compress) as (server, _, session):
        url = f"{server.url}/v26.0/act_{account.id}/ads"
        zipped = session.get(url, params=TOKEN)
        plain = session.get(url, params=TOKEN, headers={"Accept-Encoding": "identity"})
        assert ("content-encoding" in zipped.headers) is compress
        assert "content-encoding" not in plain.headers
        assert zipped.json()["data"] == plain.json()["data"]


def test_many_clients_are_served_at_once(world: World, account: Account) -> None:
    with served(world) as (server, simulator, _):
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                with requests.Session() as session:
                    for _ in range(5):
                        response = session.get(
                            f"{server.url}/v26.0/act_{account.id}/insights", params={**TOKEN, "level": "adset"}
                        )
                        assert response.json()["data"]
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert simulator.requests.count("insights") == 40


def test_stopping_leaves_no_thread_and_frees_the_port(world: World) -> None:
    before = threading.active_count()
    with served(world) as (server, _, session):
        assert session.get(f"{server.url}/v26.0/me", params=TOKEN).ok
        port = int(server.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            SimulatorServer(Simulator(world, SimulatedClock(NOW)), port=port)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 2
    assert threading.active_count() == before
    with served(world, port=port) as (again, _, session):
        assert session.get(f"{again.url}/v26.0/me", params=TOKEN).ok


def test_stopping_does_not_wait_for_what_hangs(world: World) -> None:
    with served(world) as (server, simulator, session):
        simulator.faults.add("hang", seconds=60)
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(f"{server.url}/v26.0/me", params=TOKEN, timeout=0.05)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 2


def test_serving_can_be_left_to_the_callers_thread(world: World) -> None:
    server = SimulatorServer(Simulator(world, SimulatedClock(NOW)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert requests.get(f"{server.url}/v26.0/me", params=TOKEN, timeout=5).ok
    server.stop()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_faults_reach_the_wire(world: World, account: Account) -> None:
    with served(world) as (server, simulator, session):
        url = f"{server.url}/v26.0/act_{account.id}/ads"
        whole = session.get(url, params=TOKEN).content
        for action, error in (
            ("reset", requests.exceptions.ConnectionError),
            ("cut", requests.exceptions.ChunkedEncodingError),
            ("hang", requests.exceptions.ConnectionError),
        ):
            simulator.faults.add(action)
            with pytest.raises(error):
                session.get(url, params=TOKEN)
        simulator.faults.add("slow_body", seconds=0.05)
        assert session.get(url, params=TOKEN).content == whole
        simulator.faults.add("html", status=502)
        assert session.get(url, params=TOKEN).status_code == 502
        simulator.faults.add("truncate")
        assert 0 < len(session.get(url, params=TOKEN).content) < len(whole)


def _sent(server: SimulatorServer, request: bytes) -> bytes:
    """Return everything that comes back on a connection of its own."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("path", ["/v26.0/me?access_token=token", "/v26.0/me", "/_simulator/clock", "/_simulator/none"])
def test_every_answer_has_one_date_that_of_the_simulated_clock(world: World, path: str) -> None:
    with served(world) as (server, simulator, _):
        simulator.faults.add("slow_body", seconds=0.01)
        answer = _sent(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        dates = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"date:")]
        assert [line.split(b": ", 1)[1] for line in dates] == [b"Sun, 22 Nov 2026 15:07:00 GMT"]


def test_what_is_no_http_does_no_harm(world: World) -> None:
    with served(world) as (server, _, session):
        _sent(server, b"\x16\x03\x01nonsense\r\n\r\n")
        assert session.get(f"{server.url}/v26.0/me", params=TOKEN).ok


# ---- control doors ----


def test_the_clock_can_be_read_set_and_advanced(world: World) -> None:
    with served(world) as (server, simulator, session):
        url = f"{server.url}/_simulator/clock"
        assert session.get(url).json() == {"now": NOW.isoformat()}
        assert session.post(url, json={"advance_seconds": 90}).json()["now"].startswith("2026-11-22T15:08:30")
        session.post(url, json={"now": "2027-01-01T00:00:00+01:00"})
        assert simulator.clock.now().isoformat() == "2026-12-31T23:00:00+00:00"
        assert session.post(url, json={"now": "soon"}).status_code == 400
        assert session.post(url, json={}).status_code == 400


def test_a_real_clock_cannot_be_moved(world: World) -> None:
    with SimulatorServer(Simulator(world, WallClock())) as server:
        response = requests.post(f"{server.url}/_simulator/clock", json={"advance_seconds": 1}, timeout=5)
        assert response.status_code == 400


def test_the_truth_can_be_read_as_exact_text(world: World, account: Account) -> None:
    with served(world) as (server, _, session):
        params = {"level": "campaign", "account_id": account.id, "since": "2026-11-01", "until": "2026-11-07"}
        now = session.get(f"{server.url}/_simulator/truth", params=params).json()
        assert set(now) == {"rows", "actions"}
        row = now["rows"][0]
        assert isinstance(row["impressions"], int)
        assert isinstance(row["spend"], str)
        assert Decimal(row["spend"]) > 0
        assert row["date_start"] == "2026-11-01"
        assert all(isinstance(value, str) for action in now["actions"] for value in action["windows"].values())
        then = session.get(
            f"{server.url}/_simulator/truth", params={**params, "at": "2026-11-02T12:00:00+00:00"}
        ).json()
        assert {row["date_start"] for row in then["rows"]} == {"2026-11-01", "2026-11-02"}
        assert session.get(f"{server.url}/_simulator/truth", params={"level": "ad"}).status_code == 400


def test_faults_can_be_added_and_cleared(world: World) -> None:
    with served(world) as (server, _, session):
        url = f"{server.url}/_simulator/faults"
        rule = {"action": "graph_error", "code": 1, "times": None}
        assert session.post(url, data=json.dumps(rule)).json() == {"added": "graph_error"}
        assert session.get(f"{server.url}/v26.0/me", params=TOKEN).status_code == 500
        assert session.delete(url).ok
        assert session.get(f"{server.url}/v26.0/me", params=TOKEN).ok
        assert session.post(url, data=json.dumps({"action": "explode"})).status_code == 400
        assert session.post(url, data="{").status_code == 400


def test_requests_are_counted_by_kind(world: World) -> None:
    with served(world) as (server, _, session):
        for _ in range(2):
            session.get(f"{server.url}/v26.0/me", params=TOKEN)
        assert session.get(f"{server.url}/_simulator/requests").json() == {"me": 2}
        session.delete(f"{server.url}/_simulator/requests")
        assert session.get(f"{server.url}/_simulator/requests").json() == {}
        assert session.get(f"{server.url}/_simulator/nonsense").status_code == 404


def test_calls_made_while_blocked_are_told_once_there_are_any(world: World, account: Account) -> None:
    with served(world) as (server, _, session):
        rule = {"action": "block", "code": 80000, "seconds": 60, "account": account.id}
        assert session.post(f"{server.url}/_simulator/faults", json=rule).json() == {"added": "block"}
        counts = f"{server.url}/_simulator/requests"
        session.get(f"{server.url}/v26.0/act_{account.id}/insights", params=TOKEN)
        assert session.get(counts).json() == {"insights": 1}
        session.get(f"{server.url}/v26.0/act_{account.id}/insights", params=TOKEN)
        assert session.get(counts).json() == {"insights": 2, "calls_while_blocked": {account.id: 1}}
        session.delete(counts)
        assert session.get(counts).json() == {}


def test_accounts_can_be_changed(world: World, account: Account) -> None:
    with served(world) as (server, simulator, session):
        door = f"{server.url}/_simulator/accounts"

        def change(state: str) -> int:
            return session.post(door, json={"account_id": account.id, "state": state}).status_code

        own = f"{server.url}/v26.0/act_{account.id}"
        for state, status in (("forbidden", 403), ("hidden", 400), ("shown", 403), ("disabled", 200)):
            assert change(state) == 200
            assert session.get(own, params=TOKEN).status_code == status, state
        assert simulator.states.standing(account.id).status == 2
        assert change("asleep") == 400
        assert session.post(door, json={"account_id": "1", "state": "hidden"}).status_code == 400


def test_the_token_can_be_changed(world: World) -> None:
    with served(world) as (server, _, session):
        door = f"{server.url}/_simulator/token"
        assert session.post(door, json={"scopes": ["public_profile"], "type": "USER"}).ok
        told = session.get(f"{server.url}/v26.0/debug_token", params={**TOKEN, "input_token": "token"}).json()["data"]
        assert (told["type"], told["scopes"]) == ("USER", ["public_profile"])
        assert session.post(door, json={"colour": "red"}).status_code == 400


def test_entities_can_be_read(world: World, account: Account) -> None:
    with served(world) as (server, simulator, session):
        door = f"{server.url}/_simulator/entities"
        rows = session.get(door, params={"kind": "campaigns", "account_id": f"act_{account.id}"}).json()["entities"]
        assert rows == entity_truth(world, "campaigns", account.id, NOW)
        then = {"kind": "campaigns", "account_id": account.id, "at": "2025-01-01T00:00:00+00:00"}
        assert 0 < len(session.get(door, params=then).json()["entities"]) < len(rows)
        simulator.set_account_state(account.id, "closed")
        accounts = session.get(door, params={"kind": "ad_accounts"}).json()["entities"]
        assert [row["account_status"] for row in accounts] == [101, 1, 1, 1]
        assert session.get(door, params={"kind": "pages"}).status_code == 400
        assert session.get(door, params={"kind": "ads"}).status_code == 400
