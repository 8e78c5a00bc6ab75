"""What several answers have: the days, the moment, the notes, the next page."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PeriodModel(BaseModel):
    """Account days, both inclusive."""

    model_config = ConfigDict(extra="forbid", title="Period")

    date_from: date = Field(
        description="First day, in each ad account's own time zone; of several accounts the first of any.",
        examples=["2026-10-26"],
    )
    date_to: date = Field(description="Last day; of several accounts the last of any.", examples=["2026-11-01"])
    days: int = Field(
        description="How many days each ad account has.", examples=[7], json_schema_extra={"x-unit": "days"}
    )


PERIOD_EXAMPLE = {"date_from": "2026-10-26", "date_to": "2026-11-01", "days": 7}
NOTES: dict[str, str] = {
    "reach": "reach, frequency and cpp are null in sums over several days or accounts: Meta counts people for one day of one "
    "account, campaign, ad set or ad, and one person may be in several of them."
}

AS_OF = (
    datetime | None,
    "The moment of which the answer tells what was known; null for the present. UTC.",
    None,
    "UTC",
)
PERIOD = (PeriodModel, "The days that the figures are of.", PERIOD_EXAMPLE)
NOTES_FIELD: tuple[Any, str, Any] = (
    dict[str, str],
    "Why something is null, or what else to know, by the name of what it is about.",
    NOTES,
)
NEXT_CURSOR = (
    str | None,
    "The parameter `cursor` of the next page; null on the last one.",
    "WyJjaGlsZHJlbiIsIjEwIl0",
)
