"""The four levels at which Meta reports, from the account down to the ad."""

from enum import StrEnum


class Level(StrEnum):
    """A level of aggregation; the value is what Meta's parameter `level` takes."""

    ACCOUNT = "account"
    CAMPAIGN = "campaign"
    ADSET = "adset"
    AD = "ad"

    @property
    def depth(self) -> int:
        """0 for the account, 3 for the ad."""
        return list(Level).index(self)

    @property
    def id_field(self) -> str:
        """The insights field that identifies an entity of this level."""
        return f"{self.value}_id"

    @property
    def identity_fields(self) -> tuple[str, ...]:
        """Ids and names of the entity and of all its parents, in the order of the table's columns."""
        fields = ["account_id", "account_name", "account_currency"]
        for level in list(Level)[1 : self.depth + 1]:
            fields += [level.id_field, f"{level.value}_name"]
        return tuple(fields)

    @property
    def effective_statuses(self) -> tuple[str, ...]:
        """Every `effective_status` that an entity of this level can have, deleted and archived included.

        Rows of deleted entities are left out of a report unless its filter names their status, although every total
        counts them (Meta, "Manage Your Ad Object's Status"). The account has no such filter.
        """
        return _STATUSES[self]


_CAMPAIGN = ("ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES")
_ADSET = (*_CAMPAIGN, "CAMPAIGN_PAUSED")
_AD = (*_ADSET, "ADSET_PAUSED", "DISAPPROVED", "PENDING_BILLING_INFO", "PENDING_REVIEW", "PREAPPROVED")
_STATUSES: dict[Level, tuple[str, ...]] = {
    Level.ACCOUNT: (),
    Level.CAMPAIGN: _CAMPAIGN,
    Level.ADSET: _ADSET,
    Level.AD: _AD,
}
