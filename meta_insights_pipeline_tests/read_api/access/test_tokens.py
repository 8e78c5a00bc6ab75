"""Tokens: what is believed, and the known ways to forge one."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.read_api.access.errors import CredentialsError, ForbiddenError
from meta_insights_pipeline.read_api.access.principal import Principal, Role
from meta_insights_pipeline.read_api.access.tokens import TokenVerifier, token_verifier
from meta_insights_pipeline.settings import Settings, SettingsError, load_settings
from meta_insights_pipeline_tests.read_api.access.issuer import (
    Publication,
    claims,
    ec_key,
    jwk,
    public_pem,
    published,
    rsa_key,
    signed,
    unsigned,
)

ISSUER = "https://login.test/"
AUDIENCE = "meta-insights"
SECRET = "correct horse battery staple, and more of it"
RSA, EC, STRANGER = rsa_key("issuer"), ec_key("issuer"), rsa_key("stranger")
RIGHT: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE}


def settings_with(**variables: str) -> Settings:
    """Settings of these variables, named without META_INSIGHTS_JWT_ in front."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(f"META_INSIGHTS_JWT_{name}", value)
        return load_settings(None)


def verifier_with(**variables: str) -> TokenVerifier:
    verifier = token_verifier(settings_with(**variables))
    assert verifier is not None
    return verifier


@pytest.fixture(scope="module")
def verifier() -> Iterator[TokenVerifier]:
    keys = [jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(rsa_key("named"), "named", alg="RS256")]
    with published(Publication({"keys": keys})) as url:
        yield verifier_with(JWKS_URL=url, ISSUER=ISSUER, AUDIENCE=AUDIENCE)


# ---- what is believed ----


def test_a_token_of_the_issuer_says_who_asks(verifier: TokenVerifier) -> None:
    token = signed(RSA, "RS256", "rsa", **RIGHT, role="operator", accounts=["act_1", "2"])
    assert verifier.principal(token) == Principal("token", "alice", Role.OPERATOR, frozenset({"1", "2"}))
    assert verifier.principal(signed(EC, "ES256", "ec", **RIGHT)) == Principal("token", "alice", Role.VIEWER, None)


def test_one_audience_of_several_is_enough(verifier: TokenVerifier) -> None:
    assert verifier.principal(signed(EC, "ES256", "ec", iss=ISSUER, aud=["other", AUDIENCE])).subject == "alice"


@pytest.mark.parametrize("pem", [True, False])
def test_one_key_of_the_settings_does_without_a_key_id(pem: bool) -> None:
    key, algorithm = (RSA, "RS256") if pem else (SECRET, "HS256")
    verifier = verifier_with(KEY=public_pem(RSA) if pem else SECRET)
    assert verifier.principal(signed(key, algorithm)).subject == "alice"
    assert verifier.principal(signed(key, algorithm, "whatever")).subject == "alice"


def test_clocks_may_be_apart_by_the_leeway_and_no_more() -> None:
    now = int(time.time())
    verifier = verifier_with(KEY=SECRET)
    within: list[dict[str, Any]] = [{"exp": now - 20}, {"nbf": now + 20}, {"iat": now + 20}]
    beyond: list[dict[str, Any]] = [{"exp": now - 40}, {"nbf": now + 50}, {"iat": now + 50}]
    for changes in within:
        assert verifier.principal(signed(SECRET, "HS256", **changes)).subject == "alice"
    for changes in beyond:
        with pytest.raises(CredentialsError):
            verifier.principal(signed(SECRET, "HS256", **changes))
    with pytest.raises(CredentialsError):
        verifier_with(KEY=SECRET, LEEWAY_SECONDS="0").principal(signed(SECRET, "HS256", exp=now - 2))


def test_role_and_accounts_may_stand_in_claims_of_other_names() -> None:
    verifier = verifier_with(KEY=SECRET, ROLE_CLAIM="realm_access.roles", ACCOUNTS_CLAIM="https://shop.test/accounts")
    names: dict[str, Any] = {"realm_access": {"roles": ["admin"]}, "https://shop.test/accounts": "1 2"}
    assert verifier.principal(signed(SECRET, "HS256", **names)) == Principal(
        "token", "alice", Role.ADMIN, frozenset({"1", "2"})
    )
    del names["https://shop.test/accounts"]
    with pytest.raises(ForbiddenError, match="which ad accounts"):
        verifier.principal(signed(SECRET, "HS256", **names))


def test_a_token_that_is_believed_but_names_no_role_is_refused_as_such(verifier: TokenVerifier) -> None:
    with pytest.raises(ForbiddenError, match="names no role"):
        verifier.principal(signed(EC, "ES256", "ec", **RIGHT, role=None))


# ---- what is not ----


def _mac(header: dict[str, Any], key: bytes) -> str:
    """A token signed with HMAC-SHA-256, whatever the key is for."""
    head = unsigned(header, claims(**RIGHT)).rpartition(".")[0]
    signature = hmac.new(key, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _tampered() -> str:
    header, _, signature = signed(RSA, "RS256", "rsa", **RIGHT).split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims(**RIGHT, role="admin")).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}.{signature}"


def _with_own_key() -> str:
    """The attacker's key in the header, as `jwk`, `jku` and `x5u`."""
    headers = {"kid": "rsa", "jwk": jwk(STRANGER, "rsa"), "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}
    return jwt.encode(claims(**RIGHT), STRANGER, "RS256", headers=headers)


def _critical() -> str:
    return jwt.encode(claims(**RIGHT), RSA, "RS256", headers={"kid": "rsa", "crit": ["new"], "new": 1})


PEM = public_pem(RSA).encode()
NOW = int(time.time())
FORGED = {
    "no algorithm": unsigned({"alg": "none", "kid": "rsa"}, claims(**RIGHT)),
    "no algorithm, in other letters": unsigned({"alg": "nOnE", "kid": "rsa"}, claims(**RIGHT)),
    "an algorithm that is no text": unsigned({"alg": ["RS256"], "kid": "rsa"}, claims(**RIGHT)),
    "no header of an algorithm": unsigned({"kid": "rsa"}, claims(**RIGHT)),
    "HS256 with the public key": _mac({"alg": "HS256", "kid": "rsa"}, PEM),
    "HS256 with the public key, no line end": _mac({"alg": "HS256", "kid": "rsa"}, PEM.strip()),
    "HS256 with the key of the JWKS": _mac({"alg": "HS256", "kid": "rsa"}, json.dumps(jwk(RSA, "rsa")).encode()),
    "HS256 with nothing": _mac({"alg": "HS256", "kid": "rsa"}, b""),
    "RS256 in the header, HMAC in the signature": _mac({"alg": "RS256", "kid": "rsa"}, PEM),
    "an algorithm that is not pinned": signed(RSA, "RS512", "rsa", **RIGHT),
    "another padding": signed(RSA, "PS256", "rsa", **RIGHT),
    "a stranger's key": signed(STRANGER, "RS256", "rsa", **RIGHT),
    "another key of the issuer": signed(RSA, "RS256", "named", **RIGHT),
    "a key of another kind": signed(RSA, "RS256", "ec", **RIGHT),
    "the stranger's key in the header": _with_own_key(),
    "no signature": unsigned({"alg": "RS256", "kid": "rsa"}, claims(**RIGHT)),
    "a signature of zeros (CVE-2022-21449)": unsigned({"alg": "ES256", "kid": "ec"}, claims(**RIGHT), bytes(64)),
    "other claims under a signature": _tampered(),
    "a critical extension": _critical(),
    "expired": signed(RSA, "RS256", "rsa", **RIGHT, exp=NOW - 3600),
    "expired before time began": signed(RSA, "RS256", "rsa", **RIGHT, exp=-1),
    "an end that is no number": signed(RSA, "RS256", "rsa", **RIGHT, exp="never"),
    "no end": signed(RSA, "RS256", "rsa", **RIGHT, exp=None),
    "not yet valid": signed(RSA, "RS256", "rsa", **RIGHT, nbf=NOW + 3600),
    "made in the future": signed(RSA, "RS256", "rsa", **RIGHT, iat=NOW + 3600),
    "another issuer": signed(RSA, "RS256", "rsa", aud=AUDIENCE, iss="https://login.test.evil/"),
    "the issuer without its slash": signed(RSA, "RS256", "rsa", aud=AUDIENCE, iss=ISSUER.rstrip("/")),
    "no issuer": signed(RSA, "RS256", "rsa", aud=AUDIENCE),
    "another audience": signed(RSA, "RS256", "rsa", iss=ISSUER, aud="another app"),
    "no audience": signed(RSA, "RS256", "rsa", iss=ISSUER),
    "an audience that is an object": signed(RSA, "RS256", "rsa", iss=ISSUER, aud={AUDIENCE: 1}),
    "no subject": signed(RSA, "RS256", "rsa", **RIGHT, sub=None),
    "an empty subject": signed(RSA, "RS256", "rsa", **RIGHT, sub=""),
    "a subject of several lines": signed(RSA, "RS256", "rsa", **RIGHT, sub="alice\nkey:0f"),
    "no key id": signed(RSA, "RS256", **RIGHT),
    "an unknown key id": signed(RSA, "RS256", "unknown", **RIGHT),
    "a key id that is a path": signed(RSA, "RS256", "../../../../dev/null", **RIGHT),
    "a key id that is SQL": signed(RSA, "RS256", "x' UNION SELECT 'key' --", **RIGHT),
    "a key id that is an address": signed(RSA, "RS256", "http://127.0.0.1:9/key", **RIGHT),
    "a huge key id": signed(RSA, "RS256", "k" * 3000, **RIGHT),
    "a key id that is a number": unsigned({"alg": "RS256", "kid": 7}, claims(**RIGHT), b"x"),
    "a key id that is an object": unsigned({"alg": "RS256", "kid": {"a": 1}}, claims(**RIGHT), b"x"),
    "a huge token": signed(RSA, "RS256", "rsa", **RIGHT, note="x" * 20_000),
    "a deep header": base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".e30.",
    "claims that are a list": jwt.PyJWS().encode(b"[]", RSA, "RS256", headers={"kid": "rsa"}),
    "claims that are no JSON": jwt.PyJWS().encode(b"\xff", RSA, "RS256", headers={"kid": "rsa"}),
    "an encrypted token": "a.b.c.d.e",
    "two parts": "e30.e30",
    "dots": "...",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=list(FORGED))
def test_a_forged_token_is_refused_and_nothing_of_it_is_repeated(
    verifier: TokenVerifier, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "meta_insights_pipeline")
    with pytest.raises(CredentialsError) as caught:
        verifier.principal(token)
    assert caught.value.sentence == CredentialsError.invalid().sentence
    assert caught.value.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    (record,) = caplog.records
    assert record.getMessage().startswith("A token was refused: ")
    parts = [part for part in token.split(".") if len(part) > 3]
    assert not any(part in record.getMessage() for part in parts)


def test_a_flood_of_tokens_with_made_up_key_ids_does_not_become_a_flood_at_the_issuer() -> None:
    publication = Publication({"keys": [jwk(RSA, "rsa")]})
    with published(publication) as url:
        verifier = verifier_with(JWKS_URL=url, ISSUER=ISSUER, AUDIENCE=AUDIENCE)
        for number in range(200):
            with pytest.raises(CredentialsError):
                verifier.principal(unsigned({"alg": "RS256", "kid": f"made up {number}"}, claims(**RIGHT), b"x"))
        assert verifier.principal(signed(RSA, "RS256", "rsa", **RIGHT)).subject == "alice"
    assert publication.fetched == 1


@pytest.mark.parametrize("pem", [PEM, PEM.strip()], ids=["with its last line end", "without"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "none"])
def test_a_public_key_of_the_settings_is_never_taken_for_a_secret(pem: bytes, algorithm: str) -> None:
    verifier = verifier_with(KEY=pem.decode())
    with pytest.raises(CredentialsError):
        verifier.principal(_mac({"alg": algorithm}, pem))


def test_a_shared_secret_does_not_go_with_other_algorithms_than_its_own() -> None:
    verifier = verifier_with(KEY=SECRET, ALGORITHMS="HS256")
    for token in (
        unsigned({"alg": "none"}, claims()),
        jwt.encode(claims(), SECRET * 2, "HS512"),
        signed(RSA, "RS256"),
        signed("another secret that is long enough", "HS256"),
    ):
        with pytest.raises(CredentialsError):
            verifier.principal(token)


def test_without_an_audience_in_the_settings_a_token_made_for_another_app_is_refused() -> None:
    with pytest.raises(CredentialsError):
        verifier_with(KEY=SECRET).principal(signed(SECRET, "HS256", aud="another app"))


@settings(deadline=None)
@given(st.text(max_size=200) | st.lists(st.text("abcdefABCDEF012=_-", max_size=40), max_size=5).map(".".join))
def test_whatever_is_sent_it_is_an_answer_and_no_crash(text: str) -> None:
    with pytest.raises(CredentialsError):
        verifier_with(KEY=SECRET).principal(text)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2),
    )
)
def test_whatever_the_header_says_an_unsigned_token_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError):
        verifier_with(KEY=SECRET).principal(unsigned(header, claims()))


# ---- the settings ----


def test_without_a_key_in_the_settings_no_token_is_accepted() -> None:
    assert token_verifier(settings_with()) is None


@pytest.mark.parametrize(
    ("variables", "cause"),
    [
        ({"JWKS_URL": "https://login.test/jwks", "KEY": SECRET}, "are both set"),
        ({"ISSUER": ISSUER}, "META_INSIGHTS_JWT_ISSUER is set but no key"),
        ({"AUDIENCE": AUDIENCE}, "META_INSIGHTS_JWT_AUDIENCE is set but no key"),
        ({"ALGORITHMS": "RS256"}, "META_INSIGHTS_JWT_ALGORITHMS is set but no key"),
        ({"ACCOUNTS_CLAIM": "accounts"}, "META_INSIGHTS_JWT_ACCOUNTS_CLAIM is set but no key"),
        ({"JWKS_URL": "https://login.test/jwks", "ALGORITHMS": "HS256"}, "shared secret"),
        ({"JWKS_URL": "http://login.test/jwks"}, "META_INSIGHTS_JWT_JWKS_URL is .* https://"),
        ({"JWKS_URL": "file:///etc/keys"}, "META_INSIGHTS_JWT_JWKS_URL is .* https://"),
        ({"KEY": SECRET, "ALGORITHMS": "none"}, "META_INSIGHTS_JWT_ALGORITHMS is .* comma list of RS256"),
        ({"KEY": SECRET, "ALGORITHMS": "HS256,hs512"}, "META_INSIGHTS_JWT_ALGORITHMS is"),
        ({"KEY": "short"}, "32 characters"),
        ({"KEY": SECRET, "LEEWAY_SECONDS": "-1"}, "META_INSIGHTS_JWT_LEEWAY_SECONDS is '-1'.* from 0 to 300"),
        ({"KEY": SECRET, "LEEWAY_SECONDS": "86400"}, "META_INSIGHTS_JWT_LEEWAY_SECONDS"),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(variables: dict[str, str], cause: str) -> None:
    with pytest.raises(SettingsError, match=cause) as caught:
        token_verifier(settings_with(**variables))
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_key_of_the_settings_does_not_show() -> None:
    settings = settings_with(KEY=SECRET)
    assert SECRET not in repr(settings) + str(settings.model_dump())
