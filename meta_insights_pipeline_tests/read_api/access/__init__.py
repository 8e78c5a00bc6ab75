"""Tests of `meta_insights_pipeline.read_api.access`, one module each."""
