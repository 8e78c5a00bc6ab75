"""The checks that say whether a report can be trusted: it adds up, is fresh, is about as long as usual, and has what it had.

What is checked and where the bounds are is decided in the warehouse (`reconciliation`, `freshness`, `row_counts`, `drift`); this
declares the checks and shows what was found.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.sync import SyncOutcome
from meta_insights_pipeline.warehouse.drift import NEW_FOR, Drift
from meta_insights_pipeline.warehouse.freshness import STALE_AFTER, VANISHED_FOR, Freshness
from meta_insights_pipeline.warehouse.reconciliation import WATCHED_FOR, LedgerFinding, LedgerLine, Status
from meta_insights_pipeline.warehouse.row_counts import FACTOR, LEAST_DIFFERENCE, USUAL_DAYS, RowCounts
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE

RECONCILES_CHECK = "reconciles_with_account_total"
FRESH_CHECK = "is_fresh"
ROWS_CHECK = "row_count_is_usual"
DRIFT_CHECK = "schema_drift"
_LINES_TOLD = 3
_RECONCILES = (
    f"The rows of each account and day add up to its total, or it is known why not; of the run's days and the last "
    f"{WATCHED_FOR.days} days. A warning when both were read at different moments of a day that is over since."
)
_HOURS = int(STALE_AFTER.total_seconds() // 3600)


def trust_checks(table: str) -> dict[str, str]:
    """The checks of a table with their descriptions; none unless it is that of a level or that of the actions."""
    drift = {
        DRIFT_CHECK: (
            f"Meta has begun in the last {NEW_FOR.days} days to send nothing that was not asked for, no new attribution window "
            "and no new action type. What it sends is stored all the same."
        )
    }
    if table == ACTIONS_TABLE:
        return drift
    level = {report.name: report.level for report in builtin_reports()}.get(table)
    if level is None:
        return {}
    checks = {
        FRESH_CHECK: (
            f"The newest day of every account was read in the last {_HOURS} hours, by the account's own clock; also of accounts "
            f"that were read in the last {VANISHED_FOR.days} days and are no longer found."
        ),
        ROWS_CHECK: (
            f"No day that is over has {FACTOR} times, or a {_ordinal(FACTOR)} of, the account's usual rows: the median of "
            f"{USUAL_DAYS} days before. A difference of {LEAST_DIFFERENCE} rows is never unusual, unless an account that had "
            "rows on each of them has none."
        ),
        **drift,
    }
    if level is Level.ACCOUNT:
        return checks
    return {RECONCILES_CHECK: _RECONCILES, **checks}


def trust_result(outcome: SyncOutcome, table: str, name: str) -> dg.AssetCheckResult | None:
    """What a sync found; None when it says nothing of this table, since it did not compare or read what it takes."""
    trust = outcome.trust
    if name == RECONCILES_CHECK and table in trust.ledger:
        return _reconciled(table, trust.ledger[table])
    if name == FRESH_CHECK and table in trust.freshness:
        return _fresh(table, trust.freshness[table])
    if name == ROWS_CHECK and table in trust.row_counts:
        return _rows(table, trust.row_counts[table])
    if name == DRIFT_CHECK:
        return _drift(table, [one for one in trust.drift if one.table == table])
    return None


def _reconciled(table: str, found: LedgerFinding) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"comparisons": found.compared}
    metadata |= {status.value: found.counts[status] for status in Status}
    unexplained, apart = found.unexplained, found.read_apart
    if unexplained.count:
        metadata[f"unexplained, last {WATCHED_FOR.days} days"] = unexplained.count
        metadata["residuals"] = dg.MetadataValue.json([_line(line) for line in unexplained.lines])
    if found.unexplained_before:
        metadata["unexplained on earlier days"] = found.unexplained_before
    if apart.count:
        metadata["read apart on days that are over"] = apart.count
        metadata["residuals read apart"] = dg.MetadataValue.json([_line(line) for line in apart.lines])
    texts = [_sentence(line, "unexplained") for line in unexplained.lines[:_LINES_TOLD]]
    if unexplained.count > len(texts):
        texts.append(f"And {unexplained.count - len(texts)} more, see the table reconciliation.")
    if apart.count:
        texts.append(
            f"{apart.count} sums of days that are over differ and have not been read together yet; syncs go on with them. "
            + _sentence(apart.lines[0], "open")
        )
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=RECONCILES_CHECK,
        passed=not (unexplained.count or apart.count),
        severity=dg.AssetCheckSeverity.WARN if apart.count and not unexplained.count else dg.AssetCheckSeverity.ERROR,
        description=" ".join(texts) or None,
        metadata=metadata,
    )


def _line(line: LedgerLine) -> Mapping[str, str | int | None]:
    """A residual as JSON; numbers that Meta gave are text, so that no digit is lost."""
    return {
        "account": line.account_id,
        "day": line.day.isoformat(),
        "days ago": line.days_ago,
        "metric": line.metric,
        "account value": f"{line.account_value.normalize():f}",
        "sum": f"{line.level_sum.normalize():f}",
        "residual": f"{line.residual.normalize():f}",
        "currency": line.currency,
        "details": line.details,
        "compared": line.compared_at.isoformat(),
    }


def _sentence(line: LedgerLine, what: str) -> str:
    unit = f" {line.currency}" if line.currency else ""
    ago = f", {line.days_ago} {'day' if line.days_ago == 1 else 'days'} ago" if line.days_ago else ""
    return (
        f"{line.metric} of act_{line.account_id} on {line.day}{ago}: the account has {line.account_value.normalize():f}{unit}, "
        f"the sum is {line.level_sum.normalize():f}, {line.residual.normalize():f} {what}."
    )


def _fresh(table: str, found: Freshness) -> dg.AssetCheckResult:
    return _warning(table, FRESH_CHECK, found.stale, {"accounts": found.checked, "stale accounts": len(found.stale)})


def _rows(table: str, found: RowCounts) -> dg.AssetCheckResult:
    numbers = {"account days": found.checked, "unusual account days": found.unusual}
    return _warning(table, ROWS_CHECK, found.examples, numbers)


def _drift(table: str, found: Sequence[Drift]) -> dg.AssetCheckResult:
    counts = Counter(one.kind.value for one in found)
    result = _warning(table, DRIFT_CHECK, [one.sentence for one in found], counts)
    if not found:
        return result
    lines = [
        {
            "kind": one.kind.value,
            "report": one.report,
            "name": one.name,
            "first seen": one.first_seen_at.isoformat(),
            "last seen": one.last_seen_at.isoformat(),
            "account": one.account_id,
            "example": one.example,
        }
        for one in found
    ]
    return result._replace(metadata={**result.metadata, "new": dg.MetadataValue.json(lines)})


def _warning(table: str, name: str, texts: Sequence[str], numbers: Mapping[str, int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=name,
        passed=not texts,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(texts[:_LINES_TOLD]) or None,
        metadata={**numbers, **({"examples": dg.MetadataValue.json(list(texts))} if texts else {})},
    )


def _ordinal(number: int) -> str:
    return {2: "half", 3: "third", 4: "quarter"}.get(number, f"{number}th")
