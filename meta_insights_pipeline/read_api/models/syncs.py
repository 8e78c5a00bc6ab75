"""The answer of the sync history."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field

from meta_insights_pipeline.read_api.models.rows import answer_model, example_of, list_of
from meta_insights_pipeline.read_api.models.shared import AS_OF, NEXT_CURSOR
from meta_insights_pipeline.warehouse.reading.statement import ResultColumn, Shape

_ONLY_WHOLE = "null for whoever does not see all of the sync's accounts."


class SyncGapModel(BaseModel):
    """What a sync could not collect."""

    model_config = ConfigDict(extra="forbid", title="SyncGap")

    report: str = Field(description="The table that lacks it.", examples=["ad_insights"])
    account_id: str = Field(description="Id of the ad account, without the prefix act_.", examples=["1010101010"])
    since: date = Field(description="First day that lacks.", examples=["2026-11-01"])
    until: date = Field(description="Last day that lacks.", examples=["2026-11-01"])
    reason: str = Field(description="Why, as a sentence.", examples=["The limit of calls is reached."])
    kind: str = Field(description="deferred, failed, refused or unavailable.", examples=["deferred"])
    retry_at: datetime | None = Field(
        description="When it is asked for again by itself; null when it is not. UTC.",
        examples=["2026-11-02T07:00:00Z"],
        json_schema_extra={"x-unit": "UTC"},
    )


class SyncTableModel(BaseModel):
    """What became of one table."""

    model_config = ConfigDict(extra="forbid", title="SyncTable")

    read: int = Field(description="Rows that came.", examples=[420])
    inserted: int = Field(description="Rows that were new.", examples=[20])
    updated: int = Field(description="Rows that changed.", examples=[35])
    unchanged: int = Field(description="Rows that were as before.", examples=[365])
    removed: int = Field(description="Rows that are gone.", examples=[0])


_TEXTS = ("run_id", "state", "levels", "accounts", "missing", "tables", "warnings")
_SHAPES = {
    **dict.fromkeys(_TEXTS, Shape.TEXT),
    **dict.fromkeys(("started_at", "finished_at"), Shape.MOMENT),
    **dict.fromkeys(("date_from", "date_to"), Shape.DAY),
    **dict.fromkeys(("calls_total", "rows_read", "rows_written"), Shape.INTEGER),
    "error": Shape.NAME,
    "published": Shape.FLAG,
}


class SyncModel(BaseModel):
    """One sync."""

    model_config = ConfigDict(extra="forbid", title="Sync")

    run_id: str = Field(
        description="Id of the run, as in GET /meta/insights/sync/{run_id}.",
        examples=["3f0c2b9e-8a51-4e0f-9d2b-0a8a1c6f7e11"],
    )
    state: str = Field(
        description="complete, partial (something lacks) or failed; as far as the accounts that may be seen go.",
        examples=["complete"],
    )
    error: str | None = Field(
        description=f"One sentence on why nothing was collected, if nothing was; {_ONLY_WHOLE}", examples=[None]
    )
    started_at: datetime = Field(
        description="When it began. UTC.", examples=["2026-11-02T06:30:00Z"], json_schema_extra={"x-unit": "UTC"}
    )
    finished_at: datetime = Field(
        description="When it ended. UTC.", examples=["2026-11-02T06:30:41Z"], json_schema_extra={"x-unit": "UTC"}
    )
    date_from: date = Field(description="First account day.", examples=["2026-10-04"])
    date_to: date = Field(description="Last account day.", examples=["2026-11-02"])
    levels: list[str] = Field(description="The levels that were collected.", examples=[["account", "campaign"]])
    accounts: list[str] = Field(description="The ad accounts, as far as they may be seen.", examples=[["1010101010"]])
    missing: list[SyncGapModel] = Field(description="What could not be collected, of these accounts.", examples=[[]])
    calls_total: int | None = Field(description=f"Calls to Meta; {_ONLY_WHOLE}", examples=[45])
    rows_read: int | None = Field(description=f"Rows of the reports that came; {_ONLY_WHOLE}", examples=[1680])
    rows_written: int | None = Field(description=f"Rows inserted, updated or removed; {_ONLY_WHOLE}", examples=[220])
    tables: dict[str, SyncTableModel] | None = Field(
        description=f"Rows by table; {_ONLY_WHOLE}",
        examples=[{"ad_insights": {"read": 420, "inserted": 20, "updated": 35, "unchanged": 365, "removed": 0}}],
    )
    warnings: list[str] | None = Field(description=f"What a person should know; {_ONLY_WHOLE}", examples=[[]])
    published: bool = Field(description="Whether readers got a new snapshot.", examples=[True])


SYNC_COLUMNS = tuple(ResultColumn(name, _SHAPES[name]) for name in SyncModel.model_fields)
"""Of tables; lists and objects are JSON text in them."""
SyncsModel = answer_model(
    "Syncs",
    "The syncs that were, the one that ended last first, page by page.",
    as_of=AS_OF,
    items=(list_of(SyncModel), "The syncs of this page.", [example_of(SyncModel)]),
    next_cursor=NEXT_CURSOR,
)
