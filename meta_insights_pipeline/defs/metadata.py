"""What the UI shows of a table: its columns, and what a sync did to it."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from meta_insights_pipeline.receipt import Receipt
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


def missing_text(receipt: Receipt) -> str:
    """What is missing, in one sentence."""
    parts = [
        f"{gap.report} of act_{gap.account_id}, {gap.since} to {gap.until}: {gap.reason}" for gap in receipt.missing
    ]
    more = f" And {len(parts) - 3} more, see the receipt." if len(parts) > 3 else ""
    return (
        f"{len(parts)} of the reports could not be collected; what came is stored, the last published snapshot stays. "
        + " ".join(parts[:3])
        + more
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
