"""The entities behind the numbers: which attributes of accounts, campaigns, ad sets, ads and creatives are asked for.

The list is `data/entity_fields.csv`: column, Meta's field, type, and whether it changes all the time. Names and shapes are
those of Meta's SDK 26.0.3.
"""

import csv
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from meta_insights_pipeline.catalog.levels import Level


class Type(StrEnum):
    """What an attribute is."""

    TEXT = "text"
    INTEGER = "integer"
    HOURS = "hours"  # a number of hours such as 5.5
    BOOLEAN = "boolean"
    MONEY = "money"  # Meta gives minor units; stored in major units of the account's currency
    TIME = "time"  # Meta gives the account's time with offset; stored in UTC
    JSON = "json"  # an object or a list; stored as compact text with sorted keys
    ACCOUNT_STATUS = "account_status"  # the word for Meta's number


# Sixteen digits before the point: a large account's life-time spend in dong or rupiah has thirteen.
_SQL_TYPES = {
    Type.TEXT: "VARCHAR",
    Type.INTEGER: "BIGINT",
    Type.HOURS: "DECIMAL(4, 2)",
    Type.BOOLEAN: "BOOLEAN",
    Type.MONEY: "DECIMAL(18, 2)",
    Type.TIME: "TIMESTAMP",
    Type.JSON: "VARCHAR",
    Type.ACCOUNT_STATUS: "VARCHAR",
}
_UNITS = {
    Type.HOURS: "Hours.",
    Type.MONEY: "In major units of the account's currency.",
    Type.TIME: "UTC.",
    Type.JSON: "JSON text with sorted keys.",
}


class Attribute(BaseModel):
    """One column of an entity's table, and the field of Meta's object that it is taken from."""

    model_config = ConfigDict(frozen=True)

    table: str
    column: str
    field: str
    """Meta's name; `business.id` is the key `id` of the object `business`."""
    type: Type
    volatile: bool
    """Changes without anybody's doing: kept up to date, but never a reason for a new version."""
    guarded: bool
    """Needs more than `ads_read`: Meta may refuse the whole object because of it."""
    description: str

    @property
    def sql_type(self) -> str:
        """Its type in the warehouse."""
        return _SQL_TYPES[self.type]

    @property
    def comment(self) -> str:
        """The description with the unit."""
        unit = _UNITS.get(self.type)
        return f"{self.description} {unit}" if unit else self.description


class EntityKind(StrEnum):
    """A kind of entity; the value is the name of its table."""

    AD_ACCOUNTS = "ad_accounts"
    CAMPAIGNS = "campaigns"
    ADSETS = "adsets"
    ADS = "ads"
    CREATIVES = "creatives"

    @property
    def level(self) -> Level | None:
        """The level at which Meta reports on it; creatives have none."""
        return _LEVELS[self]

    @property
    def noun(self) -> str:
        """What a person calls one."""
        return _NOUNS[self]

    @property
    def id_column(self) -> str:
        """The column of its own id."""
        return "creative_id" if self.level is None else self.level.id_field

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that make a row unique."""
        return tuple(dict.fromkeys(("account_id", self.id_column)))

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Its columns, in the table's order."""
        return _attributes()[self.value]

    @property
    def versioned(self) -> tuple[str, ...]:
        """The columns of which a change makes a new version."""
        return tuple(each.column for each in self.attributes if not each.volatile and each.column not in self.key)

    @property
    def status_column(self) -> str:
        """The column that says `DELETED` of a deleted one."""
        columns = {each.column for each in self.attributes}
        return "effective_status" if "effective_status" in columns else "status"

    @property
    def listed_statuses(self) -> tuple[str, ...]:
        """The statuses to name when listing, so that archived entities come too.

        Without them Meta lists neither archived nor deleted ones; deleted ones are on no edge whatever is named, and are
        only read by id (Meta, "Manage Your Ad Object's Status").
        """
        statuses = self.level.effective_statuses if self.level is not None else ()
        return tuple(status for status in statuses if status != "DELETED")

    def request_fields(self, *, guarded: bool = True, creatives: bool = False) -> str:
        """Meta's parameter `fields` for this kind.

        Args:
            guarded: Whether to ask for what Meta may refuse to a token with `ads_read` alone.
            creatives: Whether to ask for the whole creative of an ad, and not only its id.
        """
        wanted: dict[str, dict[str, None]] = {}
        for each in self.attributes:
            if guarded or not each.guarded:
                head, _, rest = each.field.partition(".")
                wanted.setdefault(head, {}).update({rest: None} if rest else {})
        if creatives and "creative" in wanted:
            wanted["creative"] = {each.field: None for each in EntityKind.CREATIVES.attributes}
        return ",".join(f"{head}{{{','.join(inner)}}}" if inner else head for head, inner in wanted.items())


_LEVELS: dict[EntityKind, Level | None] = {
    EntityKind.AD_ACCOUNTS: Level.ACCOUNT,
    EntityKind.CAMPAIGNS: Level.CAMPAIGN,
    EntityKind.ADSETS: Level.ADSET,
    EntityKind.ADS: Level.AD,
    EntityKind.CREATIVES: None,
}
_NOUNS = {
    EntityKind.AD_ACCOUNTS: "ad account",
    EntityKind.CAMPAIGNS: "campaign",
    EntityKind.ADSETS: "ad set",
    EntityKind.ADS: "ad",
    EntityKind.CREATIVES: "creative",
}

ACCOUNT_STATUSES: Mapping[int, str] = MappingProxyType(
    {
        1: "ACTIVE",
        2: "DISABLED",
        3: "UNSETTLED",
        7: "PENDING_RISK_REVIEW",
        8: "PENDING_SETTLEMENT",
        9: "IN_GRACE_PERIOD",
        100: "PENDING_CLOSURE",
        101: "CLOSED",
        201: "ANY_ACTIVE",
        202: "ANY_CLOSED",
    }
)
"""The words for `account_status` (Meta, "Ad Account" reference)."""

WHOLE_UNIT_CURRENCIES = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies in which Meta gives budgets in whole units; its offset for them is 1.

Not ISO 4217's list: the peso, the forint and the rupiah have minor units there. (Meta, "Currency Codes", 16 April 2024.)
"""


def minor_units(currency: str) -> Decimal:
    """How many of the units in which Meta gives budgets make one of the currency: Meta's offset, 100 or 1."""
    return Decimal(1) if currency in WHOLE_UNIT_CURRENCIES else Decimal(100)


@cache
def _attributes() -> Mapping[str, tuple[Attribute, ...]]:
    text = files("meta_insights_pipeline.catalog").joinpath("data/entity_fields.csv").read_text("utf-8")
    tables: dict[str, list[Attribute]] = {}
    for row in csv.DictReader(text.splitlines()):
        tables.setdefault(row["table"], []).append(Attribute.model_validate(row))
    return MappingProxyType({table: tuple(attributes) for table, attributes in tables.items()})
