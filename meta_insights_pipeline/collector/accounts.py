"""The ad accounts to collect, and what day it is for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.paging import list_objects

_FIELDS = "account_id,name,currency,timezone_name,account_status"


class NoAccountError(Exception):
    """There is no ad account that can be collected; the message says what to do."""


@dataclass(frozen=True)
class AdAccount:
    """An ad account, as far as collecting needs it."""

    id: str
    """Without the prefix `act_`."""
    name: str
    currency: str
    timezone_name: str
    """IANA name; days of insights begin and end in this zone."""

    @property
    def node(self) -> str:
        """The account's node in the Graph API."""
        return f"act_{self.id}"

    def today(self, now: datetime) -> date:
        """The account's own day at a moment."""
        return now.astimezone(ZoneInfo(self.timezone_name)).date()


def find_accounts(api: GraphApi, wanted: Sequence[str]) -> list[AdAccount]:
    """The accounts with the wanted ids, or all that the token can read when none is named.

    Raises:
        NoAccountError: The token can read none.
        GraphApiError: An account could not be read.
    """
    if wanted:
        return [
            _account(api.get(f"act_{one}", {"fields": _FIELDS}, kind="account", read=read_object))
            for one in dict.fromkeys(wanted)
        ]
    found = [
        _account(row) for row in list_objects(api, "me/adaccounts", {"fields": _FIELDS, "limit": "100"}, kind="account")
    ]
    if not found:
        raise NoAccountError(
            "The token in META_ACCESS_TOKEN can read no ad account; assign ad accounts to its user in Business Manager "
            "(permission ads_read), or name accounts in META_AD_ACCOUNT_IDS."
        )
    return found


def _account(row: Mapping[str, Any]) -> AdAccount:
    account = AdAccount(
        id=str(row["account_id"]),
        name=str(row.get("name") or ""),
        currency=str(row.get("currency") or ""),
        timezone_name=str(row.get("timezone_name") or ""),
    )
    try:
        ZoneInfo(account.timezone_name)
    except (ValueError, ZoneInfoNotFoundError):
        # Guessing a zone would put a day's numbers under another day.
        raise NoAccountError(
            f"The ad account {account.node} has the time zone {account.timezone_name!r}, which is not known here; "
            "bring the package tzdata up to date, or leave the account out with META_AD_ACCOUNT_IDS."
        ) from None
    return account
