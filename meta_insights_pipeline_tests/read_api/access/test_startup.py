"""Whether the API may start: every case of the rule."""

from itertools import product
from typing import Literal

import pytest

from meta_insights_pipeline.read_api.access.startup import is_loopback, start_verdict

LOCAL = ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"]
PUBLIC = [
    *("0.0.0.0", "::", "", "192.0.2.7", "10.0.0.1", "api.shop.test", "localhost.evil.test"),
    *("::ffff:10.0.0.1", "127.0.0.1.evil.test", "2130706433", "0", "*"),
]
MODES: tuple[Literal["stub", "live"], ...] = ("stub", "live")


@pytest.mark.parametrize("host", LOCAL)
def test_addresses_of_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", PUBLIC)
def test_addresses_that_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


def test_without_credentials_the_api_answers_in_stub_mode_on_this_machine_when_asked_for_and_never_else() -> None:
    for host, mode, has_keys, has_jwt in product(LOCAL + PUBLIC, MODES, (True, False), (True, False)):
        verdict = start_verdict(host=host, mode=mode, has_keys=has_keys, has_jwt=has_jwt, is_open_asked=True)
        assert verdict.is_allowed is (mode == "stub" and host in LOCAL)


def test_another_address_without_access_control_is_refused_at_start() -> None:
    for host, mode, has_keys, has_jwt in product(PUBLIC, MODES, (True, False), (True, False)):
        verdict = start_verdict(host=host, mode=mode, has_keys=has_keys, has_jwt=has_jwt, is_open_asked=False)
        assert verdict.is_allowed is (has_keys or has_jwt)


@pytest.mark.parametrize(
    ("host", "mode", "has_keys", "has_jwt", "is_open", "sentence"),
    [
        ("127.0.0.1", "stub", False, False, True, "no key is needed"),
        ("127.0.0.1", "live", True, True, True, "Real numbers are not shown without a key; make a key with"),
        ("0.0.0.0", "stub", True, False, True, "not on 0.0.0.0; use --host 127.0.0.1"),
        ("0.0.0.0", "live", False, False, False, "listen on 0.0.0.0 without access control; make a key"),
        ("0.0.0.0", "live", True, True, False, "holders of API keys and tokens"),
        ("127.0.0.1", "live", False, True, False, "holders of tokens"),
        ("127.0.0.1", "live", False, False, False, "answers nobody; make a key"),
    ],
)
def test_the_verdict_is_one_sentence_that_says_who_may_ask_or_what_would_help(
    host: str, mode: Literal["stub", "live"], has_keys: bool, has_jwt: bool, is_open: bool, sentence: str
) -> None:
    verdict = start_verdict(host=host, mode=mode, has_keys=has_keys, has_jwt=has_jwt, is_open_asked=is_open)
    assert sentence in verdict.sentence
    assert verdict.sentence.endswith(".")
    assert verdict.sentence.count(". ") == 0
