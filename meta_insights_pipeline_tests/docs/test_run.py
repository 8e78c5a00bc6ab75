"""Every command, program and query of the documents runs."""

import duckdb
import pytest

from meta_insights_pipeline_tests.check_docs import ROOT
from meta_insights_pipeline_tests.docs.blocks import Block, all_blocks, simulate_arguments
from meta_insights_pipeline_tests.docs.conftest import Workspace

pytestmark = pytest.mark.slow
# One worker for all that need the data, so that it is loaded once.
with_data = pytest.mark.xdist_group("docs with data")
without_data = pytest.mark.xdist_group("docs without data")

BLOCKS = [block for block in all_blocks(ROOT) if block.treatment != "not run"]
PROGRAMS = [block for block in BLOCKS if block.language in ("sh", "python") and block.treatment != "live"]
LIVE = [block for block in BLOCKS if block.treatment == "live"]
QUERIES = [block for block in BLOCKS if block.language == "sql"]


DOCUMENTS = list(dict.fromkeys(block.document for block in PROGRAMS))
# How a document starts the simulator; one that does works with what it loads from there.
SIMULATE = {
    name: simulate_arguments([block for block in all_blocks(ROOT) if block.document == name]) for name in DOCUMENTS
}


@with_data
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if not SIMULATE[name]])
def test_the_programs_of_a_document_run_in_their_order(workspace: Workspace, document: str) -> None:
    run_programs(workspace, document)


@without_data
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if SIMULATE[name]])
def test_the_programs_of_a_document_run_with_its_simulator(empty_workspace: Workspace, document: str) -> None:
    run_programs(empty_workspace, document)


def run_programs(workspace: Workspace, document: str) -> None:
    for block in PROGRAMS:
        if block.document == document:
            done = workspace.run(block, SIMULATE[document])
            assert done.returncode == 0, f"{block}\n{done.stdout}"
            assert block.prints in (None, done.stdout.strip()), str(block)


@without_data
@pytest.mark.parametrize("block", LIVE, ids=str)
def test_live_mode_runs_as_shown(empty_workspace: Workspace, block: Block) -> None:
    done = empty_workspace.run(block, [])
    assert done.returncode == 0, f"{block}\n{done.stdout}"
    with duckdb.connect(str(empty_workspace.folder / "data" / "meta_insights.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT mode FROM pipeline.source").fetchall() == [("live",)]


@with_data
@pytest.mark.parametrize("block", QUERIES, ids=str)
def test_queries_have_rows(workspace: Workspace, block: Block) -> None:
    file = workspace.folder / "data" / "meta_insights.duckdb"
    with duckdb.connect(str(file), read_only=True) as connection:
        for statement in connection.extract_statements(block.text):
            rows = connection.execute(statement).fetchall()
            assert rows or block.treatment == "may be empty", str(block)


@with_data
def test_the_query_of_the_readme_does_not_multiply_spend(workspace: Workspace) -> None:
    """Joining conversions is where a careless query counts spend several times."""
    (query, _) = (block.text.strip().rstrip(";") for block in QUERIES if block.document == "README.md")
    within = "date_start BETWEEN current_date - 7 AND current_date - 1"
    purchases = "level = 'account' AND field = 'actions' AND action_type = 'omni_purchase'"
    with duckdb.connect(str(workspace.folder / "data" / "meta_insights.duckdb"), read_only=True) as connection:
        shown = connection.execute(
            f"SELECT account_name, sum(spend), sum(purchases) FROM ({query}) GROUP BY ALL"
        ).fetchall()
        expected = connection.execute(
            "SELECT account_name, sum(spend), (SELECT coalesce(sum(value), 0) FROM insight_actions "
            f"WHERE {purchases} AND {within} AND account_id = a.account_id) "
            f"FROM account_insights AS a WHERE {within} GROUP BY account_name, account_id"
        ).fetchall()
    assert len(shown) == 4
    assert sorted(shown) == sorted(expected)
