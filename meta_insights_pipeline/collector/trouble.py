"""When to stop asking: trouble that may be a matter of size is followed by smaller requests, but not for ever.

An outage looks like a request that is too large. The difference shows when something smaller comes; until then, few requests are
spent on finding out.
"""

import threading
from collections import Counter

from meta_insights_pipeline.collector.portions import Key
from meta_insights_pipeline.collector.splitting import Evidence

MOST_IN_VAIN = 6
"""So many requests of a report may fail one after the other: the whole, a day, a campaign, an ad set, an ad, and one more."""
MOST_HUNG = 3
"""The same of reports that hang, each of which takes a quarter of an hour."""
MOST_ACCOUNTS = 3
"""When so many accounts do not even answer the smallest question, Meta is in trouble as a whole: nobody tries smaller parts."""


class Trouble:
    """What one collection has met; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_vain: Counter[Key] = Counter()
        self._down: set[str] = set()

    def met(self, key: Key) -> None:
        """A request of a report failed."""
        with self._lock:
            self._in_vain[key] += 1

    def in_vain(self, key: Key) -> int:
        """How many requests of a report have failed since the last one that was answered."""
        with self._lock:
            return self._in_vain[key]

    def came(self, key: Key, account_id: str) -> None:
        """A request of a report was answered."""
        with self._lock:
            self._in_vain.pop(key, None)
            self._down.discard(account_id)

    def is_down(self, account_id: str) -> None:
        """An account does not even answer the smallest question."""
        with self._lock:
            self._down.add(account_id)

    def is_likely(self, account_id: str) -> bool:
        """Whether an account, or Meta as a whole, is known to be in trouble."""
        with self._lock:
            return account_id in self._down or len(self._down) >= MOST_ACCOUNTS

    def may_go_on(self, key: Key, account_id: str, what: Evidence) -> bool:
        """Whether something smaller is worth trying after such a failure."""
        if what is Evidence.TOO_LARGE:
            return True
        if self.is_likely(account_id):
            return False
        with self._lock:
            return self._in_vain[key] < (MOST_HUNG if what is Evidence.HUNG else MOST_IN_VAIN)
