"""What the UI shows of a table: its columns, and what a sync did to it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from meta_insights_pipeline.home_files import MissingPart
from meta_insights_pipeline.sync import SyncOutcome
from meta_insights_pipeline.warehouse.inspection import CheckFinding, DayFigures, TableInspection
from meta_insights_pipeline.warehouse.schema import Table


def column_schema(table: Table) -> dg.TableSchema:
    """The columns of a table with their descriptions."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.sql_type.lower(),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=[f"unique: {', '.join(table.key)}"]),
    )


def table_metadata(outcome: SyncOutcome, name: str) -> dict[str, Any]:
    """What a sync did to a table; the same for each day of the run."""
    receipt, inspection = outcome.receipt, outcome.tables[name]
    counts = receipt.tables[name]
    return {
        "dagster/row_count": inspection.total_rows,
        "rows read": counts.read,
        "rows inserted": counts.inserted,
        "rows updated": counts.updated,
        "rows removed": counts.removed,
        "calls": receipt.calls_total,
        "accounts": len(receipt.accounts),
        "days": f"{receipt.since} to {receipt.until}",
        "spend of the run": spend_text(inspection),
        "receipt": dg.MetadataValue.path(str(outcome.receipt_file)),
        "published file": dg.MetadataValue.path(receipt.snapshot),
    }


def day_metadata(inspection: TableInspection, day: date, *, newest: bool) -> dict[str, Any]:
    """A table's figures of one day.

    Args:
        inspection: Of the table.
        day: Which day.
        newest: The last day of the run; it alone carries the preview, since that is the one that the UI shows first, and a
            copy for every day of a year would weigh more than everything else that is recorded.
    """
    figures = inspection.days.get(day, DayFigures(0))
    metadata: dict[str, Any] = {"dagster/partition_row_count": figures.rows}
    if newest:
        metadata["preview"] = dg.MetadataValue.md(preview(inspection))
    for currency, spend in figures.spend.items():
        metadata[f"spend {currency}"] = float(spend)
    return metadata


def spend_text(inspection: TableInspection) -> str:
    """Spend by currency; currencies are never added together."""
    totals: dict[str, Any] = {}
    for figures in inspection.days.values():
        for currency, spend in figures.spend.items():
            totals[currency] = totals.get(currency, 0) + spend
    return ", ".join(f"{total:,.2f} {currency}" for currency, total in sorted(totals.items())) or "none"


def preview(inspection: TableInspection) -> str:
    """The rows with the most impressions of the newest day, as a Markdown table."""
    if not inspection.preview:
        return "No rows."
    columns = [name for name in inspection.preview[0] if any(row[name] for row in inspection.preview)]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in inspection.preview]
    return "\n".join(lines)


def check_result(table: str, name: str, finding: CheckFinding) -> dg.AssetCheckResult:
    """A finding as Dagster's check result."""
    metadata: Mapping[str, Any] = {
        "rows checked": finding.checked_rows,
        "bad rows": finding.bad_rows,
        **({"examples": dg.MetadataValue.json(list(finding.examples))} if finding.examples else {}),
    }
    return dg.AssetCheckResult(asset_key=table, check_name=name, passed=finding.passed, metadata=metadata)


def missing_result(table: str, parts: Sequence[MissingPart]) -> dg.AssetCheckResult:
    """What a table lacks, as Dagster's check result; a warning when all of it will be picked up by itself."""
    lines = [
        f"{part.report} of act_{part.account_id}, {part.since} to {part.until}: {part.reason}"
        + (f" To be asked for again at {part.retry_at:%Y-%m-%d %H:%M} UTC." if part.retry_at else "")
        for part in parts
    ]
    return dg.AssetCheckResult(
        asset_key=table,
        check_name="nothing_is_missing",
        passed=not parts,
        severity=dg.AssetCheckSeverity.WARN
        if all(part.kind == "deferred" for part in parts)
        else dg.AssetCheckSeverity.ERROR,
        description=" ".join(lines[:3]) or None,
        metadata={"missing": dg.MetadataValue.json(lines)} if lines else {},
    )


def version_result(table: str, name: str, warnings: Sequence[str]) -> dg.AssetCheckResult:
    """What Meta said of the API's version: another version may count otherwise, so a person should know."""
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=name,
        passed=not warnings,
        severity=dg.AssetCheckSeverity.ERROR,
        description=" ".join(warnings) or None,
    )


def entity_metadata(outcome: SyncOutcome, name: str) -> dict[str, Any]:
    """What a sync did to a table of entities."""
    counts = outcome.receipt.tables.get(name)
    return {
        "dagster/row_count": outcome.entity_rows[name],
        "rows inserted": counts.inserted if counts else 0,
        "rows updated": counts.updated if counts else 0,
        "calls": outcome.receipt.calls_total,
        "receipt": dg.MetadataValue.path(str(outcome.receipt_file)),
        "published file": dg.MetadataValue.path(outcome.receipt.snapshot),
    }


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
