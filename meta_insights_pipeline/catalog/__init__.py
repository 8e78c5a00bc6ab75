"""What can be asked of Meta's Insights API, as data: levels, fields, windows, breakdowns, and reports made of them.

Nothing here does I/O beyond reading the package's own data files, and nothing here knows of HTTP, Dagster or SQL engines.
"""
