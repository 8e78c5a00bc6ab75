"""Tests of `meta_insights_pipeline.collector`, against the simulator over HTTP."""
