"""The Dagster instance that the pipeline makes for itself: its home, its settings, its event log.

An instance that the user has set up (DAGSTER_HOME) is used as it is.
"""
