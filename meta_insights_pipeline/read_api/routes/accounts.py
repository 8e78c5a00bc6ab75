"""`GET /meta/insights/accounts`."""

from fastapi import Response

from meta_insights_pipeline.read_api.exports import table_answer
from meta_insights_pipeline.read_api.json_answers import about, json_answer
from meta_insights_pipeline.read_api.models.entities import AccountsModel
from meta_insights_pipeline.read_api.parameters import Accounts, AnswerFormat, Cursor, Days, Format, Limit
from meta_insights_pipeline.read_api.reader import CurrentReader
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.read_api.routes.listing import AskedOrder, AskedSort, listed_page, listed_table
from meta_insights_pipeline.read_api.routes.notes import about_figures
from meta_insights_pipeline.warehouse.reading import listing
from meta_insights_pipeline.warehouse.reading.listing import Order, Sorting, SortKey

router = new_router()


@router.get("/accounts", response_model=AccountsModel, responses=AS_TABLE, summary="Every ad account")
def get_accounts(
    reader: CurrentReader,
    days: Days,
    accounts: Accounts,
    form: AnswerFormat,
    sort: AskedSort = SortKey.NAME,
    order: AskedOrder = Order.ASC,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The ad accounts that may be seen with their figures, page by page. Sorted by money, currencies stand side by side."""
    view = reader.view(accounts)
    period = reader.period(days, view)
    chosen, sorting = listing.accounts(period), Sorting(sort, order)
    if form is not Format.JSON:
        query = listed_table(reader, view, chosen, sorting, limit, cursor)
        return table_answer(query, reader.snapshot, form, "accounts")
    page = listed_page(reader, view, chosen, sorting, limit, cursor)
    rows = page["items"]
    told = about_figures(
        period,
        rows=rows,
        single=rows if period.is_one_day else (),
        as_of=reader.as_of,
        is_summed=not period.is_one_day,
    )
    return json_answer({**about(period, reader.as_of), **page, "notes": told})
