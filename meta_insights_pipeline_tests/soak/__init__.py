"""A soak: many small accounts, many syncs, faults at random, all in simulated time.

    python -m meta_insights_pipeline_tests.soak --accounts 200 --days 10

`run` syncs as schedule and sensor would, `disturbances` says what goes wrong, `proof` says what must hold afterwards.
"""
