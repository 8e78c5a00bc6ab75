"""Meta (Facebook) Ads Insights, collected through Dagster into DuckDB.

Rooms, in the direction in which data flows; each imports only what stands before it:
`catalog` (what can be asked), `graph_api` (the HTTP client), `simulator` (a Graph API anyone can run),
`collector` (plans and reads reports), `warehouse` (DuckDB), `defs` (Dagster), `cli`.
Importing this package does nothing; import the module that you need.
"""
