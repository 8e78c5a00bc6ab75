"""JSON Web Tokens (RFC 7519, checked as RFC 8725 asks): whose a token is, if it is one to be believed."""

import logging
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt

from meta_insights_pipeline.read_api.access.claims import accounts_of, role_of
from meta_insights_pipeline.read_api.access.errors import CredentialsError
from meta_insights_pipeline.read_api.access.jwks import JwksKeys
from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.access.token_keys import fixed_keys, jwks_algorithms
from meta_insights_pipeline.settings import Settings, SettingsError

log = logging.getLogger(__name__)

DEFAULT_ACCOUNTS_CLAIM: Final = "accounts"
_LONGEST_TOKEN = 8 * 1024
_LONGEST_SUBJECT = 256


class VerificationKeys(Protocol):
    """Where the keys are that check signatures."""

    def find(self, key_id: object, algorithm: str) -> Any | None:
        """The key for what the header of a token names; None when there is none."""
        ...


@dataclass(frozen=True)
class TokenRules:
    """What is asked of a token."""

    algorithms: tuple[str, ...]
    """The only ones that are accepted."""
    issuer: str | None
    """What `iss` must be; None for anything."""
    audience: str | None
    """What `aud` must be or hold; None: a token made for some audience is refused."""
    leeway_seconds: int
    """How far the clocks of issuer and server may be apart."""
    role_claim: str
    accounts_claim: str
    needs_accounts: bool
    """Whether a token without the claim of accounts is refused."""


class TokenVerifier:
    """Tells whose a token is; safe for threads."""

    def __init__(self, rules: TokenRules, keys: VerificationKeys) -> None:
        self._rules = rules
        self._keys = keys

    def principal(self, token: str) -> Principal:
        """Whose a token is.

        Raises:
            CredentialsError: It is not to be believed, whatever the reason; the log tells the kind of it.
            ForbiddenError: It is, but gives no role, or does not say in a known form which ad accounts it may see.
            UnavailableError: The issuer's keys cannot be fetched.
        """
        claims = self._claims(token)
        subject = claims["sub"]
        if not subject or len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
            raise _refused("a subject that is empty, too long or cannot be printed")
        rules = self._rules
        return Principal(
            kind="token",
            subject=subject,
            role=role_of(claims, rules.role_claim),
            accounts=accounts_of(claims, rules.accounts_claim, is_required=rules.needs_accounts),
        )

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _LONGEST_TOKEN:
            raise _refused("more than 8 KiB")
        rules = self._rules
        try:
            header = jwt.get_unverified_header(token)
            # Only the choice of a key follows from the header; which algorithms there are to choose from does not.
            algorithm = header.get("alg")
            if algorithm not in rules.algorithms:
                raise _refused("another algorithm")
            key = self._keys.find(header.get("kid"), algorithm)
            if key is None:
                raise _refused("an unknown key id")
            return jwt.decode(
                token,
                key,
                algorithms=list(rules.algorithms),
                issuer=rules.issuer,
                audience=rules.audience,
                leeway=rules.leeway_seconds,
                options={
                    "require": ["exp", "sub", *(["iss"] if rules.issuer else [])],
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            # Its message may repeat parts of the token.
            raise _refused(type(error).__name__) from None


def _refused(reason: str) -> CredentialsError:
    log.info("A token was refused: %s.", reason)
    return CredentialsError.invalid()


def token_verifier(settings: Settings) -> TokenVerifier | None:
    """What the settings META_INSIGHTS_JWT_* ask for; None when they name no key.

    Raises:
        SettingsError: They contradict each other, or the key cannot be used.
    """
    keys: VerificationKeys
    if settings.jwt_jwks_url and settings.jwt_key:
        raise SettingsError("META_INSIGHTS_JWT_JWKS_URL and META_INSIGHTS_JWT_KEY are both set; unset one of them.")
    if settings.jwt_jwks_url:
        algorithms = jwks_algorithms(settings.jwt_algorithms)
        keys = JwksKeys(settings.jwt_jwks_url, algorithms)
    elif settings.jwt_key:
        keys = fixed_keys(settings.jwt_key.get_secret_value(), settings.jwt_algorithms)
        algorithms = keys.algorithms
    else:
        _refuse_rules_without_key(settings)
        return None
    rules = TokenRules(
        algorithms=algorithms,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_seconds=settings.jwt_leeway_seconds,
        role_claim=settings.jwt_role_claim,
        accounts_claim=settings.jwt_accounts_claim or DEFAULT_ACCOUNTS_CLAIM,
        needs_accounts=settings.jwt_accounts_claim is not None,
    )
    return TokenVerifier(rules, keys)


def _refuse_rules_without_key(settings: Settings) -> None:
    rules = {
        "META_INSIGHTS_JWT_ISSUER": settings.jwt_issuer,
        "META_INSIGHTS_JWT_AUDIENCE": settings.jwt_audience,
        "META_INSIGHTS_JWT_ALGORITHMS": settings.jwt_algorithms,
        "META_INSIGHTS_JWT_ACCOUNTS_CLAIM": settings.jwt_accounts_claim,
    }
    for name, value in rules.items():
        if value:
            raise SettingsError(
                f"{name} is set but no key that checks tokens is; set META_INSIGHTS_JWT_JWKS_URL or "
                "META_INSIGHTS_JWT_KEY, or unset it."
            )
