"""The checks of the entity tables find what they are there for."""

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, EntityRow
from meta_insights_pipeline.warehouse.entities import merge_entities
from meta_insights_pipeline.warehouse.entity_checks import CHECKS, inspect_entities
from meta_insights_pipeline.warehouse.inspection import CheckFinding
from meta_insights_pipeline_tests.warehouse.building import EARLY, LATE, Desk

ROWS: dict[EntityKind, list[EntityRow]] = {
    EntityKind.AD_ACCOUNTS: [{"account_id": "1", "is_deleted": False}],
    EntityKind.CAMPAIGNS: [{"account_id": "1", "campaign_id": "c1", "name": "A", "is_deleted": False}],
    EntityKind.ADSETS: [{"account_id": "1", "adset_id": "s1", "campaign_id": "c1", "is_deleted": False}],
    EntityKind.ADS: [
        {
            "account_id": "1",
            "ad_id": "a1",
            "adset_id": "s1",
            "campaign_id": "c1",
            "creative_id": "k1",
            "is_deleted": False,
        }
    ],
}


def findings(desk: Desk, *damage: str) -> dict[str, dict[str, CheckFinding]]:
    """Store one entity of each kind, do some damage, and check."""
    renamed: EntityRow = {**ROWS[EntityKind.CAMPAIGNS][0], "name": "B"}
    with desk.warehouse.connect() as connection:
        connection.execute("BEGIN")
        merge_entities(connection, [EntityBatch("1", EARLY, True, ROWS)], "run", desk.folder)
        merge_entities(
            connection, [EntityBatch("1", LATE, False, {EntityKind.CAMPAIGNS: [renamed]})], "run", desk.folder
        )
        connection.execute("COMMIT")
        for statement in damage:
            connection.execute(statement)
        return inspect_entities(connection)


def failed(found: dict[str, dict[str, CheckFinding]]) -> list[tuple[str, str]]:
    return [(table, name) for table, checks in found.items() for name, finding in checks.items() if not finding.passed]


def test_whole_tables_pass_every_check(desk: Desk) -> None:
    found = findings(desk)
    assert failed(found) == []
    assert set(found) == {kind.value for kind in EntityKind}
    assert all(set(checks) == set(CHECKS) for checks in found.values())
    assert found["campaigns"]["key_is_unique"].checked_rows == 1


def test_a_key_that_is_there_twice_is_found(desk: Desk) -> None:
    found = findings(desk, "INSERT INTO adsets SELECT * FROM adsets")
    assert found["adsets"]["key_is_unique"] == CheckFinding(
        passed=False, checked_rows=2, bad_rows=1, examples=("1 s1",)
    )


def test_a_parent_that_is_not_there_is_found(desk: Desk) -> None:
    found = findings(desk, "DELETE FROM campaigns")
    assert failed(found) == [("adsets", "parents_exist"), ("ads", "parents_exist")]
    assert found["ads"]["parents_exist"].examples == ("1 a1",)


def test_versions_that_overlap_are_found(desk: Desk) -> None:
    found = findings(desk, "UPDATE campaigns_history SET valid_to = valid_to + INTERVAL 1 HOUR")
    assert failed(found) == [("campaigns", "versions_are_apart")]


def test_a_version_that_ends_before_it_begins_is_found(desk: Desk) -> None:
    found = findings(desk, "UPDATE campaigns_history SET valid_to = valid_from")
    assert failed(found) == [("campaigns", "versions_are_apart")]
