"""The syncs that were, from their receipts; each shown as far as whoever asks sees its accounts."""

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.receipt import Receipt

_FAILED = "failed"
_Signature = tuple[int, int]


class SyncHistory:
    """Reads receipts, each file once as long as it does not change; safe for threads."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet.

        Args:
            folder: Where syncs leave their receipts; it need not exist.
        """
        self._folder = folder
        self._known: dict[str, tuple[_Signature, Receipt | None]] = {}
        self._lock = threading.Lock()

    def newest(self) -> list[Receipt]:
        """All receipts, of the newest sync first; what is no receipt is passed over."""
        with self._lock:
            found = {name: self._read(name, signature) for name, signature in self._files()}
            # What was removed is forgotten.
            self._known = {name: self._known[name] for name in found}
        receipts = [receipt for receipt in found.values() if receipt is not None]
        return sorted(receipts, key=lambda each: (each.started_at, each.run_id), reverse=True)

    def _files(self) -> Iterator[tuple[str, _Signature]]:
        for file in self._folder.glob("*.json"):
            try:
                status = file.stat()
            except OSError:
                continue
            yield file.name, (status.st_mtime_ns, status.st_size)

    def _read(self, name: str, signature: _Signature) -> Receipt | None:
        known = self._known.get(name)
        if known is None or known[0] != signature:
            known = self._known[name] = (signature, _receipt(self._folder / name))
        return known[1]


def sync_view(receipt: Receipt, principal: Principal) -> dict[str, Any] | None:
    """A sync as a principal may see it; None when it was about none of the principal's accounts.

    Whoever does not see all accounts of a sync is shown the own accounts, what lacks of them, and no figure of the whole.
    """
    touched = {
        *receipt.accounts,
        *(each.account_id for each in receipt.missing),
        *(each.account_id for each in receipt.refused),
    }
    if not any(map(principal.sees, touched)) and principal.accounts is not None:
        return None
    is_whole = principal.sees_all(touched)
    missing = [part.model_dump() for part in receipt.missing if principal.sees(part.account_id)]
    return {
        "run_id": receipt.run_id,
        "state": receipt.state if is_whole or receipt.state == _FAILED else ("partial" if missing else "complete"),
        "started_at": receipt.started_at,
        "finished_at": receipt.finished_at,
        "date_from": receipt.since,
        "date_to": receipt.until,
        "levels": list(receipt.levels),
        "accounts": [each for each in receipt.accounts if principal.sees(each)],
        "missing": missing,
        "calls_total": receipt.calls_total if is_whole else None,
        "rows_read": receipt.rows_read if is_whole else None,
        "rows_written": receipt.rows_written if is_whole else None,
        "tables": {name: table.model_dump() for name, table in receipt.tables.items()} if is_whole else None,
        "warnings": list(receipt.warnings) if is_whole else None,
        "published": receipt.published,
    }


def seen_syncs(
    history: SyncHistory, principal: Principal, *, as_of: datetime | None, accounts: frozenset[str] | None
) -> list[tuple[Receipt, dict[str, Any]]]:
    """The syncs that may be seen, the newest first.

    Args:
        history: The receipts.
        principal: Who asks.
        as_of: Only what had ended by then.
        accounts: Only syncs of one of these; None for all.
    """
    receipts = history.newest()
    shown = [(each, sync_view(each, principal)) for each in receipts if as_of is None or each.finished_at <= as_of]
    return [
        (receipt, view)
        for receipt, view in shown
        if view is not None and (accounts is None or accounts & set(view["accounts"]))
    ]


def _receipt(file: Path) -> Receipt | None:
    try:
        return Receipt.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
