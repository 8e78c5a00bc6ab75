"""The ad accounts to collect: which there are, which are wanted, which cannot be read, and what day it is for each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meta_insights_pipeline.catalog.entities import ACCOUNT_STATUSES
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import NotFoundError, PermissionDeniedError
from meta_insights_pipeline.graph_api.paging import list_objects

_FIELDS = "account_id,name,currency,timezone_name,account_status"
_PAGE_ROWS = "500"
ACTIVE = 1


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
    status: int = ACTIVE
    """Meta's `account_status`."""

    @property
    def node(self) -> str:
        """The account's node in the Graph API."""
        return f"act_{self.id}"

    @property
    def status_text(self) -> str:
        """The status in words."""
        name = ACCOUNT_STATUSES.get(self.status)
        return name.lower().replace("_", " ") if name else f"of status {self.status}"

    def today(self, now: datetime) -> date:
        """The account's own day at a moment."""
        return now.astimezone(ZoneInfo(self.timezone_name)).date()


@dataclass(frozen=True)
class AccountRules:
    """Which of the accounts that a token can read are wanted: patterns of ids or names, as `1010*` or `*(test)`."""

    allow: tuple[str, ...] = ()
    """When given, only accounts that match one."""
    deny: tuple[str, ...] = ()
    """Never accounts that match one."""

    def admit(self, account_id: str, name: str) -> bool:
        """Whether an account is wanted; upper and lower case are the same."""
        texts = (account_id, f"act_{account_id}", name.lower())

        def is_named(patterns: Iterable[str]) -> bool:
            return any(fnmatchcase(text, pattern.lower()) for pattern in patterns for text in texts)

        return (not self.allow or is_named(self.allow)) and not is_named(self.deny)


@dataclass(frozen=True)
class RefusedAccount:
    """An account that is wanted and cannot be collected."""

    id: str
    reason: str
    """One sentence with the remedy."""


@dataclass(frozen=True)
class FoundAccounts:
    """The accounts of a sync."""

    accounts: tuple[AdAccount, ...]
    refused: tuple[RefusedAccount, ...] = ()
    is_list: bool = False
    """Whether Meta was asked for all that the token can read: an account that is not here is not in its list."""


def find_accounts(api: GraphApi, wanted: Sequence[str], rules: AccountRules | None = None) -> FoundAccounts:
    """The accounts with the wanted ids, or all that the token can read when none is named.

    Args:
        api: The session.
        wanted: Ids without `act_`.
        rules: Narrow down what was found when none is named; a named account is always wanted.

    Raises:
        NoAccountError: There is none that can be collected.
        GraphApiError: They could not be read.
    """
    refused: list[RefusedAccount] = []
    rows: list[Mapping[str, Any]] = []
    for one in dict.fromkeys(wanted):
        try:
            rows.append(api.get(f"act_{one}", {"fields": _FIELDS}, kind="account", read=read_object, account=one))
        except (PermissionDeniedError, NotFoundError) as error:
            refused.append(RefusedAccount(one, str(error)))
    if not wanted:
        listed = list_objects(api, "me/adaccounts", {"fields": _FIELDS, "limit": _PAGE_ROWS}, kind="account")
        # What has no id cannot be asked for, whatever else Meta says of it.
        found = [row for row in listed if isinstance(row, Mapping) and row.get("account_id")]
        rows = [
            row for row in found if (rules or AccountRules()).admit(str(row["account_id"]), str(row.get("name") or ""))
        ]
        if not rows:
            raise NoAccountError(_none(len(found)))
    accounts = []
    # A list that changes while its pages are read may show an account on two of them.
    for account in {account.id: account for account in map(_account, rows)}.values():
        if problem := _zone_problem(account):
            refused.append(RefusedAccount(account.id, problem))
        else:
            accounts.append(account)
    if not accounts:
        raise NoAccountError(" ".join(one.reason for one in refused[:3]))
    return FoundAccounts(tuple(accounts), tuple(refused), is_list=not wanted)


def gone_accounts(
    found: FoundAccounts, collected: Mapping[str, str], rules: AccountRules
) -> tuple[RefusedAccount, ...]:
    """Accounts that were collected before, are wanted, and are no longer in Meta's list; none when there was no list.

    Args:
        found: What Meta gave.
        collected: Names, by id, of accounts of which something was collected.
        rules: Which are wanted.
    """
    if not found.is_list:
        return ()
    here = {account.id for account in found.accounts} | {account.id for account in found.refused}
    return tuple(
        RefusedAccount(account_id, _gone(account_id, name))
        for account_id, name in collected.items()
        if account_id not in here and rules.admit(account_id, name)
    )


def _gone(account_id: str, name: str) -> str:
    shown = f"act_{account_id} ({name})" if name else f"act_{account_id}"
    return (
        f"The ad account {shown} is no longer among those that the token can read, so nothing new is collected of it; assign "
        "it to the token's user again in Business Manager, or leave it out with META_INSIGHTS_DENY_ACCOUNTS."
    )


def _none(found: int) -> str:
    if found:
        return (
            f"None of the {found} ad accounts that the token can read is admitted by META_INSIGHTS_ALLOW_ACCOUNTS and "
            "META_INSIGHTS_DENY_ACCOUNTS; change these rules, or name accounts in META_AD_ACCOUNT_IDS."
        )
    return (
        "The token in META_ACCESS_TOKEN can read no ad account; assign ad accounts to its user in Business Manager "
        "(permission ads_read), or name accounts in META_AD_ACCOUNT_IDS."
    )


def _account(row: Mapping[str, Any]) -> AdAccount:
    return AdAccount(
        id=str(row["account_id"]),
        name=str(row.get("name") or ""),
        currency=str(row.get("currency") or ""),
        timezone_name=str(row.get("timezone_name") or ""),
        status=_status(row.get("account_status")),
    )


def _status(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return ACTIVE


def _zone_problem(account: AdAccount) -> str | None:
    try:
        ZoneInfo(account.timezone_name)
    except (ValueError, ZoneInfoNotFoundError):
        # Guessing a zone would put a day's numbers under another day.
        return (
            f"The ad account {account.node} has the time zone {account.timezone_name!r}, which is not known here; "
            "bring the package tzdata up to date, or leave the account out with META_INSIGHTS_DENY_ACCOUNTS."
        )
    return None
