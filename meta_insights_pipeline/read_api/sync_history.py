"""The syncs that were, from their receipts; each shown as far as whoever asks sees its accounts.

Files are known by their names and times alone until one of them is asked for, so that a page costs what is on it.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.receipts import ReceiptFiles, is_seen, own_state, touched_accounts
from meta_insights_pipeline.receipt import Receipt

_EPOCH = datetime.fromtimestamp(0, UTC)
_MOST_KEPT = 500
# Times of folders are coarse: one that changed just now may change again without a sign.
_SETTLED_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, order=True)
class Entry:
    """A file that may be a receipt. The later it was written, the greater it is."""

    finished_at: datetime
    """The time of the file, which is when the sync ended; aware, in UTC."""
    run_id: str
    size: int


@dataclass(frozen=True)
class Wanted:
    """Which syncs are asked for."""

    as_of: datetime | None = None
    """Only what had ended by then."""
    accounts: frozenset[str] | None = None
    """Only syncs of one of these; None for all."""
    since: date | None = None
    until: date | None = None
    """Only syncs that were about a day from `since` to `until`; None for all."""
    before: tuple[datetime, str] | None = None
    """Only what comes behind this place."""


@dataclass(frozen=True)
class _Glance:
    """What tells whether a receipt is wanted; kept of every receipt that was read."""

    accounts: frozenset[str]
    touched: frozenset[str]
    since: date
    until: date


class SyncHistory:
    """Reads receipts, each file once as long as it does not change; safe for threads."""

    def __init__(self, files: ReceiptFiles) -> None:
        """Read nothing yet.

        Args:
            files: Where syncs leave their receipts; the folder need not exist.
        """
        self._files = files
        self._lock = threading.Lock()
        self._listed: tuple[int, list[Entry]] | None = None
        self._glances: dict[Entry, _Glance | None] = {}
        self._receipts: OrderedDict[Entry, Receipt] = OrderedDict()

    def newest(self, principal: Principal, wanted: Wanted) -> Iterator[tuple[Entry, dict[str, Any]]]:
        """The syncs that may be seen, the one that ended last first; files are opened as the iteration goes on."""
        for entry in self._entries():
            if wanted.before is not None and (entry.finished_at, entry.run_id) >= wanted.before:
                continue
            if wanted.as_of is not None and entry.finished_at > wanted.as_of:
                continue
            glance = self._glance(entry)
            if glance is not None and _is_wanted(glance, principal, wanted):
                receipt = self._receipt(entry)
                if receipt is not None:
                    yield entry, sync_view(receipt, principal)

    def _entries(self) -> list[Entry]:
        """Every file, the newest first."""
        try:
            changed = self._files.folder.stat().st_mtime_ns
        except OSError:
            return []
        with self._lock:
            if self._listed is not None and self._listed[0] == changed:
                return self._listed[1]
            entries = sorted(_entries_of(self._files.folder), reverse=True)
            # What was removed or written anew is forgotten.
            self._glances = {entry: self._glances[entry] for entry in entries if entry in self._glances}
            is_settled = time.time_ns() - changed > _SETTLED_NANOSECONDS
            self._listed = (changed, entries) if is_settled else None
            return entries

    def _glance(self, entry: Entry) -> _Glance | None:
        with self._lock:
            if entry in self._glances:
                return self._glances[entry]
        receipt = self._receipt(entry)
        glance = None
        if receipt is not None:
            accounts, touched = frozenset(receipt.accounts), touched_accounts(receipt)
            glance = _Glance(accounts, accounts if touched == accounts else touched, receipt.since, receipt.until)
        with self._lock:
            self._glances[entry] = glance
        return glance

    def _receipt(self, entry: Entry) -> Receipt | None:
        with self._lock:
            found = self._receipts.get(entry)
            if found is not None:
                self._receipts.move_to_end(entry)
                return found
        found = self._files.of_run(entry.run_id)
        if found is not None:
            with self._lock:
                self._receipts[entry] = found
                while len(self._receipts) > _MOST_KEPT:
                    self._receipts.popitem(last=False)
        return found


def sync_view(receipt: Receipt, principal: Principal) -> dict[str, Any]:
    """A sync as a principal may see it, who sees one of its accounts at least.

    Whoever does not see all accounts of a sync is shown the own accounts, what lacks of them, and no figure of the whole.
    """
    is_whole = principal.sees_all(touched_accounts(receipt))
    return {
        "run_id": receipt.run_id,
        "state": own_state(receipt, principal),
        "error": receipt.error if is_whole else None,
        "started_at": receipt.started_at,
        "finished_at": receipt.finished_at,
        "date_from": receipt.since,
        "date_to": receipt.until,
        "levels": list(receipt.levels),
        "accounts": [each for each in receipt.accounts if principal.sees(each)],
        "missing": [part.model_dump() for part in receipt.missing if principal.sees(part.account_id)],
        "calls_total": receipt.calls_total if is_whole else None,
        "rows_read": receipt.rows_read if is_whole else None,
        "rows_written": receipt.rows_written if is_whole else None,
        "tables": {name: table.model_dump() for name, table in receipt.tables.items()} if is_whole else None,
        "warnings": list(receipt.warnings) if is_whole else None,
        "published": receipt.published,
    }


def _is_wanted(glance: _Glance, principal: Principal, wanted: Wanted) -> bool:
    if not is_seen(principal, glance.touched):
        return False
    if wanted.since is not None and glance.until < wanted.since:
        return False
    if wanted.until is not None and glance.since > wanted.until:
        return False
    if wanted.accounts is None:
        return True
    # One that came to nothing before it knew the accounts was about every one.
    return any(map(principal.sees, wanted.accounts & glance.accounts if glance.accounts else wanted.accounts))


def _entries_of(folder: Path) -> Iterator[Entry]:
    for file in folder.glob("*.json"):
        try:
            status = file.stat()
        except OSError:
            continue
        yield Entry(_EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000), file.stem, status.st_size)
