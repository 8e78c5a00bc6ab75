"""One HTTP client of Meta's Graph API: session, errors, retries, paging, report runs.

Knows nothing of Dagster, of DuckDB, or of which reports are wanted.
"""
