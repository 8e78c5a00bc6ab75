"""The DuckDB warehouse: tables derived from the catalogue, stage and merge, publication.

Knows nothing of HTTP or Dagster. `database` opens and locks the file, `schema` says what is in it, `staging` reads pages,
`merge` brings them in, `publication` gives readers their own copy.
"""
