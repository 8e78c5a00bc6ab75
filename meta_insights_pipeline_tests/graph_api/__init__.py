"""Tests of `meta_insights_pipeline.graph_api`, one module each, against the simulator through the client itself."""
