"""What lists of entities have in common: their sorting, their pages, and their tables."""

from typing import Annotated, Any

from fastapi import Query

from meta_insights_pipeline.read_api.paging import make_cursor, read_cursor
from meta_insights_pipeline.read_api.parameters import DEFAULT_LIMIT
from meta_insights_pipeline.read_api.reader import Reader
from meta_insights_pipeline.warehouse.reading import listing
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import Chosen
from meta_insights_pipeline.warehouse.reading.listing import Order, Place, Sorting, SortKey
from meta_insights_pipeline.warehouse.reading.statement import Query as Statement
from meta_insights_pipeline.warehouse.reading.statement import Shape

AskedSort = Annotated[
    SortKey, Query(description="By what the list is sorted; of equal ones by account and id.", examples=["spend"])
]
AskedOrder = Annotated[
    Order, Query(description="Which end comes first; null comes last either way.", examples=["desc"])
]


def listed_page(
    reader: Reader, view: View, chosen: Chosen, sorting: Sorting, limit: int | None, cursor: str | None
) -> dict[str, Any]:
    """A page of entities, and the cursor of the next one."""
    most = limit or DEFAULT_LIMIT
    after = _place(chosen, sorting, cursor)
    query = listing.listing(view, reader.reference, chosen, sorting, after=after, limit=most + 1)
    rows = query.records(reader.snapshot)
    next_cursor = None
    if len(rows) > most:
        place = listing.place_of(sorting, rows[most - 1])
        next_cursor = make_cursor(_name(chosen, sorting), (place.value, place.account_id, place.entity_id))
    return {"items": rows[:most], "next_cursor": next_cursor}


def listed_table(
    reader: Reader, view: View, chosen: Chosen, sorting: Sorting, limit: int | None, cursor: str | None
) -> Statement:
    """All entities, or the page that is asked for."""
    after = _place(chosen, sorting, cursor)
    return listing.listing(view, reader.reference, chosen, sorting, after=after, limit=limit)


def _place(chosen: Chosen, sorting: Sorting, cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    shapes = (sorting.key.shape, Shape.TEXT, Shape.TEXT)
    return Place(*read_cursor(cursor, _name(chosen, sorting), shapes, nullable=0))


def _name(chosen: Chosen, sorting: Sorting) -> str:
    return f"{chosen.level.value} {sorting.key.value} {sorting.order.value}"
