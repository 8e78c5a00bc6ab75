"""The queries that join spend with something else lose none of it and count none of it twice."""

import duckdb
import pytest

from meta_insights_pipeline_tests.check_docs import ROOT
from meta_insights_pipeline_tests.docs.blocks import Block, all_blocks
from meta_insights_pipeline_tests.docs.conftest import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs with data")]
JOINS = [
    block
    for block in all_blocks(ROOT)
    if block.document == "docs/data.md" and block.language == "sql" and "FROM campaign_insights AS i" in block.text
]


def test_spend_is_shown_with_names_and_budgets_of_now_and_of_then() -> None:
    assert len(JOINS) == 2


@pytest.mark.parametrize("block", JOINS, ids=str)
def test_spend_with_names_and_budgets_is_all_spend_even_of_campaigns_without_a_row(
    workspace: Workspace, block: Block
) -> None:
    file = workspace.folder / "data" / "meta_insights.duckdb"
    query = block.text.strip().rstrip(";")
    with duckdb.connect() as connection:
        # A copy, in which two of the campaigns and one of the accounts are as if Meta had never told of them.
        connection.execute(f"ATTACH '{file}' AS published (READ_ONLY)")
        for table in ("campaign_insights", "campaigns", "campaigns_history", "adsets", "known_accounts"):
            connection.execute(f"CREATE TABLE {table} AS FROM published.{table}")
        connection.execute("INSERT INTO campaigns_history SELECT *, now() FROM campaigns")
        connection.execute(
            "DELETE FROM campaigns WHERE campaign_id IN "
            "(SELECT DISTINCT campaign_id FROM campaign_insights ORDER BY ALL LIMIT 2)"
        )
        connection.execute(
            "DELETE FROM known_accounts WHERE account_id = (SELECT min(account_id) FROM campaign_insights)"
        )
        by_day = "count(*), sum(spend) FROM {} GROUP BY date_start, account_name, currency ORDER BY ALL"
        shown = connection.execute(f"SELECT date_start, account_name, {by_day.format(f'({query})')}").fetchall()
        expected = connection.execute(
            "SELECT date_start, account_name, "
            + by_day.format("(SELECT *, account_currency AS currency FROM campaign_insights)")
        ).fetchall()
        budgets = connection.execute(f"SELECT count(daily_budget) FROM ({query})").fetchone()
    assert shown == expected
    assert len(shown) > 20
    assert budgets is not None
    assert budgets[0] > 0
