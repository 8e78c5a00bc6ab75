"""A Dagster that takes every connection and never answers: what is not about syncs is answered as ever."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline_tests.processes import wait_for
from meta_insights_pipeline_tests.read_api.access.issuer import rsa_key, signed
from meta_insights_pipeline_tests.read_api.served import Headers, World, copy_world, make_world, on_a_port, opened
from meta_insights_pipeline_tests.read_api.sync_now.dagster_double import dagster_that_hangs

OVERVIEW = "/meta/insights/overview?days=3"
STATUS = f"/meta/insights/sync/{'0' * 36}"
SYNC = "/meta/insights/sync-now"
SECRET = "correct horse battery staple, and more of it"
# A quick answer on a busy machine.
SOON = 2.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def home(world: World, tmp_path: Path) -> Path:
    return copy_world(world, tmp_path / "home").home


@contextmanager
def asking(url: str, headers: Headers, *, status: int = 0, start: int = 0) -> Iterator[list[requests.Response]]:
    """So many who look at a sync and who ask for one, all at the same time; gives their answers when it is left."""
    answers: list[requests.Response] = []

    def ask(method: str, path: str) -> None:
        answers.append(requests.request(method, url + path, headers=headers, timeout=60))

    threads = [threading.Thread(target=ask, args=("GET", STATUS)) for _ in range(status)]
    threads += [threading.Thread(target=ask, args=("POST", SYNC)) for _ in range(start)]
    for thread in threads:
        thread.start()
    yield answers
    for thread in threads:
        thread.join()


def seconds_of(url: str, headers: Headers | None = None) -> float:
    """How long an answer takes, which must be one."""
    began = time.monotonic()
    assert requests.get(url, headers=headers, timeout=60).status_code == 200
    return time.monotonic() - began


def test_while_many_look_at_syncs_everything_else_is_answered_and_they_are_told_to_come_again(home: Path) -> None:
    with (
        dagster_that_hangs() as dagster,
        opened(home, DAGSTER_URL=dagster, JWT_KEY=SECRET) as api,
        on_a_port(api.app) as url,
    ):
        key, token = api.key(Role.OPERATOR), {"Authorization": f"Bearer {signed(SECRET, 'HS256')}"}
        assert seconds_of(url + OVERVIEW, key) < 20
        with asking(url, key, status=45, start=2) as answers:
            time.sleep(0.5)
            for path, headers in (
                ("/healthz", None),
                ("/readyz", None),
                (OVERVIEW, key),
                (OVERVIEW, api.key()),
                (OVERVIEW, token),
                ("/meta/insights/accounts", api.key()),
            ):
                assert seconds_of(url + path, headers) < SOON, path
            # Those for whom there was no place do not wait for those who have one.
            wait_for(lambda: len(answers) >= 40, 4, "the first refusals")
        # Not as long as a launch may take, and all of them.
        assert len(answers) == 47
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/problem+json"}


def test_a_sync_is_not_looked_at_for_longer_than_somebody_waits(home: Path) -> None:
    with dagster_that_hangs() as dagster, opened(home, DAGSTER_URL=dagster) as api:
        began = time.monotonic()
        answer = api.client.get(STATUS, headers=api.key())
        assert 3 < time.monotonic() - began < 7
        assert answer.status_code == 503
        assert "META_INSIGHTS_DAGSTER_URL" in answer.json()["detail"]


def test_an_issuer_of_tokens_that_hangs_keeps_no_holder_of_a_key_waiting(home: Path) -> None:
    with (
        dagster_that_hangs() as issuer,
        opened(home, JWT_JWKS_URL=f"{issuer}/keys") as api,
        on_a_port(api.app) as url,
    ):
        key = api.key()
        token = {"Authorization": f"Bearer {signed(rsa_key('of the issuer'), 'RS256', 'k')}"}
        with asking(url, token, status=45) as answers:
            time.sleep(0.5)
            assert seconds_of(f"{url}/healthz") < SOON
            assert seconds_of(url + OVERVIEW, key) < SOON
    assert len(answers) == 45
