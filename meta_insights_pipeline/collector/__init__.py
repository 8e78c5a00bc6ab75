"""From "these accounts, reports and days" to pages on disk: which calls to make, making them, counting them.

Knows nothing of Dagster or of the warehouse's tables.
"""
