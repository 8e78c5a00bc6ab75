"""What of a request's headers says who asks. No I/O."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from meta_insights_pipeline.read_api.access.api_keys import PREFIX
from meta_insights_pipeline.read_api.access.errors import CredentialsError
from meta_insights_pipeline.read_api.access.startup import is_loopback

API_KEY_HEADER = "X-API-Key"
_SCHEME = "bearer"


def credential_in(headers: Headers) -> str | None:
    """The key or token that a request carries; None when it carries nothing of the kind.

    Raises:
        CredentialsError: It carries two, of which a proxy and this server might believe different ones, or an empty one, or
            one of another scheme than Bearer.
    """
    sent = [(name, value) for name in ("Authorization", API_KEY_HEADER) for value in headers.getlist(name)]
    if not sent:
        return None
    if len(sent) > 1:
        raise CredentialsError.ambiguous()
    ((name, value),) = sent
    if name == API_KEY_HEADER:
        credential = value.strip()
    else:
        scheme, _, rest = value.strip().partition(" ")
        credential = rest.strip() if scheme.lower() == _SCHEME else ""
    if not credential:
        raise CredentialsError.invalid()
    return credential


def has_token(headers: Headers) -> bool:
    """Whether a request carries what can only be a token, the check of which may need keys that are elsewhere."""
    sent = headers.get("Authorization") or headers.get(API_KEY_HEADER) or ""
    credential = sent.strip().rpartition(" ")[2]
    # The prefix cannot begin a token, which is Base64 of a JSON object.
    return bool(credential) and not credential.startswith(PREFIX)


def is_local(headers: Headers) -> bool:
    """Whether a request was addressed to this machine by its own name, and not sent by a page of another site.

    Without this any page in a browser on this machine could read an open API, by a name of its own that leads to 127.0.0.1,
    or start a sync.
    """
    origin = headers.get("Origin")
    return (
        _is_here(f"//{headers.get('Host', '')}")
        and (origin is None or _is_here(origin))
        and headers.get("Sec-Fetch-Site") != "cross-site"
    )


def _is_here(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False
