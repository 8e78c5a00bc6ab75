"""What is asked and answered about syncs, as JSON."""

import re
from datetime import date, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from pydantic.config import JsonDict

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.read_api.receipts import OwnReceipt
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.warehouse.reading.period import MAX_DAYS

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOST_ACCOUNTS = 1000
_RUN_ID: Final = "3f0c2b9e-8a51-4e0f-9d2b-0a8a1c6f7e11"
_UTC: Final[JsonDict] = {"x-unit": "UTC"}

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
        None,
        ge=0,
        lt=MAX_DAYS,
        description="From so many days ago through today; not together with dates.",
        examples=[2],
        json_schema_extra={"x-unit": "days"},
    )
    date_from: Day | None = Field(
        None, description="First day, of the accounts' own time zones.", examples=["2026-01-01"]
    )
    date_to: Day | None = Field(
        None,
        description="Last day, inclusive; needs `date_from`; today when left out, and no later than today when it is later.",
        examples=["2026-01-31"],
    )
    levels: list[Level] = Field(
        [],
        max_length=len(Level),
        description="Insights of these alone; every level, and campaigns, ad sets, ads and creatives too, when left out.",
        examples=[["campaign"]],
    )
    accounts: list[Annotated[str, Field(pattern=r"^(act_)?[0-9]{1,32}$")]] = Field(
        [],
        max_length=_MOST_ACCOUNTS,
        description="Ad accounts, with or without `act_`; every one that you may see when left out.",
        examples=[["act_1010101010"]],
    )


class SyncAccepted(BaseModel):
    """The run that does it."""

    run_id: str = Field(description="Id of the run, also in Dagster.", examples=[_RUN_ID])
    status_url: str = Field(
        description="Where its state, progress and receipt are; without META_INSIGHTS_API_URL the path alone.",
        examples=[f"http://127.0.0.1:8080/meta/insights/sync/{_RUN_ID}"],
    )
    is_new: bool = Field(
        description="False when the same sync was queued or running, or was asked for with the same Idempotency-Key.",
        examples=[True],
    )
    date_from: date = Field(description="First day.", examples=["2026-01-30"])
    date_to: date = Field(description="Last day, inclusive.", examples=["2026-01-31"])
    levels: list[Level] = Field(description="Whose insights are collected.", examples=[["campaign"]])
    accounts: list[str] = Field(
        description="Ids of the ad accounts, without `act_`; empty for every one.", examples=[["1010101010"]]
    )


class Progress(BaseModel):
    """How far a sync has come; what counts the whole of it is null for whoever does not see all of its ad accounts."""

    steps_done: int = Field(description="Steps of the Dagster run that have ended.", examples=[0])
    steps_total: int = Field(description="Steps that it has.", examples=[1])
    reports_done: int | None = Field(
        None, description="Reports that have come or failed; null before the first.", examples=[3]
    )
    reports_total: int | None = Field(
        None, description="Reports that are asked for; null before the first.", examples=[8]
    )
    rows: int | None = Field(None, description="Rows that have come; null before the first report.", examples=[1204])
    calls: int | None = Field(
        None, description="Calls to Meta that were made; null before the first report.", examples=[9]
    )
    seconds: float | None = Field(
        None,
        description="Since it began to run, until it ended; null while it is queued. In seconds.",
        examples=[12.5],
        json_schema_extra={"x-unit": "seconds"},
    )


class SyncStatus(BaseModel):
    """One sync; whoever does not see all of its ad accounts is told of the own ones."""

    run_id: str = Field(description="Id of the run, also in Dagster.", examples=[_RUN_ID])
    state: State = Field(
        description="`partial`: ended, what could be had is stored and published, what is missing is asked for again by itself.",
        examples=["running"],
    )
    detail: str | None = Field(
        None, description="One sentence on why it failed, what is missing, or what it waits for.", examples=[None]
    )
    by: str | None = Field(
        None,
        description="What started it: `read API`, `command line`, `resume`, or null for the schedule or the UI.",
        examples=["read API"],
    )
    date_from: date | None = Field(
        None, description="First day; null when the run names none.", examples=["2026-01-30"]
    )
    date_to: date | None = Field(None, description="Last day, inclusive.", examples=["2026-01-31"])
    accounts: list[str] = Field(
        description="Ids of the ad accounts that it names, without `act_`; empty for every one.",
        examples=[["1010101010"]],
    )
    created_at: datetime | None = Field(
        None, description="When it was asked for. UTC.", examples=["2026-01-31T09:30:00Z"], json_schema_extra=_UTC
    )
    started_at: datetime | None = Field(
        None, description="When it began to run. UTC.", examples=["2026-01-31T09:30:02Z"], json_schema_extra=_UTC
    )
    finished_at: datetime | None = Field(
        None, description="When it ended; null before. UTC.", examples=[None], json_schema_extra=_UTC
    )
    progress: Progress = Field(
        description="How far it has come.", examples=[{"steps_done": 0, "steps_total": 1, "rows": 1204}]
    )
    receipt: Receipt | OwnReceipt | None = Field(
        None,
        description="What came, what it cost and what is missing; null while it runs. Whoever does not see all of its ad "
        "accounts gets the parts that are of the own ones.",
        examples=[None],
    )
