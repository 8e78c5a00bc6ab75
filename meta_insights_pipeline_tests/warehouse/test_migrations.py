"""Warehouses of earlier schema versions: brought up to this one in place, with a copy of what they were."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from meta_insights_pipeline.warehouse.database import WarehouseError
from meta_insights_pipeline.warehouse.merge import Gap, MergeCounts, missing_parts
from meta_insights_pipeline.warehouse.migrations import STEPS, migration_statements
from meta_insights_pipeline.warehouse.schema import ACCOUNTS, SCHEMA_VERSION, VIEWS, book_tables
from meta_insights_pipeline.warehouse.views import view_statements
from meta_insights_pipeline_tests.warehouse.building import DAY, EARLY, LATE, Desk, row

DATA = Path(__file__).parent / "data"
VERSION_1 = DATA / "schema_version_1.sql"
VERSION_3 = DATA / "schema_version_3.sql"

# One campaign with one action, and one missing part.
ROWS = """
INSERT INTO campaign_insights (account_id, account_name, account_currency, campaign_id, campaign_name, date_start,
    objective, impressions, clicks, spend, reach, inline_link_clicks, changed_at)
VALUES ('1', 'Shop', 'EUR', 'c1', 'Campaign c1', '2026-11-01', 'OUTCOME_SALES', 100, 10, 12.4, 80, 0, '2026-11-02 08:00:00');
INSERT INTO insight_actions (level, account_id, entity_id, date_start, field, action_type, value, changed_at)
VALUES ('campaign', '1', 'c1', '2026-11-01', 'actions', 'lead', 1, '2026-11-02 08:00:00');
INSERT INTO pipeline.source VALUES ('live');
INSERT INTO pipeline.coverage VALUES ('campaign_insights', '1', '2026-11-01', '2026-11-02 08:00:00', 'run', 1);
INSERT INTO pipeline.missing VALUES ('ad_insights', '1', '2026-11-01', '2026-11-02 08:00:00', 'run', 'no');
"""


# The same row restated once, with the views that readers use.
ROWS_3 = """
INSERT INTO campaign_insights (account_id, account_name, account_currency, campaign_id, campaign_name, date_start,
    objective, impressions, clicks, spend, reach, inline_link_clicks, changed_at)
VALUES ('1', 'Shop', 'EUR', 'c1', 'Campaign c1', '2026-11-01', 'OUTCOME_SALES', 100, 10, 12.4, 80, 0, '2026-11-02 08:00:00');
INSERT INTO campaign_insights_history SELECT * EXCLUDE (ctr, cpc, cpm, cpp, frequency) REPLACE ('2026-11-02 07:00:00' AS
    changed_at, 11 AS spend), '2026-11-02 08:00:00' FROM campaign_insights;
INSERT INTO insight_actions (level, account_id, entity_id, date_start, field, action_type, value, changed_at)
VALUES ('campaign', '1', 'c1', '2026-11-01', 'actions', 'lead', 1, '2026-11-02 08:00:00');
INSERT INTO pipeline.source VALUES ('live');
INSERT INTO pipeline.coverage VALUES ('campaign_insights', '1', '2026-11-01', '2026-11-02 08:00:00', 'run', 1);
"""


def old_desk(folder: Path, schema: Path, rows: str, views: Sequence[str] = ()) -> Desk:
    """A desk whose warehouse was written by an earlier version, by a process that was killed before it had closed the file."""
    desk = Desk(folder)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{desk.warehouse.path}' AS warehouse")
        connection.execute("USE warehouse")
        connection.execute(schema.read_text("utf-8"))
        for statement in views:
            connection.execute(statement)
    with duckdb.connect(str(desk.warehouse.path)) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute(rows)
    assert desk.warehouse.path.with_name("warehouse.duckdb.wal").exists()
    return desk


@pytest.fixture
def old(tmp_path: Path) -> Desk:
    """A desk whose warehouse was written by version 1."""
    return old_desk(tmp_path, VERSION_1, ROWS)


@pytest.fixture
def version_3(tmp_path: Path) -> Desk:
    """A desk whose warehouse was written by version 3, with views on its tables."""
    # Today's views stand for those of its time; they take books that came later.
    books = [table for table in book_tables() if table.name in (ACCOUNTS, VIEWS)]
    made = [statement for table in books for statement in table.create_statements("warehouse")]
    return old_desk(tmp_path, VERSION_3, ROWS_3, [*made, *view_statements("warehouse")])


def test_an_old_warehouse_is_brought_up_to_date_when_it_is_opened(old: Desk) -> None:
    assert old.ask("SELECT campaign_id, spend, ctr, withheld_fields FROM campaign_insights") == [
        ("c1", Decimal("12.4"), 10.0, None)
    ]
    assert old.ask("SELECT version FROM pipeline.schema_version") == [(SCHEMA_VERSION,)]
    with old.warehouse.connect() as connection:
        assert missing_parts(connection) == [Gap("ad_insights", "1", DAY, DAY, "no", None, "failed")]


def test_accounts_are_known_by_their_rows_until_a_sync_finds_them(old: Desk) -> None:
    assert old.ask("SELECT account_id, name, currency, timezone_name FROM known_accounts") == [
        ("1", "Shop", "EUR", None)
    ]


def test_it_has_the_same_schema_as_a_new_one(old: Desk, tmp_path: Path) -> None:
    new = Desk(tmp_path / "new")
    for statement in (
        "SELECT schema_name, table_name, comment FROM duckdb_tables()",
        "SELECT table_name, column_index, column_name, data_type, is_nullable, column_default, comment FROM duckdb_columns()",
        "SELECT function_name, macro_definition, comment FROM duckdb_functions()",
    ):
        ours = f"{statement} WHERE database_name = 'warehouse' ORDER BY ALL"
        assert old.ask(ours) == new.ask(ours)


def test_so_has_one_of_version_3(version_3: Desk, tmp_path: Path) -> None:
    test_it_has_the_same_schema_as_a_new_one(version_3, tmp_path)


def test_a_warehouse_of_version_3_keeps_its_history_and_knows_its_action_types(version_3: Desk) -> None:
    lead, like = {"action_type": "lead", "value": "1"}, {"action_type": "like", "value": "1"}
    assert version_3.write(version_3.stage([row(actions=[lead])], at=LATE), now=LATE).counts[
        "campaign_insights"
    ] == MergeCounts(1, unchanged=1)
    assert version_3.ask("SELECT kind, report, name, is_new FROM pipeline.drift") == [
        ("action_type", "campaign_insights", "lead", False)
    ]
    moment = LATE + timedelta(hours=1)
    changed = version_3.stage([row(actions=[lead, {**like, "7d_view": "2"}], gazes="7")], at=moment)
    version_3.write(changed, now=moment)
    assert version_3.ask("SELECT kind, name FROM pipeline.drift WHERE is_new ORDER BY ALL") == [
        ("action_type", "like"),
        ("field", "gazes"),
        ("window", "7d_view"),
    ]
    assert version_3.ask(
        "SELECT spend, other_fields FROM campaign_insights UNION ALL "
        "SELECT spend, other_fields FROM campaign_insights_history ORDER BY spend, other_fields"
    ) == [(Decimal(11), None), (Decimal("12.4"), '{"gazes":"7"}'), (Decimal("12.4"), None)]


def test_what_version_4_has_thinned_counts_as_thinned(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ask("SELECT 1")
    with duckdb.connect(str(desk.warehouse.path)) as connection:
        for statement in (
            "DROP TABLE pipeline.history_thinning",
            "DROP TABLE pipeline.accounts",
            "CREATE TABLE pipeline.history_thinning (thinned_at TIMESTAMP NOT NULL)",
            "INSERT INTO pipeline.history_thinning VALUES (TIMESTAMP '2026-11-20 08:00:00')",
            "UPDATE pipeline.schema_version SET version = 4",
        ):
            connection.execute(statement)
    noon, end = "2026-11-13 07:00:00", datetime(2026, 11, 14)  # noqa: DTZ001 - as the warehouse stores it
    assert desk.ask("SELECT thinned_before FROM pipeline.history_thinning") == [(end,)]
    desk.sync([row(spend="1")], at=datetime(2026, 11, 13, 6, tzinfo=UTC))
    desk.sync([row(spend="2")], at=datetime(2026, 11, 13, 20, tzinfo=UTC))
    assert desk.ask(f"SELECT spend FROM campaign_insights_as_of('{noon}')") == [(Decimal(2),)]


def test_a_copy_of_the_old_file_stays_beside_it(old: Desk) -> None:
    old.ask("SELECT 1")
    copy = old.warehouse.path.with_name("warehouse.duckdb.v1.bak")
    with duckdb.connect(str(copy), read_only=True) as connection:
        assert connection.execute("SELECT version FROM pipeline.schema_version").fetchall() == [(1,)]
        assert connection.execute("SELECT count(*) FROM campaign_insights").fetchall() == [(1,)]
    kept = copy.read_bytes()
    old.sync([row()], at=LATE)
    assert copy.read_bytes() == kept, "only the change of version makes a copy"


def test_syncs_go_on_where_they_were(old: Desk) -> None:
    lead = [{"action_type": "lead", "value": "1"}]
    assert old.sync([row(actions=lead)], at=LATE).counts == {
        "campaign_insights": MergeCounts(read=1, unchanged=1),
        "insight_actions": MergeCounts(read=1, unchanged=1),
    }
    old.sync([row(actions=lead, spend="13")], at=LATE + timedelta(hours=1))
    with old.reading() as reader:
        for at, spend in ((EARLY, "12.4"), (LATE + timedelta(hours=1), "13")):
            moment = at.replace(tzinfo=None)
            rows = reader.execute(f"SELECT spend FROM campaign_insights_as_of(TIMESTAMP '{moment}')").fetchall()
            assert rows == [(Decimal(spend),)]


def test_a_step_that_fails_leaves_the_file_as_it_was(old: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, version: int) -> list[str]:
        return [*migration_statements(name, version), "SELECT no_such_column FROM warehouse.campaign_insights"]

    monkeypatch.setattr("meta_insights_pipeline.warehouse.database.migration_statements", broken)
    with pytest.raises(WarehouseError, match=r"cannot be brought from schema version 1 to 5 .*no_such_column.*v1\.bak"):
        old.ask("SELECT 1")
    with duckdb.connect(str(old.warehouse.path), read_only=True) as connection:
        assert connection.execute("SELECT version FROM pipeline.schema_version").fetchall() == [(1,)]
        columns = connection.execute("SELECT * FROM campaign_insights").description
    assert columns is not None
    assert "withheld_fields" not in [column[0] for column in columns]
    monkeypatch.undo()
    assert old.ask("SELECT count(*) FROM campaign_insights") == [(1,)]


def test_without_room_for_a_copy_nothing_is_changed(old: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(WarehouseError, match=r"a copy has to be made, which failed \(No space left on device\)"):
        old.ask("SELECT 1")
    with duckdb.connect(str(old.warehouse.path), read_only=True) as connection:
        assert connection.execute("SELECT version FROM pipeline.schema_version").fetchall() == [(1,)]
    assert [file.name for file in old.folder.iterdir() if "bak" in file.name] == []


def test_there_is_a_step_from_every_earlier_version() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))
