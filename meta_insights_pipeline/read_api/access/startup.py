"""Whether the read API may start as it was asked to. No I/O."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from meta_insights_pipeline.settings import Settings

_MAKE_A_KEY = "make a key with meta-insights keys create --name NAME --role viewer"


@dataclass(frozen=True)
class StartVerdict:
    """Whether the API may start, and one sentence for whoever starts it."""

    is_allowed: bool
    sentence: str
    """Who may ask when it starts, or why it must not and what would help."""


def start_verdict(
    *, host: str, mode: Literal["stub", "live"], has_keys: bool, has_jwt: bool, is_open_asked: bool
) -> StartVerdict:
    """Decide.

    Args:
        host: The address or name to listen on.
        mode: Where the rows come from.
        has_keys: Whether any API key is accepted now.
        has_jwt: Whether tokens can be checked.
        is_open_asked: Whether requests without credentials are to be answered, as `meta-insights up` asks for in stub mode.
    """
    is_local = is_loopback(host)
    if is_open_asked:
        if mode != "stub":
            return StartVerdict(False, f"Real numbers are not shown without a key; {_MAKE_A_KEY}.")
        if not is_local:
            return StartVerdict(
                False, f"Without a key the API is open on this machine alone and not on {host}; use --host 127.0.0.1."
            )
        return StartVerdict(True, "Simulated rows, on this machine alone: no key is needed.")
    if has_keys or has_jwt:
        accepted = " and ".join([*(["API keys"] if has_keys else []), *(["tokens"] if has_jwt else [])])
        return StartVerdict(True, f"The API answers holders of {accepted}.")
    if is_local:
        return StartVerdict(True, f"Nobody has a key yet, so the API answers nobody; {_MAKE_A_KEY}.")
    return StartVerdict(
        False,
        f"The API would listen on {host} without access control; {_MAKE_A_KEY}, set META_INSIGHTS_JWT_JWKS_URL or "
        "META_INSIGHTS_JWT_KEY, or use --host 127.0.0.1.",
    )


def token_warning(settings: Settings) -> str | None:
    """One sentence on tokens that are accepted though they may be meant for others; None when there are none such."""
    if not (settings.jwt_jwks_url or settings.jwt_key):
        return None
    claims = {
        "META_INSIGHTS_JWT_ISSUER": (settings.jwt_issuer, "iss"),
        "META_INSIGHTS_JWT_AUDIENCE": (settings.jwt_audience, "aud"),
    }
    open_claims = {name: claim for name, (value, claim) in claims.items() if not value}
    if not open_claims:
        return None
    names, written = " and ".join(open_claims), " and ".join(open_claims.values())
    are, them = ("is", "it") if len(open_claims) == 1 else ("are", "them")
    return (
        f"{names} {are} not set, so tokens that the same keys signed for something else may be accepted; set {them} to what the "
        f"issuer writes into {written}."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; of names, `localhost` alone is taken at its word."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
