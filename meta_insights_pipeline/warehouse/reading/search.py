"""Finding entities of every level by name or id."""

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import KINDS
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.statement import Binder, Query, ResultColumn, Shape

SEARCH_COLUMNS = (
    ResultColumn("level", Shape.TEXT, "account, campaign, adset or ad."),
    ResultColumn("id", Shape.TEXT, "Id of the account, campaign, ad set or ad; of an account without the prefix act_."),
    ResultColumn("name", Shape.NAME, "Its name."),
    ResultColumn("account_id", Shape.TEXT, "Id of the ad account, without the prefix act_."),
    ResultColumn("campaign_id", Shape.TEXT, "Id of the campaign that it is or belongs to; null for an account."),
    ResultColumn("adset_id", Shape.TEXT, "Id of the ad set that it is or belongs to; null above ad sets."),
    ResultColumn("effective_status", Shape.TEXT, "What holds, with what is passed down; of an account its state."),
    ResultColumn("is_deleted", Shape.FLAG, "Whether it is deleted."),
)


def search(view: View, text: str, *, limit: int | None) -> Query:
    """What has a text in its name, whatever its case, or an id that begins with it.

    The same id comes first, then the same name, names that begin with the text, and the rest; within each, accounts come before
    campaigns, ad sets and ads.
    """
    bind = Binder()
    asked = bind(text.removeprefix("act_") if text.removeprefix("act_").isdecimal() else text)
    parts = [_part(bind, view, level, asked) for level in Level]
    rank = (
        f"CASE WHEN id = {asked} THEN 0 WHEN lower(name) = lower({asked}) THEN 1 "
        f"WHEN starts_with(lower(name), lower({asked})) THEN 2 ELSE 3 END"
    )
    end = "" if limit is None else f" LIMIT {bind(limit)}"
    body = f"SELECT *, {rank} AS rank FROM ({' UNION ALL '.join(parts)})"
    order = f"ORDER BY q.rank, q.depth, q.name, q.account_id, q.id{end}"
    return Query(SEARCH_COLUMNS, body, bind.parameters, order)


def _part(bind: Binder, view: View, level: Level, asked: str) -> str:
    kind = KINDS[level]
    ids = [
        f"e.{part.id_field}" if part.depth <= level.depth else f"NULL::VARCHAR AS {part.id_field}"
        for part in (Level.CAMPAIGN, Level.ADSET)
    ]
    return (
        f"SELECT {bind(level.value)} AS level, {level.depth} AS depth, e.{kind.id_column} AS id, e.name, e.account_id, "
        f"{', '.join(ids)}, e.{kind.status_column} AS effective_status, e.is_deleted "
        f"FROM {view.entities(bind, kind)} AS e WHERE {view.seen(bind, 'e')} "
        f"AND (starts_with(e.{kind.id_column}, {asked}) OR contains(lower(e.name), lower({asked})))"
    )
