"""Tests of `meta_insights_pipeline.catalog`, one module each; Meta's own SDK is the measure of the lists."""
