"""Who asks: a role, and the ad accounts that may be seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What somebody may do; each role may do what those before it may."""

    VIEWER = "viewer"
    """Reads."""
    OPERATOR = "operator"
    """Starts syncs too."""
    ADMIN = "admin"
    """Whatever else there will be."""

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Principal:
    """Whoever a request comes from, as far as access is concerned."""

    kind: Literal["key", "token", "open"]
    """By which credential: an API key, a JSON Web Token, or none in open stub mode."""
    subject: str
    """Id of the key, or `sub` of the token."""
    role: Role
    accounts: frozenset[str] | None
    """Ids of the ad accounts that may be seen, without `act_`; None for all, empty for none."""

    @property
    def label(self) -> str:
        """A name for logs and books, like `key:0f3a5c7e9b1d`."""
        return f"{self.kind}:{self.subject}"

    def may(self, role: Role) -> bool:
        """Whether a thing that needs this role may be done."""
        return self.role.includes(role)

    def sees(self, account_id: str) -> bool:
        """Whether an ad account may be seen; the id is without `act_`."""
        return self.accounts is None or account_id in self.accounts

    def sees_all(self, account_ids: Iterable[str]) -> bool:
        """Whether something may be seen that belongs to all of these ad accounts; naming none, it belongs to every account."""
        if self.accounts is None:
            return True
        ids = frozenset(account_ids)
        return bool(ids) and ids <= self.accounts

    def narrowed(self, asked: Iterable[str] | None) -> frozenset[str] | None:
        """The ad accounts that a query is about.

        Args:
            asked: Ids that the request names; None when it names none.

        Returns:
            Ids without `act_`; None for every account, and empty for none at all: then the answer is the one of accounts
            that do not exist.
        """
        if asked is None:
            return self.accounts
        return frozenset(asked) if self.accounts is None else self.accounts.intersection(asked)


OPEN = Principal(kind="open", subject="local", role=Role.OPERATOR, accounts=None)
"""Whoever asks without credentials in open stub mode."""
