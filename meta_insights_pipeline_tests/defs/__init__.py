"""Tests of `meta_insights_pipeline.defs`, with real Dagster instances."""
