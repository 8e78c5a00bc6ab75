"""A quarter of a simulated day of faults at random; `python -m meta_insights_pipeline_tests.soak` runs the whole ten days."""

from pathlib import Path

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.soak.run import soak


@pytest.mark.slow
def test_after_a_quarter_of_a_day_of_faults_nothing_is_missing_every_table_is_the_truth_and_no_call_went_into_a_block(
    tmp_path: Path,
) -> None:
    tally = soak(tmp_path / "home", accounts=8, days=0.25, seed=4, faults_a_tick=4.0)
    assert tally.syncs > 12
    assert tally.resumed > 0
    assert tally.states["partial"] > 0
    assert tally.as_collected.days > 8 * len(Level)
    assert tally.entities >= 8 * (1 + 2 + 2 + 4)
    assert len(tally.hits) > 10
    assert tally.turns["joined"] > 0
    assert tally.into_blocks == 0
