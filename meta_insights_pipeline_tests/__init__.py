"""Tests of the pipeline; the folders mirror the rooms of `meta_insights_pipeline`."""
