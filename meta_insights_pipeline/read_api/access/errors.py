"""What access control refuses, and what keeps it from working.

A sentence of a refusal never says whether a key exists, what was wrong with it, or anything of what was sent.
"""

import math

from meta_insights_pipeline.read_api.errors import ApiError

_REALM = 'Bearer realm="meta-insights"'


class AccessFileError(Exception):
    """The file of the keys cannot be used; one sentence with its name and the remedy, for whoever runs the server."""


class CredentialsError(ApiError):
    """401: no credentials, or none that are accepted."""

    status = 401

    @classmethod
    def missing(cls) -> "CredentialsError":
        """Nothing was sent."""
        return cls(
            "This needs an API key or a token: send Authorization: Bearer <key or token>, or X-API-Key: <key>.",
            {"WWW-Authenticate": _REALM},
        )

    @classmethod
    def invalid(cls) -> "CredentialsError":
        """What was sent is not accepted, whatever the reason."""
        return cls(
            "The API key or token is not valid; it may be mistyped, expired or revoked.",
            {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
        )

    @classmethod
    def ambiguous(cls) -> "CredentialsError":
        """More than one credential was sent."""
        return cls(
            "The request holds more than one credential; send one, in Authorization or in X-API-Key.",
            {"WWW-Authenticate": f'{_REALM}, error="invalid_request"'},
        )

    @classmethod
    def not_local(cls) -> "CredentialsError":
        """Open stub mode was asked under another name than that of this machine, or by a page of another site."""
        return cls(
            "Without a key only requests to 127.0.0.1 or localhost, and from pages there, are answered; "
            "make a key with meta-insights keys create.",
            {"WWW-Authenticate": _REALM},
        )


class ForbiddenError(ApiError):
    """403: known, but not allowed."""

    status = 403


class TooManyRequestsError(ApiError):
    """429: more requests than the limit allows."""

    status = 429

    def __init__(self, per_minute: int, seconds: float) -> None:
        """Say when to come again.

        Args:
            per_minute: The limit.
            seconds: How long until the next request is answered.
        """
        wait = max(1, math.ceil(seconds))
        super().__init__(
            f"More than {per_minute} requests a minute; ask again in {wait} s.", {"Retry-After": str(wait)}
        )
