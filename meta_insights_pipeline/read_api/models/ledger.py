"""The answer of the reconciliation."""

from meta_insights_pipeline.read_api.models.rows import answer_model, example_of, list_of, row_model
from meta_insights_pipeline.read_api.models.shared import AS_OF, NEXT_CURSOR, NOTES_FIELD, PERIOD
from meta_insights_pipeline.warehouse.reading.ledger import LEDGER_COLUMNS

LineModel = row_model(
    "LedgerLine",
    LEDGER_COLUMNS,
    "One comparison of a level with its account's total.",
    required=("account_id", "date_start", "level", "metric", "status", "checked_at"),
    examples={"status": "explained", "explanation": "deleted_ads_recovered", "details": "3 rows were recovered."},
)
LedgerModel = answer_model(
    "Reconciliation",
    "Whether the levels add up to their accounts, line by line, the newest day first.",
    period=PERIOD,
    as_of=AS_OF,
    items=(list_of(LineModel), "The lines of this page.", [example_of(LineModel)]),
    next_cursor=NEXT_CURSOR,
    notes=NOTES_FIELD,
)
