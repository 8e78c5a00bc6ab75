"""Tests of `meta_insights_pipeline.read_api.sync_now`, one module each."""
