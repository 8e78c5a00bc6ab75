"""The limit on requests a minute."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.access.errors import TooManyRequestsError
from meta_insights_pipeline.read_api.access.rate_limit import RateLimiter, client_of


class Seconds:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def is_let_in(limiter: RateLimiter, client: str = "key:0f") -> bool:
    try:
        limiter.take(client)
    except TooManyRequestsError:
        return False
    return True


def test_so_many_at_once_and_then_one_after_the_other() -> None:
    seconds = Seconds()
    limiter = RateLimiter(6, monotonic=seconds)
    assert [is_let_in(limiter) for _ in range(8)] == [True] * 6 + [False] * 2
    seconds.now += 9.9
    assert not is_let_in(limiter)
    seconds.now += 0.1
    assert [is_let_in(limiter) for _ in range(2)] == [True, False]
    seconds.now += 3600
    assert [is_let_in(limiter) for _ in range(7)] == [True] * 6 + [False]


def test_each_client_has_its_own_limit() -> None:
    limiter = RateLimiter(1, monotonic=Seconds())
    assert is_let_in(limiter, "key:1")
    assert not is_let_in(limiter, "key:1")
    assert is_let_in(limiter, "key:2")
    assert is_let_in(limiter, "token:1")


@settings(deadline=None)
@given(st.integers(1, 5000), st.lists(st.floats(0, 30), max_size=40))
def test_whoever_waits_as_long_as_told_is_let_in_and_nobody_gets_more_than_the_limit(
    per_minute: int, waits: list[float]
) -> None:
    seconds = Seconds()
    limiter = RateLimiter(per_minute, monotonic=seconds)
    let_in = sum(is_let_in(limiter) for _ in range(per_minute))
    assert let_in == per_minute
    for wait in waits:
        seconds.now += wait
        let_in += is_let_in(limiter)
    assert let_in <= per_minute + math.ceil((seconds.now - 5000.0) * per_minute / 60)
    while is_let_in(limiter):
        pass
    with pytest.raises(TooManyRequestsError) as caught:
        limiter.take("key:0f")
    told = int(caught.value.headers["Retry-After"])
    assert 1 <= told <= 60
    assert f"ask again in {told} s" in caught.value.sentence
    seconds.now += told
    assert is_let_in(limiter)


def test_threads_together_get_no_more_than_the_limit() -> None:
    limiter = RateLimiter(500, monotonic=Seconds())
    barrier = threading.Barrier(8)

    def ask(_: int) -> int:
        barrier.wait()
        return sum(is_let_in(limiter) for _ in range(200))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 500


def test_the_client_that_was_not_seen_for_longest_is_forgotten_first() -> None:
    limiter = RateLimiter(1, monotonic=Seconds(), most_clients=3)
    assert all(is_let_in(limiter, name) for name in ("a", "b", "c"))
    assert not is_let_in(limiter, "a")
    assert is_let_in(limiter, "d")
    assert not is_let_in(limiter, "a"), "seen a moment ago, and so remembered"
    assert is_let_in(limiter, "b")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:1:2:3::4", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "address:2001:db8:1:2::/64"),
        (None, "address:unknown"),
        ("a socket", "address:unknown"),
    ],
)
def test_a_client_cannot_change_its_address_within_its_own_network(address: str | None, client: str) -> None:
    assert client_of(address) == client
