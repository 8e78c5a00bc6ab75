"""From headers to whoever asks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from meta_insights_pipeline.read_api.access.api_keys import new_api_key
from meta_insights_pipeline.read_api.access.authenticator import Authenticator
from meta_insights_pipeline.read_api.access.credentials import credential_in, is_local
from meta_insights_pipeline.read_api.access.errors import CredentialsError
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import OPEN, Principal, Role
from meta_insights_pipeline.read_api.access.token_keys import fixed_keys
from meta_insights_pipeline.read_api.access.tokens import TokenRules, TokenVerifier
from meta_insights_pipeline_tests.read_api.access.issuer import signed

SECRET = "correct horse battery staple, and more of it"
MISSING, INVALID, AMBIGUOUS = (
    made().sentence for made in (CredentialsError.missing, CredentialsError.invalid, CredentialsError.ambiguous)
)
LOCAL = {"Host": "127.0.0.1:8080"}


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for name, value in pairs])


def tokens() -> TokenVerifier:
    rules = TokenRules(("HS256",), None, None, 30, "role", "accounts", needs_accounts=False)
    return TokenVerifier(rules, fixed_keys(SECRET, ()))


@pytest.fixture
def authenticator(book: KeyBook) -> Authenticator:
    return Authenticator(book, tokens(), is_open=False)


@pytest.fixture
def open_to_all(book: KeyBook) -> Authenticator:
    return Authenticator(book, None, is_open=True)


def sentence_of(authenticator: Authenticator, *pairs: tuple[str, str]) -> str:
    with pytest.raises(CredentialsError) as caught:
        authenticator.authenticate(headers(*pairs))
    assert "WWW-Authenticate" in caught.value.headers
    return caught.value.sentence


def test_a_key_may_be_sent_in_either_header(book: KeyBook, authenticator: Authenticator) -> None:
    key = book.create("k", Role.OPERATOR, by="u", accounts=["1"])
    who = Principal("key", key.id, Role.OPERATOR, frozenset({"1"}))
    for pair in (
        ("Authorization", f"Bearer {key.reveal()}"),
        ("Authorization", f"bearer  {key.reveal()} "),
        ("X-API-Key", key.reveal()),
        ("x-api-key", f" {key.reveal()}"),
    ):
        assert authenticator.authenticate(headers(pair)) == who


def test_a_token_may_be_sent_in_either_header(authenticator: Authenticator) -> None:
    token = signed(SECRET, "HS256")
    for pair in (("Authorization", f"Bearer {token}"), ("X-API-Key", token)):
        assert authenticator.authenticate(headers(pair)).label == "token:alice"


def test_whatever_is_wrong_with_a_credential_the_words_are_the_same(
    book: KeyBook, authenticator: Authenticator
) -> None:
    revoked, expired, known = (book.create("k", Role.VIEWER, by="u", days=1) for _ in range(3))
    book.revoke(revoked.id, by="u")
    wrong = [
        new_api_key().reveal(),
        revoked.reveal(),
        known.reveal()[:-1] + ("0" if known.reveal()[-1] != "0" else "1"),
        known.reveal()[:-1],
        known.reveal() + "0",
        known.id,
        "mik_",
        "mik_" + "x" * 50_000,
        "password",
        signed("another secret that is long enough", "HS256"),
    ]
    assert {sentence_of(authenticator, ("X-API-Key", one)) for one in wrong} == {INVALID}
    assert {sentence_of(authenticator, ("Authorization", f"Bearer {one}")) for one in wrong} == {INVALID}
    assert expired.id not in INVALID


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "", "mik_0f", "Digest a", "Bearer\tx"])
def test_another_scheme_or_an_empty_header_is_a_wrong_credential(authenticator: Authenticator, value: str) -> None:
    assert sentence_of(authenticator, ("Authorization", value)) == INVALID


def test_nothing_sent_is_told_what_to_send(authenticator: Authenticator) -> None:
    assert sentence_of(authenticator, *LOCAL.items()) == MISSING


def test_more_than_one_credential_is_refused_also_when_both_are_right(
    book: KeyBook, authenticator: Authenticator
) -> None:
    key = book.create("k", Role.VIEWER, by="u").reveal()
    for name, value in (("X-API-Key", key), ("Authorization", f"Bearer {key}"), ("Authorization", "Basic eA==")):
        assert sentence_of(authenticator, ("Authorization", f"Bearer {key}"), (name, value)) == AMBIGUOUS


def test_a_token_is_wrong_where_no_tokens_are_accepted(book: KeyBook) -> None:
    authenticator = Authenticator(book, None, is_open=False)
    assert sentence_of(authenticator, ("Authorization", f"Bearer {signed(SECRET, 'HS256')}")) == INVALID


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=120))
def test_whatever_stands_in_the_headers_there_is_one_credential_or_none(text: str) -> None:
    for name in ("Authorization", "X-API-Key"):
        try:
            credential = credential_in(headers((name, text)))
        except CredentialsError:
            continue
        assert credential
        assert credential in text
        assert credential == credential.strip()


# ---- open stub mode ----


def test_in_open_stub_mode_this_machine_needs_no_key(open_to_all: Authenticator) -> None:
    for host in ("127.0.0.1:8080", "localhost:8080", "LocalHost", "[::1]:8080"):
        assert open_to_all.authenticate(headers(("Host", host))) is OPEN
    here = ("Host", "127.0.0.1:8080"), ("Origin", "http://localhost:3001"), ("Sec-Fetch-Site", "same-site")
    assert open_to_all.authenticate(headers(*here)) is OPEN


@pytest.mark.parametrize(
    "pairs",
    [
        [("Host", "evil.test")],
        [("Host", "127.0.0.1.evil.test:8080")],
        [("Host", "")],
        [("Host", "[")],
        [],
        [("Host", "127.0.0.1"), ("Origin", "https://evil.test")],
        [("Host", "127.0.0.1"), ("Origin", "null")],
        [("Host", "127.0.0.1"), ("Origin", "http://localhost.evil.test")],
        [("Host", "127.0.0.1"), ("Origin", "http://localhost@evil.test")],
        [("Host", "127.0.0.1"), ("Sec-Fetch-Site", "cross-site")],
    ],
)
def test_in_open_stub_mode_pages_of_other_sites_are_not_answered(
    open_to_all: Authenticator, pairs: list[tuple[str, str]]
) -> None:
    assert not is_local(headers(*pairs))
    assert "127.0.0.1 or localhost" in sentence_of(open_to_all, *pairs)


def test_in_open_stub_mode_a_key_still_means_what_it_means(book: KeyBook, open_to_all: Authenticator) -> None:
    key = book.create("k", Role.VIEWER, by="u", accounts=["1"])
    who = open_to_all.authenticate(headers(*LOCAL.items(), ("X-API-Key", key.reveal())))
    assert (who.role, who.accounts) == (Role.VIEWER, frozenset({"1"}))
    book.revoke(key.id, by="u")
    assert sentence_of(open_to_all, *LOCAL.items(), ("X-API-Key", key.reveal())) == INVALID
