"""Tests of `meta_insights_pipeline.read_api`, one module each."""
