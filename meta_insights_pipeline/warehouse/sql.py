"""Values as SQL text.

DuckDB's Python module loads pandas, numpy and pyarrow for the first bound parameter, which costs half a second and 86 MB a
process here; the pipeline's few values are written into its statements instead, through this one function.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path


def literal(value: str | int | date | datetime | Path | None) -> str:
    """A value as an SQL literal; moments become UTC without a zone, as the warehouse stores them."""
    match value:
        case None:
            return "NULL"
        case datetime():
            return f"TIMESTAMP '{value.astimezone(UTC).replace(tzinfo=None).isoformat()}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case int():
            return str(value)
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def parquet(files: Sequence[Path]) -> str:
    """The rows of some Parquet files, as a table expression."""
    return f"read_parquet([{', '.join(literal(file) for file in files)}])"


def days(since: date, until: date) -> str:
    """Every day of a range, both ends inclusive, as a table expression with the column `day`."""
    return (
        f"(SELECT day::DATE AS day FROM generate_series({literal(since)}, {literal(until)}, INTERVAL 1 DAY) AS t(day))"
    )
