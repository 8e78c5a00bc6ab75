"""Access control as a server has it: everything put together from the settings."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
from starlette.datastructures import Headers

from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.audit import AuditLog
from meta_insights_pipeline.read_api.access.authenticator import Authenticator
from meta_insights_pipeline.read_api.access.credentials import has_token
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.access.rate_limit import RateLimiter, RequestLimit
from meta_insights_pipeline.read_api.access.shared_rate_limit import SharedRateLimiter
from meta_insights_pipeline.read_api.access.startup import StartVerdict, start_verdict
from meta_insights_pipeline.read_api.access.tokens import token_verifier
from meta_insights_pipeline.read_api.aside import Aside, Places
from meta_insights_pipeline.settings import Settings

# Of their own, so that nobody waits to be let in for queries of others, and keys not for the keys of an issuer.
_KEYS: Final = Places("key-check", 8)
_TOKENS: Final = Aside(
    "token-check", places=8, wait_seconds=5.0, sentence="Tokens cannot be checked right now; ask again in a moment."
)


@dataclass(frozen=True)
class AccessControl:
    """What the dependencies of routes need, and whether the server may start."""

    authenticator: Authenticator
    limiter: RequestLimit
    audit: AuditLog
    verdict: StartVerdict
    """Look here before listening."""

    async def principal(self, headers: Headers) -> Principal:
        """Who sends a request; waits in no line but that for checks. Errors are those of `Authenticator.authenticate`."""
        known = self.authenticator.recall(headers)
        if known is not None:
            return known
        check = partial(self.authenticator.authenticate, headers)
        if has_token(headers):
            return await _TOKENS.run(check)
        return await anyio.to_thread.run_sync(check, limiter=_KEYS.limiter)


def access_control(
    settings: Settings,
    *,
    host: str,
    is_open_asked: bool = False,
    clock: Clock | None = None,
    counted_in: Path | None = None,
) -> AccessControl:
    """Open the file of the keys, make the verifier of tokens, and say whether the server may start.

    Args:
        settings: The settings.
        host: The address or name that the server is to listen on.
        is_open_asked: Whether requests without credentials are to be answered; refused outside stub mode on loopback.
        clock: The time; that of this machine when left out.
        counted_in: The file in which the workers of one server count requests together; in memory when left out.

    Raises:
        AccessFileError: The file cannot be used.
        SettingsError: The settings META_INSIGHTS_JWT_* cannot be used.
    """
    clock = clock or SystemClock()
    per_minute = settings.api_requests_per_minute
    tokens = token_verifier(settings)
    file = AccessFile(settings.access_path)
    keys = KeyBook(file, clock)
    verdict = start_verdict(
        host=host,
        mode=settings.mode,
        has_keys=keys.has_active(),
        has_jwt=tokens is not None,
        is_open_asked=is_open_asked,
    )
    return AccessControl(
        authenticator=Authenticator(keys, tokens, is_open=is_open_asked and verdict.is_allowed),
        limiter=RateLimiter(per_minute) if counted_in is None else SharedRateLimiter(per_minute, counted_in),
        audit=AuditLog(file, clock),
        verdict=verdict,
    )
