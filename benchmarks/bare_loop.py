"""The bare loop: `requests`, `orjson` and DuckDB on the same pages, with nothing around them.

It asks for the same reports, reads the same pages, and puts the same facts and actions into one DuckDB file. It has no
retries, keys, merge, checks, second copy or record of the run: the least that can be done, as a measure for the pipeline.
Run as `python -m benchmarks.bare_loop URL DAYS FILE LEVEL...`; prints the seconds from the first report to the closed file.
"""

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import orjson
import requests

from meta_insights_pipeline.catalog.fields import Kind, Unit
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, reports_of_levels


def main(url: str, days: int, file: Path, levels: list[str]) -> None:
    """Read every report of the first account into a DuckDB file."""
    session = requests.Session()
    session.headers["Authorization"] = "Bearer bare"
    account = session.get(f"{url}/v26.0/me/adaccounts", params={"limit": 1}).json()["data"][0]["id"]
    until = datetime.now(UTC).date() - timedelta(days=1)
    since = until - timedelta(days=days - 1)
    reports = reports_of_levels(Level(level) for level in levels)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(reports)) as pool:
        pages = list(
            pool.map(lambda report: _fetch(session, url, account, report, (since, until), Path(folder)), reports)
        )
        with duckdb.connect(str(file)) as connection:
            for report, files in zip(reports, pages, strict=True):
                _load(connection, report, files)
            rows = sum(
                connection.execute(f"SELECT count(*) FROM {report.name}").fetchone()[0]  # type: ignore[index]
                for report in reports
            )
            actions = connection.execute("SELECT count(*) FROM insight_actions").fetchone()[0]  # type: ignore[index]
    print(json.dumps({"seconds": time.monotonic() - began, "rows": rows, "actions": actions}))


def _fetch(
    session: requests.Session, url: str, account: str, report: Report, days: tuple[date, date], folder: Path
) -> list[str]:
    parameters = report.request_parameters(*days)
    run = session.post(f"{url}/v26.0/{account}/insights", data=parameters).json()["report_run_id"]
    while session.get(f"{url}/v26.0/{run}").json()["async_percent_completion"] < 100:
        time.sleep(0.5)
    files: list[str] = []
    after = None
    while True:
        paging = {"limit": 500, **({"after": after} if after else {})}
        page = orjson.loads(session.get(f"{url}/v26.0/{run}/insights", params=paging).content)
        file = folder / f"{report.name}-{len(files)}.json"
        file.write_bytes(orjson.dumps(page["data"]))
        files.append(str(file))
        if "next" not in page.get("paging", {}):
            return files
        after = page["paging"]["cursors"]["after"]


def _load(connection: duckdb.DuckDBPyConnection, report: Report, files: list[str]) -> None:
    windows = ", ".join(f'"{window}" DECIMAL(18, 6)' for window in ("value", *report.windows))
    types = {field.name: "VARCHAR" for field in report.column_fields}
    types |= {field.name: "BIGINT" for field in report.column_fields if field.unit is Unit.COUNT}
    types |= {field.name: "DECIMAL(18, 6)" for field in report.column_fields if field.unit is Unit.MONEY}
    types |= {"date_start": "DATE"}
    types |= {field.name: f"STRUCT(action_type VARCHAR, {windows})[]" for field in report.action_fields}
    connection.execute(
        f"CREATE TEMP TABLE raw AS SELECT * FROM read_json({files}, format = 'array', columns = {types})"
    )
    plain = ", ".join(f'"{field.name}"' for field in report.column_fields if field.kind is not Kind.ACTIONS)
    connection.execute(f"CREATE TABLE {report.name} AS SELECT {plain} FROM raw")
    entity = report.level.id_field
    lists = " UNION ALL ".join(
        f"SELECT account_id, {entity} AS entity_id, date_start, '{field.name}' AS field, unnest({field.name}, recursive := true) "
        "FROM raw"
        for field in report.action_fields
    )
    exists = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'insight_actions'").fetchone()
    head = "INSERT INTO insight_actions" if exists and exists[0] else "CREATE TABLE insight_actions AS"
    connection.execute(f"{head} SELECT '{report.level}' AS level, * FROM ({lists})")
    connection.execute("DROP TABLE raw")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
