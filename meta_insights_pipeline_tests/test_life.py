"""Which syncs live, however their processes end."""

from pathlib import Path

from meta_insights_pipeline.life import alive, forget_dead, is_alive, is_dead, sweep_dead, work_folder


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


def test_what_a_dead_sync_left_is_swept_up_and_its_end_can_still_be_told(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "killed.draft").write_text("{")
    (tmp_path / "tmp" / "alive-killed.lock").touch()
    for run_id in ("going", "killed"):
        work_folder(tmp_path, run_id).mkdir()
    with alive(tmp_path, "going"):
        sweep_dead(tmp_path)
        assert work_folder(tmp_path, "going").is_dir()
    assert not work_folder(tmp_path, "killed").exists()
    assert list((tmp_path / "receipts").iterdir()) == []
    assert is_dead(tmp_path, "killed")
