"""Which syncs live, however their processes end."""

from pathlib import Path

from meta_insights_pipeline.life import alive, forget_dead, is_alive, is_dead


def test_a_sync_whose_process_is_gone_is_known_to_be_dead(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    assert not is_dead(tmp_path, "never-begun")
    with alive(tmp_path, "going"):
        assert is_alive(tmp_path, "going")
        assert not is_dead(tmp_path, "going")
    assert not is_dead(tmp_path, "going")
    assert not is_alive(tmp_path, "going")
    # What a kill leaves: the file of a lock that nobody holds.
    (tmp_path / "tmp" / "alive-killed.lock").touch()
    (tmp_path / "tmp" / "sync-killed").mkdir()
    assert is_dead(tmp_path, "killed")
    forget_dead(tmp_path, "killed")
    assert not is_dead(tmp_path, "killed")
    assert list((tmp_path / "tmp").iterdir()) == []
