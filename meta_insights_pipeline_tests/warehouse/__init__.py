"""Tests of `meta_insights_pipeline.warehouse`, without HTTP and without Dagster."""
