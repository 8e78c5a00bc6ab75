"""The form of API keys."""

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.access.api_keys import ApiKey, key_id_in, new_api_key, parse_api_key

HEX = "0123456789abcdef"
KEYS = st.builds(ApiKey, st.text(HEX, min_size=12, max_size=12), st.text(HEX, min_size=64, max_size=64))


@settings(deadline=None)
@given(KEYS)
def test_a_key_that_is_shown_can_be_read_again(key: ApiKey) -> None:
    assert parse_api_key(key.reveal()) == key
    assert key_id_in(key.reveal()) == key_id_in(key.id) == key_id_in(f" mik_{key.id}\n") == key.id


@settings(deadline=None)
@given(KEYS, st.integers(0, 80), st.characters())
def test_a_key_with_one_other_character_is_another_key_or_none(key: ApiKey, at: int, character: str) -> None:
    text = key.reveal()
    changed = text[:at] + character + text[at + 1 :]
    parsed = parse_api_key(changed)
    assert (parsed == key) is (changed == text)
    assert parsed is None or parsed.reveal() == changed


@settings(deadline=None)
@given(st.text())
def test_whatever_is_read_as_a_key_is_written_the_same(text: str) -> None:
    parsed = parse_api_key(text)
    assert parsed is None or parsed.reveal() == text


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "{}0", "MIK{}", "{}_"])
def test_nothing_may_stand_around_a_key(around: str) -> None:
    assert parse_api_key(around.format(new_api_key().reveal())) is None


def test_keys_are_random_and_their_secret_has_256_bits() -> None:
    keys = [new_api_key() for _ in range(200)]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 200
    assert all(re.fullmatch(r"mik_[0-9a-f]{12}_[0-9a-f]{64}", key.reveal()) for key in keys)
    # Each of the 256 bits is set in some key and clear in another.
    numbers = [int(key.secret, 16) for key in keys]
    for bit in range(256):
        assert len({number >> bit & 1 for number in numbers}) == 2


def test_a_key_hides_its_secret_when_it_is_printed_and_is_stored_as_a_hash() -> None:
    key = new_api_key()
    assert key.secret not in f"{key} {key!r} {[key]}"
    assert key.hash() == hashlib.sha256(key.secret.encode()).digest()
