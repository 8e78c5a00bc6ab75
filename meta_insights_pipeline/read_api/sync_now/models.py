"""What is asked and answered about syncs, as JSON."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.warehouse.reading.period import MAX_DAYS

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOST_ACCOUNTS = 1000

State = Literal["queued", "running", "canceling", "succeeded", "partial", "failed", "canceled"]


def _only_text(value: object) -> object:
    # A number would be taken for seconds since 1970.
    if value is not None and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("a day is written like 2026-01-31")
    return value


Day = Annotated[date, BeforeValidator(_only_text)]


class SyncNowRequest(BaseModel):
    """What to bring up to date. Everything may be left out: then today and yesterday of every account, as the schedule does."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"days_back": 2}, {"date_from": "2026-01-01", "date_to": "2026-01-31", "levels": ["campaign"]}]
        },
    )

    days_back: StrictInt | None = Field(
        None, ge=0, lt=MAX_DAYS, description="from so many days ago through today; not together with dates"
    )
    date_from: Day | None = Field(None, description="first day, of the accounts' own time zones")
    date_to: Day | None = Field(
        None,
        description="last day, inclusive; needs `date_from`; today when left out, and no later than today when it is later",
    )
    levels: list[Level] = Field(
        [],
        max_length=len(Level),
        description="insights of these alone; every level, and campaigns, ad sets, ads and creatives too, when left out",
    )
    accounts: list[Annotated[str, Field(pattern=r"^(act_)?[0-9]{1,32}$")]] = Field(
        [],
        max_length=_MOST_ACCOUNTS,
        description="ad accounts, with or without `act_`; every one that you may see when left out",
    )


class SyncAccepted(BaseModel):
    """The run that does it."""

    run_id: str = Field(description="id of the run, also in Dagster")
    status_url: str = Field(description="where its state, progress and receipt are")
    is_new: bool = Field(
        description="false when the same sync was queued or running, or was asked for with the same Idempotency-Key"
    )
    date_from: date = Field(description="first day")
    date_to: date = Field(description="last day, inclusive")
    levels: list[Level] = Field(description="whose insights are collected")
    accounts: list[str] = Field(description="ids of the ad accounts, without `act_`; empty for every one")


class Progress(BaseModel):
    """How far a sync has come."""

    steps_done: int = Field(description="steps of the Dagster run that have ended")
    steps_total: int = Field(description="steps that it has")
    reports_done: int | None = Field(None, description="reports that have come or failed; null before the first")
    reports_total: int | None = Field(None, description="reports that are asked for; null before the first")
    rows: int | None = Field(None, description="rows that have come; null before the first report")
    calls: int | None = Field(None, description="calls to Meta that were made; null before the first report")
    seconds: float | None = Field(None, description="since it began to run; null while it is queued")


class SyncStatus(BaseModel):
    """One sync."""

    run_id: str
    state: State = Field(
        description="`partial`: ended, what could be had is stored and published, what is missing is asked for again by itself"
    )
    detail: str | None = Field(None, description="one sentence on why it failed, or on what it waits for")
    by: str | None = Field(
        None, description="what started it: `read API`, `command line`, `resume`, or null for the schedule or the UI"
    )
    date_from: date | None = Field(None, description="first day; null when the run names none")
    date_to: date | None = Field(None, description="last day, inclusive")
    accounts: list[str] = Field(description="ids of the ad accounts, without `act_`; empty for every one")
    created_at: datetime | None = Field(None, description="when it was asked for, in UTC")
    started_at: datetime | None = Field(None, description="when it began to run, in UTC")
    finished_at: datetime | None = Field(None, description="when it ended, in UTC")
    progress: Progress
    receipt: Receipt | None = Field(None, description="what came, what it cost and what is missing; null while it runs")


def own_receipt(receipt: Receipt, accounts: frozenset[str] | None) -> Receipt:
    """What somebody who is confined to some ad accounts may read of a receipt.

    Args:
        receipt: The whole.
        accounts: Ids without `act_`; None for all.
    """
    if accounts is None:
        return receipt
    parts: dict[str, Any] = {
        name: tuple(one for one in getattr(receipt, name) if one.account_id in accounts)
        for name in ("missing", "refused", "withheld", "not_refreshed")
    }
    # Free text, the budget and the place on disk are of the whole installation.
    return receipt.model_copy(
        update={
            **parts,
            "accounts": tuple(one for one in receipt.accounts if one in accounts),
            "warnings": (),
            "highest_usage_percent": None,
            "snapshot": "",
        }
    )
