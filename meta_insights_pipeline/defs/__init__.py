"""Dagster's definitions and nothing else: each declares, and hands over to the other rooms.

Loaded as a whole by `definitions.py`; concepts: Dagster's documentation of assets, partitions, schedules and asset checks.
"""
