"""Access control as a server has it: everything put together from the settings."""

from dataclasses import dataclass

from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.audit import AuditLog
from meta_insights_pipeline.read_api.access.authenticator import Authenticator
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.rate_limit import RateLimiter
from meta_insights_pipeline.read_api.access.startup import StartVerdict, start_verdict
from meta_insights_pipeline.read_api.access.tokens import token_verifier
from meta_insights_pipeline.settings import Settings


@dataclass(frozen=True)
class AccessControl:
    """What the dependencies of routes need, and whether the server may start."""

    authenticator: Authenticator
    limiter: RateLimiter
    audit: AuditLog
    verdict: StartVerdict
    """Look here before listening."""


def access_control(
    settings: Settings, *, host: str, is_open_asked: bool = False, clock: Clock | None = None
) -> AccessControl:
    """Open the file of the keys, make the verifier of tokens, and say whether the server may start.

    Args:
        settings: The settings.
        host: The address or name that the server is to listen on.
        is_open_asked: Whether requests without credentials are to be answered; refused outside stub mode on loopback.
        clock: The time; that of this machine when left out.

    Raises:
        AccessFileError: The file cannot be used.
        SettingsError: The settings META_INSIGHTS_JWT_* cannot be used.
    """
    clock = clock or SystemClock()
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
        limiter=RateLimiter(settings.api_requests_per_minute),
        audit=AuditLog(file, clock),
        verdict=verdict,
    )
