"""What of a receipt leaves the server: no path of its disk, and to whoever is confined only what is of the own ad accounts."""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict, ValidationError, create_model

from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings

FAILED: Final = "failed"
# What counts the whole, or is a sentence about the installation, is not among it.
_OWN: Final = (
    *("run_id", "mode", "state", "started_at", "finished_at", "since", "until", "levels", "accounts"),
    *("missing", "refused", "withheld", "not_refreshed", "drift", "published"),
)
OwnReceipt: Any = create_model(
    "OwnReceipt",
    __config__=ConfigDict(frozen=True),
    __doc__="A receipt for whoever does not see all ad accounts of the sync: what is of the own ones.",
    **{name: (Receipt.model_fields[name].annotation, Receipt.model_fields[name]) for name in _OWN},  # type: ignore[call-overload]
)


class ReceiptFiles:
    """The receipts of an installation, without the paths that are in them; safe for threads."""

    def __init__(self, settings: Settings) -> None:
        """Read nothing yet."""
        self.folder = settings.receipts_path
        known = {f"{settings.home.absolute()}/": "META_INSIGHTS_HOME/"}
        warehouse = settings.warehouse_path.absolute()
        if not warehouse.is_relative_to(settings.home.absolute()):
            known[f"{warehouse.parent}/"] = ""
        self._hidden = [(json.dumps(path, ensure_ascii=False)[1:-1], name) for path, name in known.items()]

    def read(self, name: str) -> Receipt | None:
        """The receipt of a file of this name; None when there is none, or it is of something else."""
        try:
            receipt = Receipt.model_validate_json(self.without_paths((self.folder / name).read_text("utf-8")))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None
        return receipt.model_copy(update={"snapshot": Path(receipt.snapshot).name})

    def of_run(self, run_id: str) -> Receipt | None:
        """The receipt of a run; None when it has left none."""
        return self.read(f"{run_id}.json")

    def without_paths(self, text: str) -> str:
        """A text in which folders of this machine are not named."""
        for path, name in self._hidden:
            text = text.replace(path, name)
        return text


def touched_accounts(receipt: Receipt) -> frozenset[str]:
    """Every ad account of which a receipt tells something; none when it was to be about all and came to nothing."""
    parts = (receipt.missing, receipt.refused, receipt.withheld, receipt.not_refreshed, receipt.drift)
    return frozenset(receipt.accounts).union(each.account_id for part in parts for each in part)


def is_seen(principal: Principal, touched: frozenset[str]) -> bool:
    """Whether somebody sees a sync that is about these ad accounts, or about every one: an own one among them is enough."""
    if principal.accounts is None:
        return True
    return bool(principal.accounts & touched if touched else principal.accounts)


def own_state(receipt: Receipt, principal: Principal) -> str:
    """How a sync ended, as far as the ad accounts go that somebody sees."""
    if principal.sees_all(touched_accounts(receipt)) or receipt.state == FAILED:
        return receipt.state
    lacking = [part.account_id for part in receipt.missing] + [one.account_id for one in receipt.not_refreshed]
    return "partial" if any(map(principal.sees, lacking)) else "complete"


def own_receipt(receipt: Receipt, principal: Principal) -> Any:
    """The receipt as somebody may see it: an `OwnReceipt` unless it is about no ad account that may not be seen."""
    if principal.sees_all(touched_accounts(receipt)):
        return receipt
    parts = {
        name: tuple(one for one in getattr(receipt, name) if principal.sees(one.account_id))
        for name in ("missing", "refused", "withheld", "not_refreshed", "drift")
    }
    return OwnReceipt(
        **{name: getattr(receipt, name) for name in _OWN}
        | parts
        | {
            "state": own_state(receipt, principal),
            "accounts": tuple(one for one in receipt.accounts if principal.sees(one)),
        }
    )
