"""`GET /meta/insights/campaign/{id}` and the like of the other levels."""

from enum import StrEnum
from typing import Annotated, Any

import orjson
from fastapi import Path, Query, Response

from meta_insights_pipeline.catalog.entities import Type
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.read_api.access.confinement import seen_by
from meta_insights_pipeline.read_api.exports import table_answer
from meta_insights_pipeline.read_api.json_answers import about, json_answer
from meta_insights_pipeline.read_api.models.entities import entity_model
from meta_insights_pipeline.read_api.parameters import AnswerFormat, Cursor, Days, Format, Limit, unusable
from meta_insights_pipeline.read_api.reader import CurrentReader, Reader
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.read_api.routes.listing import AskedOrder, AskedSort, listed_page, listed_table
from meta_insights_pipeline.read_api.routes.notes import about_figures
from meta_insights_pipeline.warehouse.mart_columns import KINDS
from meta_insights_pipeline.warehouse.reading import conversions, entity, listing
from meta_insights_pipeline.warehouse.reading.entity import Found
from meta_insights_pipeline.warehouse.reading.figures import Chosen
from meta_insights_pipeline.warehouse.reading.listing import Order, Sorting, SortKey

router = new_router(404)

Row = dict[str, Any]
_LONGEST_ID = 64
EntityId = Annotated[str, Path(max_length=_LONGEST_ID, description="Its id.", examples=["120210000000000001"])]
AccountId = Annotated[
    str, Path(max_length=_LONGEST_ID, description="Its id, with or without `act_`.", examples=["1010101010"])
]


class EntityPart(StrEnum):
    """One table of the answer about an entity."""

    DAILY = "daily"
    SUMMARY = "summary"
    CONVERSIONS = "conversions"
    CHILDREN = "children"


Part = Annotated[
    EntityPart, Query(description="Which table a format other than JSON holds; JSON holds all.", examples=["daily"])
]


@router.get(
    "/account/{account_id}", response_model=entity_model(Level.ACCOUNT), responses=AS_TABLE, summary="One ad account"
)
def get_account(
    account_id: AccountId,
    reader: CurrentReader,
    days: Days,
    form: AnswerFormat,
    sort: AskedSort = SortKey.SPEND,
    order: AskedOrder = Order.DESC,
    limit: Limit = None,
    cursor: Cursor = None,
    part: Part = EntityPart.DAILY,
) -> Response:
    """One ad account: attributes, figures, days, conversions, and its campaigns page by page."""
    found = _find(reader, Level.ACCOUNT, account_id.removeprefix("act_"))
    return _answer(reader, found, days, form, Sorting(sort, order), limit, cursor, part)


@router.get(
    "/campaign/{campaign_id}", response_model=entity_model(Level.CAMPAIGN), responses=AS_TABLE, summary="One campaign"
)
def get_campaign(
    campaign_id: EntityId,
    reader: CurrentReader,
    days: Days,
    form: AnswerFormat,
    sort: AskedSort = SortKey.SPEND,
    order: AskedOrder = Order.DESC,
    limit: Limit = None,
    cursor: Cursor = None,
    part: Part = EntityPart.DAILY,
) -> Response:
    """One campaign: attributes, parents, figures, days, conversions, and its ad sets page by page."""
    found = _find(reader, Level.CAMPAIGN, campaign_id)
    return _answer(reader, found, days, form, Sorting(sort, order), limit, cursor, part)


@router.get("/adset/{adset_id}", response_model=entity_model(Level.ADSET), responses=AS_TABLE, summary="One ad set")
def get_adset(
    adset_id: EntityId,
    reader: CurrentReader,
    days: Days,
    form: AnswerFormat,
    sort: AskedSort = SortKey.SPEND,
    order: AskedOrder = Order.DESC,
    limit: Limit = None,
    cursor: Cursor = None,
    part: Part = EntityPart.DAILY,
) -> Response:
    """One ad set: attributes, parents, figures, days, conversions, and its ads page by page."""
    found = _find(reader, Level.ADSET, adset_id)
    return _answer(reader, found, days, form, Sorting(sort, order), limit, cursor, part)


@router.get("/ad/{ad_id}", response_model=entity_model(Level.AD), responses=AS_TABLE, summary="One ad")
def get_ad(
    ad_id: EntityId,
    reader: CurrentReader,
    days: Days,
    form: AnswerFormat,
    part: Part = EntityPart.DAILY,
) -> Response:
    """One ad: attributes, parents, figures, days and conversions."""
    found = _find(reader, Level.AD, ad_id)
    return _answer(reader, found, days, form, Sorting(), None, None, part)


def _find(reader: Reader, level: Level, entity_id: str) -> Found:
    found = entity.find(reader.snapshot, reader.view(), level, entity_id)
    noun = KINDS[level].noun
    return seen_by(reader.principal, found, lambda one: [one.account_id], what=noun, identifier=entity_id)


def _answer(
    reader: Reader,
    found: Found,
    days: Days,
    form: Format,
    sorting: Sorting,
    limit: int | None,
    cursor: str | None,
    part: EntityPart,
) -> Response:
    view, reference, snapshot = reader.view(), reader.reference, reader.snapshot
    period = days.resolve(reader.today_of(found.account_id))
    chosen = Chosen(found.level, period, account_id=found.account_id, entity_id=found.entity_id)
    below = listing.children(found.level, found.account_id, found.entity_id, period)
    if form is not Format.JSON:
        queries = {
            EntityPart.DAILY: lambda: entity.daily(view, reference, chosen),
            EntityPart.SUMMARY: lambda: entity.summary(view, reference, chosen),
            EntityPart.CONVERSIONS: lambda: conversions.conversions(view, reference, chosen),
        }
        if part in queries:
            query = queries[part]()
        elif below is None:
            raise unusable("part", "An ad has no children.")
        else:
            query = listed_table(reader, view, below, sorting, limit, cursor)
        return table_answer(query, snapshot, form, f"{found.level.value}-{part.value}")
    (summary, daily), happened, children = snapshot.together(
        lambda: entity.summary_and_days(snapshot, view, reference, chosen),
        lambda: conversions.conversions(view, reference, chosen).records(snapshot),
        lambda: None if below is None else _children(reader, below, sorting, limit, cursor),
    )
    account = reference.accounts.get(found.account_id)
    rows = [summary, *(children["items"] if children else ())]
    return json_answer(
        {
            "level": found.level.value,
            "id": found.entity_id,
            "name": found.name,
            "account_id": found.account_id,
            "account_currency": (account and account.currency) or summary["account_currency"],
            "timezone_name": account.timezone_name if account else None,
            **about(period, reader.as_of),
            "attributes": _shown(found),
            "parents": list(found.parents),
            "summary": summary,
            "daily": daily,
            "conversions": [
                {name: value for name, value in row.items() if name != "account_currency"} for row in happened
            ],
            "children": children,
            "notes": about_figures(
                period,
                rows=rows,
                single=[*daily, *(rows if period.is_one_day else ())],
                as_of=reader.as_of,
                is_summed=not period.is_one_day,
            ),
        }
    )


def _children(reader: Reader, below: Chosen, sorting: Sorting, limit: int | None, cursor: str | None) -> Row:
    return {"level": below.level.value, **listed_page(reader, reader.view(), below, sorting, limit, cursor)}


def _shown(found: Found) -> Row | None:
    """The attributes, with objects and lists as such."""
    if found.attributes is None:
        return None
    texts = {each.column for each in KINDS[found.level].attributes if each.type is Type.JSON}
    return {name: _parsed(value) if name in texts else value for name, value in found.attributes.items()}


def _parsed(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
