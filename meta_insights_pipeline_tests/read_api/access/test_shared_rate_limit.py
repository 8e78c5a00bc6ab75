"""The limit on requests a minute, counted by several processes together."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from meta_insights_pipeline.read_api.access.errors import TooManyRequestsError
from meta_insights_pipeline.read_api.access.shared_rate_limit import SharedRateLimiter
from meta_insights_pipeline_tests.read_api.access.test_rate_limit import Seconds


def is_let_in(limiter: SharedRateLimiter, client: str = "key:0f") -> bool:
    try:
        limiter.take(client)
    except TooManyRequestsError:
        return False
    return True


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def pair(tmp_path: Path, seconds: Seconds) -> Iterator[tuple[SharedRateLimiter, SharedRateLimiter]]:
    """Two who count together."""
    one, other = (SharedRateLimiter(6, tmp_path / "requests", monotonic=seconds) for _ in range(2))
    yield one, other
    one.close()
    other.close()


def test_two_together_let_in_what_one_alone_would(
    pair: tuple[SharedRateLimiter, SharedRateLimiter], seconds: Seconds
) -> None:
    assert [is_let_in(each) for each in pair * 4] == [True] * 6 + [False] * 2
    seconds.now += 9.9
    assert not is_let_in(pair[0])
    seconds.now += 0.1
    assert [is_let_in(each) for each in pair] == [True, False]
    seconds.now += 3600
    assert [is_let_in(each) for each in pair * 4] == [True] * 6 + [False] * 2


def test_whoever_waits_as_long_as_told_is_let_in(
    pair: tuple[SharedRateLimiter, SharedRateLimiter], seconds: Seconds
) -> None:
    while is_let_in(pair[0]):
        pass
    with pytest.raises(TooManyRequestsError) as caught:
        pair[1].take("key:0f")
    seconds.now += int(caught.value.headers["Retry-After"])
    assert is_let_in(pair[1])


def test_each_client_has_its_own_limit_and_thousands_of_others_make_nobody_start_anew(
    pair: tuple[SharedRateLimiter, SharedRateLimiter], seconds: Seconds
) -> None:
    while is_let_in(pair[0], "token:é"):
        pass
    assert is_let_in(pair[0], "token:e")
    for number in range(5000):
        seconds.now += 0.0001
        assert is_let_in(pair[number % 2], f"address:{number}")
    assert not is_let_in(pair[1], "token:é")


def test_who_starts_later_finds_what_was_counted(tmp_path: Path, seconds: Seconds) -> None:
    first = SharedRateLimiter(3, tmp_path / "requests", monotonic=seconds)
    assert [is_let_in(first) for _ in range(4)] == [True, True, True, False]
    first.close()
    second = SharedRateLimiter(3, tmp_path / "requests", monotonic=seconds)
    assert not is_let_in(second)
    second.close()


def _take_many(file: Path) -> int:
    # Far from a whole request within the test.
    limiter = SharedRateLimiter(300, file, monotonic=lambda: 5000.0)
    try:
        return sum(is_let_in(limiter) for _ in range(200))
    finally:
        limiter.close()


def test_processes_at_the_same_time_get_no_more_than_the_limit(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        assert sum(pool.map(_take_many, [tmp_path / "requests"] * 3)) == 300


def _hold(file: Path) -> None:
    limiter = SharedRateLimiter(5, file)
    with limiter._alone():
        file.with_name("held").touch()
        time.sleep(600)


def test_a_worker_that_stands_still_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    file = tmp_path / "requests"
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(file,))
    process.start()
    try:
        while not (tmp_path / "held").exists():
            time.sleep(0.05)
        limiter = SharedRateLimiter(5, file)
        began = time.monotonic()
        assert is_let_in(limiter)
        assert time.monotonic() - began < 5
        limiter.close()
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
