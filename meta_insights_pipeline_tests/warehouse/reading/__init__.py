"""Tests of `meta_insights_pipeline.warehouse.reading`, one module each."""
