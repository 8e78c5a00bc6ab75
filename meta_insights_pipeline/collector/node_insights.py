"""Insights of single campaigns, ad sets and ads: what an account's own reports leave out may still be had from there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.plan import PAGE_ROWS
from meta_insights_pipeline.graph_api.batch import BatchCall, get_many
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError, NotFoundError, ThrottleError
from meta_insights_pipeline.graph_api.paging import Page, follow_pages, read_page


@dataclass
class NodeAnswers:
    """What some nodes of an account answered."""

    pages: list[Path] = field(default_factory=list)
    """JSON arrays of rows, as Meta wrote them."""
    answered: list[str] = field(default_factory=list)
    """Nodes of which every page came; one that Meta does not know has none."""
    refused: dict[str, GraphApiError] = field(default_factory=dict)
    """The others, with Meta's word."""


def insights_of_nodes(
    api: GraphApi,
    account_id: str,
    report: Report,
    fields: Sequence[str],
    questions: Sequence[tuple[str, DayRange]],
    folder: Path,
) -> NodeAnswers:
    """Ask nodes of one account for the rows of a report, up to 50 in a request.

    After the first refusal that concerns them all (a limit is reached, the token is refused) the others are not asked.

    Args:
        api: The session.
        account_id: The account that the nodes belong to.
        report: Which rows: those of its level within each node, deleted ones included.
        fields: Only these of the report's fields.
        questions: Ids, and the days to ask for.
        folder: For the pages; it must exist.
    """
    answers = NodeAnswers()
    calls = [
        BatchCall(
            f"{node}/insights",
            {**report.request_parameters(days.since, days.until, fields=fields), "limit": str(PAGE_ROWS)},
        )
        for node, days in questions
    ]
    outcomes = get_many(api, calls, kind="insights_page", account=account_id, read=read_page)
    stop: GraphApiError | None = None
    for (node, _), call, outcome in zip(questions, calls, outcomes, strict=True):
        if isinstance(outcome, NotFoundError):
            answers.answered.append(node)
            continue
        try:
            pages = _whole(api, account_id, call, outcome, stop)
        except GraphApiError as error:
            answers.refused[node] = error
            stop = error if isinstance(error, ThrottleError | AuthError) else stop
            continue
        for page in pages:
            file = folder / f"{report.level}-{len(answers.pages):05d}-of-{account_id}.json"
            file.write_bytes(page.rows)
            answers.pages.append(file)
        answers.answered.append(node)
    return answers


def _whole(
    api: GraphApi, account_id: str, call: BatchCall, first: Page | GraphApiError, stop: GraphApiError | None
) -> list[Page]:
    """The first page and those behind it.

    Raises:
        GraphApiError: A page could not be had.
    """
    if isinstance(first, GraphApiError):
        raise first
    if first.after is None:
        return [first]
    if stop is not None:
        raise stop
    rest = follow_pages(api, call.path, call.parameters, kind="insights_page", account=account_id, after=first.after)
    return [first, *rest]
