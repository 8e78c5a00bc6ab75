"""Tests of `meta_insights_pipeline.instance`."""
