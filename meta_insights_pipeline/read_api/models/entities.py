"""The answers about accounts, campaigns, ad sets and ads, alone and side by side."""

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meta_insights_pipeline.catalog.entities import Type
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.read_api.models.overview import ConversionsModel
from meta_insights_pipeline.read_api.models.rows import answer_model, example_of, list_of, or_null, row_model
from meta_insights_pipeline.read_api.models.shared import AS_OF, NEXT_CURSOR, NOTES_FIELD, PERIOD
from meta_insights_pipeline.warehouse.mart_columns import KINDS
from meta_insights_pipeline.warehouse.reading import entity, listing, search
from meta_insights_pipeline.warehouse.reading.entity import attribute_columns


class ParentModel(BaseModel):
    """An entity above another."""

    model_config = ConfigDict(extra="forbid", title="Parent")

    level: str = Field(description="account, campaign or adset.", examples=["campaign"])
    id: str | None = Field(description="Its id; null when it is not known.", examples=["120210000000000001"])
    name: str | None = Field(description="Its name; null when it is not known.", examples=["Summer sale"])
    status: str | None = Field(description="What holds; null when it is not known.", examples=["ACTIVE"])


SummaryModel = row_model(
    "Summary", entity.SUMMARY_COLUMNS, "The figures of one entity over the period.", required=("days", "collected_days")
)
EntityDayModel = row_model(
    "EntityDay",
    entity.DAY_COLUMNS,
    "The figures of one entity on one day; days without delivery have no row.",
    required=("date_start",),
)
_ALWAYS_LISTED = ("level", "id", "account_id", "days", "collected_days")
ListedModel = row_model(
    "ListedEntity",
    listing.LISTED_COLUMNS,
    "One entity of a list, with its figures over the period.",
    required=_ALWAYS_LISTED,
)
ListedAccountModel = row_model(
    "ListedAccount",
    listing.ACCOUNT_COLUMNS,
    "One ad account of a list, with its figures over the period.",
    required=(*_ALWAYS_LISTED, "date_from", "date_to"),
    examples={"level": "account", "id": "1010101010"},
)
ChildrenModel = answer_model(
    "Children",
    "What is right below an entity, page by page.",
    level=(str, "Level of the children: campaign, adset or ad.", "adset"),
    items=(list_of(ListedModel), "The children of this page.", [example_of(ListedModel)]),
    next_cursor=NEXT_CURSOR,
)
AccountsModel = answer_model(
    "Accounts",
    "The ad accounts that may be seen, page by page.",
    period=PERIOD,
    as_of=AS_OF,
    items=(
        list_of(ListedAccountModel),
        "The ad accounts of this page.",
        [example_of(ListedAccountModel)],
    ),
    next_cursor=NEXT_CURSOR,
    notes=NOTES_FIELD,
)
FoundModel = row_model(
    "FoundEntity",
    search.SEARCH_COLUMNS,
    "Something that a search found.",
    required=("level", "id", "account_id", "is_deleted"),
)
SearchModel = answer_model(
    "SearchResult",
    "What a search found, the best first.",
    as_of=AS_OF,
    items=(list_of(FoundModel), "What was found.", [example_of(FoundModel)]),
)
RecentModel = answer_model(
    "RecentInsights",
    "The newest rows of one entity, page by page, the newest day first.",
    level=(str, "Level of the entity: account, campaign, adset or ad.", "ad"),
    id=(str, "Id of the entity.", "120210000000000101"),
    account_id=(str, "Id of its ad account, without the prefix act_.", "1010101010"),
    account_currency=(str | None, "Currency of all money below, ISO 4217; null when it is not known.", "EUR"),
    as_of=AS_OF,
    items=(list_of(EntityDayModel), "The rows of this page.", [example_of(EntityDayModel)]),
    next_cursor=NEXT_CURSOR,
    notes=NOTES_FIELD,
)


@cache
def entity_model(level: Level) -> Any:
    """The answer about one entity of a level."""
    word = level.value.capitalize()
    kind = KINDS[level]
    json_columns = {each.column for each in kind.attributes if each.type is Type.JSON}
    attributes = row_model(
        f"{word}Attributes",
        [column for column in attribute_columns(kind) if column.name not in json_columns],
        f"What the {kind.noun} is set to, as it was known at the moment of the answer.",
        more={
            each.column: (Any, Field(description=f"{each.description} Any JSON, or null.", examples=[None]))
            for each in kind.attributes
            if each.column in json_columns
        },
    )
    fields: dict[str, Any] = {
        "level": (str, "Level of the entity.", level.value),
        "id": (str, "Its id; of an account without the prefix act_.", "120210000000000001"),
        "name": (str | None, "Its name; null when it is not known.", "Summer sale"),
        "account_id": (str, "Id of its ad account, without the prefix act_.", "1010101010"),
        "account_currency": (str | None, "Currency of all money, ISO 4217; null when it is not known.", "EUR"),
        "timezone_name": (
            str | None,
            "IANA name of the time zone in which its days begin and end; null when it is not known.",
            "Europe/Berlin",
        ),
        "period": PERIOD,
        "as_of": AS_OF,
        "attributes": (
            or_null(attributes),
            "What it is set to; null when it is known from insights alone.",
            example_of(attributes),
        ),
        "parents": (
            list_of(ParentModel),
            "What is above it, from the account down.",
            [example_of(ParentModel)],
        ),
        "summary": (SummaryModel, "Its figures over the period.", example_of(SummaryModel)),
        "daily": (list_of(EntityDayModel), "Each day with delivery, in order.", [example_of(EntityDayModel)]),
        "conversions": (list_of(ConversionsModel), "Each event that happened.", [example_of(ConversionsModel)]),
        "children": (
            or_null(ChildrenModel),
            "What is right below it; null for an ad.",
            example_of(ChildrenModel),
        ),
        "notes": NOTES_FIELD,
    }
    return answer_model(f"{word}Insights", f"One {kind.noun} over a period.", **fields)
