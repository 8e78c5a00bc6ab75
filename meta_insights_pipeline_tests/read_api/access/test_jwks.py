"""Published keys: fetched when needed and no more often, and kept through an outage."""

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from meta_insights_pipeline.read_api.access.jwks import (
    FETCH_PAUSE_SECONDS,
    LONGEST_OUTAGE_SECONDS,
    REFRESH_SECONDS,
    JwksError,
    JwksKeys,
    fetch_jwks,
    usable_keys,
)
from meta_insights_pipeline.read_api.errors import UnavailableError
from meta_insights_pipeline_tests.read_api.access.issuer import Publication, ec_key, jwk, published, rsa_key

ALGORITHMS = ("RS256", "ES256")
ONE = jwk(rsa_key("issuer"), "one")
TWO = jwk(ec_key("issuer"), "two")


class Issuer:
    """What an issuer publishes, fetched without HTTP, at a time of our own."""

    def __init__(self, *entries: Mapping[str, Any]) -> None:
        self.entries = list(entries)
        self.is_down = False
        self.fetched = 0
        self.seconds = 1000.0
        self.keys = JwksKeys("https://unused", ALGORITHMS, fetch=self.fetch, monotonic=lambda: self.seconds)

    def fetch(self, _url: str) -> Mapping[str, Any]:
        self.fetched += 1
        if self.is_down:
            raise JwksError("it is down")
        return {"keys": self.entries}


def test_keys_are_fetched_once_for_many_tokens() -> None:
    issuer = Issuer(ONE, TWO)
    assert issuer.fetched == 0
    for _ in range(50):
        assert issuer.keys.find("one", "RS256") is not None
        assert issuer.keys.find("two", "ES256") is not None
    assert issuer.fetched == 1


def test_a_key_goes_with_its_own_algorithm_alone() -> None:
    issuer = Issuer(ONE, TWO, jwk(rsa_key("issuer"), "three", alg="RS512"))
    assert issuer.keys.find("one", "ES256") is None
    assert issuer.keys.find("two", "RS256") is None
    assert issuer.keys.find("three", "RS256") is None
    assert issuer.keys.find("one", "HS256") is None
    assert issuer.fetched == 1


def test_a_new_key_is_found_as_soon_as_a_token_names_it() -> None:
    issuer = Issuer(ONE)
    assert issuer.keys.find("one", "RS256") is not None
    issuer.entries = [ONE, TWO]
    issuer.seconds += FETCH_PAUSE_SECONDS
    assert issuer.keys.find("two", "ES256") is not None
    assert issuer.fetched == 2


def test_a_flood_of_unknown_key_ids_leads_to_one_fetch_a_minute() -> None:
    issuer = Issuer(ONE)
    for number in range(3000):
        assert issuer.keys.find(f"made up {number}", "RS256") is None
        assert issuer.keys.find("one", "RS256") is not None
        issuer.seconds += 0.1
    assert issuer.fetched == 3000 * 0.1 / FETCH_PAUSE_SECONDS


@pytest.mark.parametrize("key_id", [None, 7, "", ["one"], {"one": 1}, "x" * 300])
def test_what_is_no_key_id_finds_nothing(key_id: object) -> None:
    issuer = Issuer(ONE)
    assert issuer.keys.find("one", "RS256") is not None
    assert issuer.keys.find(key_id, "RS256") is None
    assert issuer.fetched == 1


def test_a_key_that_the_issuer_took_back_ends_with_the_next_refresh() -> None:
    issuer = Issuer(ONE, TWO)
    assert issuer.keys.find("one", "RS256") is not None
    issuer.entries = [TWO]
    issuer.seconds += REFRESH_SECONDS - 1
    assert issuer.keys.find("one", "RS256") is not None
    issuer.seconds += 1
    assert issuer.keys.find("one", "RS256") is None
    assert issuer.keys.find("two", "ES256") is not None


def test_known_keys_go_on_while_the_issuer_is_down_for_a_day(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer(ONE)
    assert issuer.keys.find("one", "RS256") is not None
    issuer.is_down = True
    issuer.seconds += LONGEST_OUTAGE_SECONDS - 1
    for _ in range(100):
        assert issuer.keys.find("one", "RS256") is not None
    assert issuer.fetched == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with pytest.raises(UnavailableError):
        issuer.keys.find("two", "ES256")
    issuer.seconds += 1
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        issuer.keys.find("one", "RS256")
    issuer.is_down = False
    issuer.seconds += FETCH_PAUSE_SECONDS
    assert issuer.keys.find("one", "RS256") is not None


def test_before_any_key_was_fetched_a_token_is_not_called_wrong() -> None:
    issuer = Issuer(ONE)
    issuer.is_down = True
    for _ in range(20):
        with pytest.raises(UnavailableError) as caught:
            issuer.keys.find("one", "RS256")
        assert caught.value.headers == {"Retry-After": "60"}
    assert issuer.fetched == 1


def test_all_who_come_before_the_first_keys_wait_for_one_fetch() -> None:
    begun, go = threading.Event(), threading.Event()
    issuer = Issuer(ONE)

    def slow(url: str) -> Mapping[str, Any]:
        begun.set()
        assert go.wait(20)
        return issuer.fetch(url)

    keys = JwksKeys("https://unused", ALGORITHMS, fetch=slow, monotonic=lambda: issuer.seconds)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(keys.find, "one", "RS256") for _ in range(8)]
        assert begun.wait(20)
        go.set()
        assert all(one.result(20) is not None for one in waiting)
    assert issuer.fetched == 1


def test_known_keys_do_not_wait_for_a_slow_issuer() -> None:
    begun, go = threading.Event(), threading.Event()
    issuer = Issuer(ONE)

    def slow(url: str) -> Mapping[str, Any]:
        if issuer.fetched:
            begun.set()
            assert go.wait(20)
        return issuer.fetch(url)

    keys = JwksKeys("https://unused", ALGORITHMS, fetch=slow, monotonic=lambda: issuer.seconds)
    assert keys.find("one", "RS256") is not None
    issuer.seconds += FETCH_PAUSE_SECONDS
    with ThreadPoolExecutor(1) as pool:
        unknown = pool.submit(keys.find, "made up", "RS256")
        assert begun.wait(20)
        assert keys.find("one", "RS256") is not None
        assert keys.find("made up too", "RS256") is None
        assert not unknown.done()
        go.set()
        assert unknown.result(20) is None


# ---- the document ----


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kid": "shared", "alg": "HS256"},
        {**ONE, "use": "enc"},
        {name: value for name, value in ONE.items() if name != "kid"},
        {**ONE, "kid": 7},
        {**ONE, "d": "AQAB"},
        {**ONE, "n": "!!"},
        {**ONE, "n": 12},
        {**TWO, "crv": "P-384"},
        jwk(rsa_key("small", 1024), "small"),
        "text",
        None,
    ],
)
def test_entries_that_are_no_public_signing_keys_are_passed_over(entry: Any) -> None:
    assert set(usable_keys({"keys": [entry, TWO]}, ALGORITHMS)) == {("two", "ES256")}
    with pytest.raises(JwksError, match="no key for RS256, ES256"):
        usable_keys({"keys": [entry]}, ALGORITHMS)


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": "one"}, {"keys": {}}, {"keys": []}])
def test_a_document_without_keys_is_an_error(document: Mapping[str, Any]) -> None:
    with pytest.raises(JwksError):
        usable_keys(document, ALGORITHMS)


def test_an_answer_without_usable_keys_does_not_replace_those_that_are_known() -> None:
    issuer = Issuer(ONE)
    assert issuer.keys.find("one", "RS256") is not None
    issuer.entries = []
    issuer.seconds += REFRESH_SECONDS
    assert issuer.keys.find("one", "RS256") is not None
    assert issuer.fetched == 2


def test_keys_come_over_http() -> None:
    publication = Publication({"keys": [ONE, TWO]})
    with published(publication) as url:
        keys = JwksKeys(url, ALGORITHMS)
        assert keys.find("two", "ES256") is not None
        assert keys.find("three", "ES256") is None
    assert publication.fetched == 1


@pytest.mark.parametrize(
    ("publication", "cause"),
    [
        (Publication(status=500), "status 500"),
        (Publication(status=302, headers={"Location": "http://127.0.0.1:9/"}), "status 302"),
        (Publication(body=b"<html>secret page</html>"), "no JSON"),
        (Publication(body=b"[1]"), "no JSON object"),
        (Publication(body=b"[" * 100_000), "no JSON"),
        (Publication(body=b" " * 300_000), "more than 262144 bytes"),
    ],
)
def test_an_answer_that_is_no_jwks_is_an_error_that_repeats_nothing_of_it(publication: Publication, cause: str) -> None:
    with published(publication) as url, pytest.raises(JwksError, match=cause) as caught:
        fetch_jwks(url)
    assert "secret" not in str(caught.value)
    assert publication.fetched == 1


def test_an_issuer_that_cannot_be_reached_is_an_error() -> None:
    with published(Publication()) as url:
        pass
    with pytest.raises(JwksError, match="ConnectionError"):
        fetch_jwks(url)
