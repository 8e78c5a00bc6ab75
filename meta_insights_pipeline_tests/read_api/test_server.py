"""`meta-insights serve` as a process of its own: whom it lets start, several workers, publications under load, an orderly end."""

import os
import re
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from meta_insights_pipeline_tests.processes import COMMAND, environment, run_command, wait_for
from meta_insights_pipeline_tests.read_api.served import Headers, World, copy_world, make_world
from meta_insights_pipeline_tests.read_api.sync_now.dagster_double import dagster_double, dagster_that_hangs
from meta_insights_pipeline_tests.test_up import free_port

OVERVIEW = "/meta/insights/overview?days=3"
pytestmark = pytest.mark.xdist_group("read api server")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def home(world: World, tmp_path: Path) -> Path:
    return copy_world(world, tmp_path / "home").home


def new_key(home: Path, role: str = "viewer") -> Headers:
    done = run_command(["keys", "create", "--name", "test", "--role", role], environment(home), home)
    assert done.returncode == 0, done.stderr
    return {"X-API-Key": done.stdout.strip()}


class Serving:
    """A running `serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    def get(self, path: str, headers: Headers | None = None) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=20)

    def is_up(self) -> bool:
        try:
            return self.get("/healthz").ok
        except (requests.ConnectionError, requests.Timeout):
            # The port is there before its workers are.
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(25)


@contextmanager
def serving(home: Path, *arguments: str, **variables: str) -> Iterator[Serving]:
    log = home / "serve.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", *arguments],
            env=environment(home, **variables),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + log.read_text("utf-8")
        server = Serving(process, found.group(), log)
        wait_for(server.is_up, 60, "the server")
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(25)
        process.stdout.close()


# ---- whether it may start ----


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--host", "0.0.0.0"], {}, "without access control"),
        (["--host", "0.0.0.0", "--open"], {}, "--host 127.0.0.1"),
        (["--open"], {"META_INSIGHTS_MODE": "live", "META_ACCESS_TOKEN": "x"}, "not shown without a key"),
        (["--host", "192.0.2.1"], {"META_INSIGHTS_JWT_KEY": "x" * 40}, "192.0.2.1 cannot be used"),
        (["--host", "no such host"], {"META_INSIGHTS_JWT_KEY": "x" * 40}, "--host no such host"),
        (["--port", "70000"], {}, "--port"),
        (["--workers", "0"], {}, "--workers"),
    ],
    ids=str,
)
def test_what_it_must_not_or_cannot_do_is_one_sentence(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], words: str
) -> None:
    done = run_command(["serve", "--port", str(free_port()), *arguments], environment(tmp_path, **variables), tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_port_that_is_taken_is_told_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command(["serve", "--port", str(port)], environment(tmp_path), tmp_path)
    assert done.returncode == 2
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.slow
def test_it_says_when_tokens_that_were_made_for_something_else_may_be_accepted(home: Path) -> None:
    with serving(home, META_INSIGHTS_JWT_KEY="x" * 40) as server:
        said = server.log.read_text("utf-8")
    assert said.count("set them to what the issuer writes into iss and aud") == 1


# ---- one process ----


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_what_is_being_answered_when_it_is_stopped_is_answered_and_nothing_stays_behind(
    home: Path, number: int
) -> None:
    with dagster_double() as dagster, serving(home, META_INSIGHTS_DAGSTER_URL=dagster.url) as server:
        key = new_key(home, "operator")
        assert server.get(OVERVIEW, key).status_code == 200
        assert server.get(OVERVIEW).status_code == 401
        dagster.seconds = 2.0
        answers: list[requests.Response] = []

        def ask() -> None:
            answers.append(requests.post(f"{server.url}/meta/insights/sync-now", headers=key, timeout=20))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.7)
        assert server.stop(number) == 0
        thread.join()
        assert [answer.status_code for answer in answers] == [202]
        assert server.process.stdout is not None
        assert server.process.stdout.read() == "Stopped.\n"
    assert not list(home.glob(".meta_insights.duckdb.reader-*"))
    assert key["X-API-Key"] not in server.log.read_text("utf-8")
    assert '"request": "' in server.log.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_hangs_when_it_is_stopped_is_told_so_and_the_end_comes_within_the_time_that_is_documented(
    home: Path, workers: int
) -> None:
    with (
        dagster_that_hangs() as dagster,
        serving(home, "--workers", str(workers), META_INSIGHTS_DAGSTER_URL=dagster) as server,
    ):
        key, answers = new_key(home, "operator"), list[requests.Response]()

        def ask(method: str, path: str) -> None:
            answers.append(requests.request(method, f"{server.url}/meta/insights/{path}", headers=key, timeout=60))

        asked = [("GET", f"sync/{'0' * 36}")] * 32 + [("POST", "sync-now")] * 8
        threads = [threading.Thread(target=ask, args=one) for one in asked]
        for thread in threads:
            thread.start()
        time.sleep(1)
        began = time.monotonic()
        assert server.stop() == 0
        # On a machine that has as many cores as there is work.
        assert time.monotonic() - began < max(10.0, 2 * os.getloadavg()[0])
        for thread in threads:
            thread.join()
    assert [answer.status_code for answer in answers] == [503] * 40
    sentences = {answer.json()["detail"] for answer in answers}
    assert any("being stopped" in sentence for sentence in sentences)
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert "Traceback" not in server.log.read_text("utf-8")


# ---- publications under load ----


def load(server: Serving, key: Headers, stop: threading.Event, seen: list[tuple[int, str]]) -> threading.Thread:
    """A client that asks on one connection until it is told to stop."""

    def ask() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(server.url + OVERVIEW, headers=key, timeout=20)
                seen.append((answer.status_code, answer.headers.get("ETag", "")))
                time.sleep(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_each_publication_is_answered_from_within_a_second_and_no_request_fails(home: Path, workers: int) -> None:
    snapshot = home / "meta_insights.duckdb"
    content = snapshot.read_bytes()
    limit = {"META_INSIGHTS_API_REQUESTS_PER_MINUTE": "1000000"}
    with serving(home, "--workers", str(workers), **limit) as server:
        key, stop, seen = new_key(home), threading.Event(), list[tuple[int, str]]()
        threads = [load(server, key, stop, seen) for _ in range(3)]
        seconds: list[float] = []
        try:
            for _ in range(6):
                draft = snapshot.with_name("draft")
                draft.write_bytes(content)
                published = draft.stat().st_mtime_ns
                draft.replace(snapshot)
                began = time.monotonic()

                def is_read(published: int = published) -> bool:
                    # Each worker looks for itself: several answers in a row must be new ones.
                    told = {server.get("/readyz").json()["published_at"] for _ in range(2 * workers)}
                    return told == {_moment(published)}

                wait_for(is_read, 15, "the new publication")
                seconds.append(time.monotonic() - began)
                time.sleep(0.2)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert {status for status, _ in seen} == {200}
    # A second, on a machine that has as many cores as there is work.
    assert statistics.median(seconds) < max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    # The ETag is the publication's. There were seven; a busy machine may answer nothing else while one of them is there.
    assert 5 <= len({tag for _, tag in seen}) <= 7


def _moment(nanoseconds: int) -> str:
    # As a float it would be rounded up now and then.
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
    return moment.isoformat().replace("+00:00", "Z")


# ---- several workers ----


def workers_of(server: Serving) -> list[psutil.Process]:
    """The processes that answer: those that have opened the port's connections in `spawn`ed interpreters."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    return [child for child in children if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.slow
def test_workers_share_the_port_their_counts_are_added_up_and_one_that_dies_is_replaced(home: Path) -> None:
    with serving(home, "--workers", "2", META_INSIGHTS_API_METRICS="true") as server:
        key = new_key(home, "admin")
        first = {worker.pid for worker in workers_of(server)}
        assert len(first) == 2
        for _ in range(30):
            assert server.get(OVERVIEW, key).status_code == 200
        for _ in range(3):
            counted = re.search(
                r'requests_total\{method="GET",route="/meta/insights/overview",status="200"\} ([\d.]+)',
                server.get("/metrics", key).text,
            )
            assert counted is not None
            assert float(counted[1]) == 30
        psutil.Process(min(first)).kill()
        wait_for(lambda: len({one.pid for one in workers_of(server)} - {min(first)}) == 2, 20, "another worker")
        wait_for(lambda: all(_answers(server, key) for _ in range(4)), 20, "its answers")
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert server.stop() == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
    assert not list((home / "tmp").glob("api-metrics-*"))


@pytest.mark.slow
def test_a_key_gets_its_limit_once_however_its_requests_fall_on_the_workers(home: Path) -> None:
    limit = 60
    with serving(home, "--workers", "2", META_INSIGHTS_API_REQUESTS_PER_MINUTE=str(limit)) as server:
        wait_for(lambda: len(workers_of(server)) == 2, 30, "both workers")
        key, began = new_key(home), time.monotonic()
        # Each on a connection of its own and some at once, so that both workers are asked.
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: server.get(OVERVIEW, key), range(3 * limit)))
        let_in = [answer.status_code for answer in answers].count(200)
        assert [answer.text for answer in answers if answer.status_code not in (200, 429)] == []
        assert limit <= let_in <= limit + (time.monotonic() - began) * limit / 60 + 1


def _answers(server: Serving, key: Headers) -> Any:
    try:
        return server.get(OVERVIEW, key).ok
    except requests.ConnectionError:
        return False
