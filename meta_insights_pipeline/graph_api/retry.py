"""When to call again and how long to wait first: decisions only, no clock and no network."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from meta_insights_pipeline.graph_api.errors import (
    BAD_SIGNATURE,
    BATCH_GIVEN_UP,
    AuthError,
    BlockedError,
    GraphApiError,
    RetryableError,
    ThrottleError,
)


@dataclass(frozen=True)
class RetryPolicy:
    """How patient the client is."""

    attempts: int = 5
    """Calls in all, the first one included."""
    first_wait: float = 1.0
    """Seconds before the second call; doubles from call to call."""
    longest_wait: float = 60.0
    """Seconds beyond which the client gives up instead of waiting, when the server names a time."""
    longest_block: float = 5.0
    """The same for a limit of calls: a longer block is the caller's to plan around."""
    longest_queue: float = 180.0
    """Seconds in all that a call waits for room in a budget before it is made: as long as others may be under way."""

    def should_retry(self, error: GraphApiError, attempt: int) -> bool:
        """Whether to call again after the attempt with this number, counted from 1, failed."""
        if attempt >= self.attempts:
            return False
        if isinstance(error, AuthError):
            # Once, unless Meta says in words that no token came.
            is_unsure = error.code == BAD_SIGNATURE and "token is required" not in error.message
            return is_unsure and attempt == 1
        if not isinstance(error, RetryableError) or error.code == BATCH_GIVEN_UP:
            return False
        if isinstance(error, ThrottleError):
            # Calls made while blocked prolong the block, so without a known end there is no second one.
            return error.retry_after is not None and error.retry_after <= self.longest_block
        return error.retry_after is None or error.retry_after <= self.longest_wait

    def should_queue(self, block: BlockedError, waited: float) -> bool:
        """Whether a call that has waited for so many seconds waits for the end of a block, too."""
        wait = block.retry_after or 0.0
        return wait <= self.longest_block and waited + wait <= self.longest_queue

    def wait_seconds(self, error: GraphApiError, attempt: int, jitter: float) -> float:
        """How long to wait before the next call.

        Args:
            error: Why the last call failed; the server's own opinion goes first.
            attempt: Number of the call that failed, from 1.
            jitter: A random number from 0 to 1, so that threads do not come back at the same moment.
        """
        if error.retry_after is not None:
            return error.retry_after * (1 + 0.1 * jitter)
        wait = min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)
        return float(wait) * (0.5 + 0.5 * jitter)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """The value of a `Retry-After` header in seconds from now; it is a number of seconds or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
