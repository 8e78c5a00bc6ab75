"""How much to ask for at once: what was accepted, what was refused, and what to try next; decisions, and their bookkeeping.

A bound is learned only from a refusal after which something smaller came: trouble that has nothing to do with size teaches
nothing. It heals by itself: once it is due, twice as much as was accepted is tried, and so on until what was refused comes, too.
"""

import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple, Protocol

from meta_insights_pipeline.clock import Clock

DAYS, DIRECT, PAGE = "days", "direct", "page"
"""What can be too much: days of a request (0: not even one, whole), days of a direct one, rows on a page. Of entities, their
level is what can be too many (0: not even one, whole)."""
FIRST_PAUSE = timedelta(days=1)
LONGEST_PAUSE = timedelta(days=7)


class Key(NamedTuple):
    """What a lesson is about."""

    subject: str
    """Id of the ad account, or of the campaign, ad set or ad that was asked in its place."""
    report: str


@dataclass(frozen=True)
class Bound:
    """How much of something Meta gives at once."""

    given: int
    """The most that came."""
    refused: int
    """The least that was refused."""
    tries: int
    """How often more was refused after less had come."""
    next_try: float
    """When (seconds since 1970) more may be tried."""

    def most(self, now: float) -> int:
        """The most to ask for; what was refused whole is tried whole again."""
        if now < self.next_try:
            return self.given
        return 2 * self.given or self.refused

    def after_refusal(self, amount: int, now: float) -> "Bound":
        """More than came before was refused."""
        bound = replace(self, refused=min(self.refused, amount))
        if now < self.next_try:
            return bound
        pause = min(FIRST_PAUSE * 2 ** min(self.tries, 10), LONGEST_PAUSE)
        return replace(bound, tries=self.tries + 1, next_try=now + pause.total_seconds())

    def after_success(self, amount: int, now: float) -> "Bound | None":
        """So much came; None when that disproves the bound."""
        if amount >= self.refused:
            return None
        return replace(self, given=amount, next_try=now) if amount > self.given else self


def first_bound(given: int, refused: int, now: float, *, is_sure: bool) -> Bound:
    """The bound after a first refusal and the smaller amount that came; an unsure one is tried again at once."""
    if is_sure:
        return Bound(given, refused, 1, now + FIRST_PAUSE.total_seconds())
    return Bound(given, refused, 0, now)


class Bounds(Protocol):
    """Where bounds are kept."""

    def bound(self, key: Key, what: str) -> Bound | None:
        """The bound of something; None when there is none."""

    def set_bound(self, key: Key, what: str, bound: Bound | None) -> None:
        """Keep a bound, or forget it."""


@dataclass(frozen=True)
class _Suspicion:
    """A refusal after which nothing smaller has come yet."""

    refused: int
    next: int
    is_sure: bool


class Portions:
    """The bounds that are kept, and the suspicions of this collection; safe for threads."""

    def __init__(self, bounds: Bounds, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        self._suspicions: dict[tuple[Key, str], _Suspicion] = {}

    def most(self, key: Key, what: str, wanted: int) -> int:
        """How much to ask for: all that is wanted, unless that was too much."""
        with self._lock:
            most = wanted
            if bound := self._bounds.bound(key, what):
                most = min(most, bound.most(self._now()))
            if suspicion := self._suspicions.get((key, what)):
                most = min(most, suspicion.next)
            return most

    def refused(self, key: Key, what: str, amount: int, *, is_sure: bool) -> None:
        """So much was refused.

        Args:
            key: Of what.
            what: Of which it was too much.
            amount: How much was asked for.
            is_sure: Whether Meta said that it was too much: then half of it is next. Otherwise the least that can be asked for
                is, since only something smaller that comes can tell.
        """
        with self._lock:
            bound = self._bounds.bound(key, what)
            if bound and bound.given < amount:
                self._suspicions.pop((key, what), None)
                self._bounds.set_bound(key, what, bound.after_refusal(amount, self._now()))
                return
            half = (amount + 1) // 2 if amount > 1 else 0
            smaller = half if is_sure else min(1, half)
            self._suspicions[key, what] = _Suspicion(amount, smaller, is_sure)

    def gave(self, key: Key, what: str, amount: int) -> None:
        """So much came."""
        with self._lock:
            suspicion = self._suspicions.get((key, what))
            if suspicion and amount < suspicion.refused:
                del self._suspicions[key, what]
                new = first_bound(amount, suspicion.refused, self._now(), is_sure=suspicion.is_sure)
                self._bounds.set_bound(key, what, new)
                return
            bound = self._bounds.bound(key, what)
            if bound and (healed := bound.after_success(amount, self._now())) != bound:
                self._bounds.set_bound(key, what, healed)

    def learned(self, key: Key, what: str, given: int, refused: int, *, is_sure: bool) -> None:
        """So much was refused, and less came."""
        self.refused(key, what, refused, is_sure=is_sure)
        self.gave(key, what, given)

    def _now(self) -> float:
        return self._clock.now().timestamp()
