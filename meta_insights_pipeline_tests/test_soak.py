"""A simulated day of syncs with faults at random; `python -m meta_insights_pipeline_tests.soak` runs the whole ten."""

from pathlib import Path

import pytest

from meta_insights_pipeline_tests.soak import soak


@pytest.mark.slow
def test_after_a_day_of_faults_every_table_is_the_truth_and_no_call_went_into_a_block(tmp_path: Path) -> None:
    tally = soak(tmp_path / "home", accounts=10, days=1, seed=3, faults_a_tick=2.0)
    assert tally.syncs >= 48
    assert tally.resumed > 0
    assert tally.states["partial"] > 0
    assert tally.into_blocks == 0
