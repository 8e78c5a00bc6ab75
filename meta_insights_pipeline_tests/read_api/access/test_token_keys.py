"""Which algorithms go with which key, decided by the settings and never by a token."""

import pytest

from meta_insights_pipeline.read_api.access.token_keys import fixed_keys, jwks_algorithms
from meta_insights_pipeline.settings import SettingsError
from meta_insights_pipeline_tests.read_api.access.issuer import ec_key, private_pem, public_pem, rsa_key

SECRET = "0123456789abcdef" * 4


def test_published_keys_go_with_rs256_and_es256_unless_others_are_named() -> None:
    assert jwks_algorithms(()) == ("RS256", "ES256")
    assert jwks_algorithms(("PS512",)) == ("PS512",)


def test_published_keys_never_go_with_a_shared_secret() -> None:
    with pytest.raises(SettingsError, match=r"META_INSIGHTS_JWT_ALGORITHMS names HS256.* public"):
        jwks_algorithms(("RS256", "HS256"))


@pytest.mark.parametrize(
    ("text", "wanted", "algorithms"),
    [
        (public_pem(rsa_key("issuer")), (), ("RS256",)),
        (public_pem(ec_key("issuer")), (), ("ES256",)),
        (public_pem(rsa_key("issuer")), ("PS256", "RS512"), ("PS256", "RS512")),
        (public_pem(rsa_key("issuer")).replace("\n", "\\n"), (), ("RS256",)),
        (SECRET, (), ("HS256",)),
        (SECRET, ("HS512",), ("HS512",)),
    ],
    ids=["RSA", "P-256", "RSA, named", "RSA in one line", "secret", "secret, named"],
)
def test_the_algorithm_follows_from_the_key(text: str, wanted: tuple[str, ...], algorithms: tuple[str, ...]) -> None:
    keys = fixed_keys(text, wanted)
    assert keys.algorithms == algorithms
    assert keys.find("any id", algorithms[0]) is not None
    assert keys.find(None, "none") is None
    assert keys.find(None, "HS384") is None


@pytest.mark.parametrize(
    ("text", "wanted", "cause"),
    [
        (public_pem(rsa_key("issuer")), ("HS256",), "does not go with"),
        (SECRET, ("RS256",), "does not go with"),
        (public_pem(rsa_key("issuer")), ("ES256",), "cannot be used with ES256"),
        (public_pem(ec_key("issuer")), ("ES384",), "cannot be used with ES384"),
        (public_pem(rsa_key("issuer")), ("RS256", "ES256"), "cannot be used with ES256"),
        (public_pem(rsa_key("small", 1024)), (), "2048 bits"),
        ("-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----", (), "cannot be used"),
        (private_pem(rsa_key("issuer")), (), "private key"),
        ("0123456789abcdef", (), "32 characters"),
        (SECRET[:40], ("HS384",), "48 for HS384"),
        ('{"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}', (), "cannot be used"),
    ],
    # Keys are made anew by each process, so they cannot name a test.
    ids=range(11),
)
def test_a_key_that_cannot_be_used_is_one_sentence_that_does_not_show_it(
    text: str, wanted: tuple[str, ...], cause: str
) -> None:
    with pytest.raises(SettingsError, match=cause) as caught:
        fixed_keys(text, wanted)
    message = str(caught.value)
    assert "META_INSIGHTS_JWT" in message
    assert "\n" not in message
    assert text not in message
    assert all(line not in message for line in text.splitlines()[1:-1])
