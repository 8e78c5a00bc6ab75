"""Which of the missing parts to ask for next, and when again if the run that asked left nothing behind: pure decisions.

A sync that writes gives each part a new time, or strikes it out. One that dies before (no token, no account, a full disk, a kill)
leaves the parts as they were; these are asked for again after a wait that grows, while others have their turn.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from meta_insights_pipeline.collector.days import cluster
from meta_insights_pipeline.home_files import MissingPart

FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class Asked:
    """How often a part was asked for as it stands, and when for the last time."""

    times: int
    at: datetime

    @property
    def again_at(self) -> datetime:
        """When it is worth another run."""
        # No more doublings than it takes to be longer than the longest.
        doublings: int = 2 ** min(self.times - 1, 8)
        return self.at + min(FIRST_WAIT * doublings, LONGEST_WAIT)


class AskedBook:
    """What was asked for in vain so far; a value that a sensor keeps as text between its ticks."""

    def __init__(self, asked: Mapping[str, Asked] | None = None) -> None:
        self._asked = dict(asked or {})

    @classmethod
    def of_text(cls, text: str | None) -> "AskedBook":
        """What `as_text` gave; an empty book when it cannot be read, which costs a wait and nothing else."""
        try:
            rows: dict[str, Any] = json.loads(text or "{}")
            return cls({key: Asked(int(times), datetime.fromtimestamp(at, UTC)) for key, (times, at) in rows.items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    def as_text(self) -> str:
        """For the next tick."""
        return json.dumps({key: [one.times, one.at.timestamp()] for key, one in self._asked.items()})

    def times(self, part: MissingPart) -> int:
        """How often a part was asked for as it stands."""
        one = self._asked.get(_key(part))
        return one.times if one else 0

    def waits_until(self, part: MissingPart, now: datetime) -> datetime | None:
        """When a part that was asked for in vain has its next turn; None when that is now."""
        one = self._asked.get(_key(part))
        return one.again_at if one and one.again_at > now else None

    def after(self, chosen: Sequence[MissingPart], missing: Sequence[MissingPart], now: datetime) -> "AskedBook":
        """The book once some parts are asked for; what is no longer missing as it stood is forgotten."""
        kept = {_key(part) for part in missing}
        asked = {key: one for key, one in self._asked.items() if key in kept}
        return AskedBook(asked | {_key(part): Asked(self.times(part) + 1, now) for part in chosen})


def next_parts(due: Sequence[MissingPart], book: AskedBook, now: datetime) -> tuple[MissingPart, ...]:
    """The parts for one run: of those that were asked for least often, the newest and what lies close to them.

    Args:
        due: What is missing and due.
        book: What was asked for in vain.
        now: The moment of asking.
    """
    free = [part for part in due if book.waits_until(part, now) is None]
    least = min((book.times(part) for part in free), default=0)
    return newest_parts([part for part in free if book.times(part) == least])


def newest_parts(parts: Sequence[MissingPart]) -> tuple[MissingPart, ...]:
    """The newest of some parts and those close to them; far older ones are for a run of their own."""
    if not parts:
        return ()
    days = cluster([(part.since, part.until) for part in parts])
    return tuple(part for part in parts if days.since <= part.since and part.until <= days.until)


def _key(part: MissingPart) -> str:
    """A short text for a part as it stands: once a sync has written it anew, it is another."""
    return hashlib.sha256(repr(part).encode()).hexdigest()[:16]
