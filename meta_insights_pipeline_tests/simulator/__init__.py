"""Tests of `meta_insights_pipeline.simulator`, one module each, and of the official SDK against it."""
