"""Settings: what is read from where, and one clear sentence for what cannot be used."""

import os
from datetime import date
from pathlib import Path

import pytest

from meta_insights_pipeline.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("META_"):
            monkeypatch.delenv(name)


def test_without_anything_set_it_is_stub_mode_below_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    settings = load_settings(None)
    assert settings.mode == "stub"
    assert settings.warehouse_path == Path("data/warehouse.duckdb")
    assert settings.snapshot_path == Path("data/meta_insights.duckdb")
    assert settings.start_date == date(2023, 11, 1)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text(
        'META_INSIGHTS_MODE=live\nMETA_AD_ACCOUNT_IDS="act_1, 2"\nMETA_ACCESS_TOKEN=\n# a comment\nOTHER=1\n'
    )
    monkeypatch.setenv("META_AD_ACCOUNT_IDS", "3")
    settings = load_settings(file)
    assert settings.mode == "live"
    assert settings.ad_account_ids == ("3",)
    assert settings.access_token is None


def test_account_ids_come_with_or_without_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_AD_ACCOUNT_IDS", "act_1,2, act_3,")
    assert load_settings(None).ad_account_ids == ("1", "2", "3")


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("META_INSIGHTS_MODE", "production", "stub or live"),
        ("META_INSIGHTS_START_DATE", "last year", "2024-01-31"),
        ("META_GRAPH_API_VERSION", "26", "v26.0"),
        ("META_GRAPH_API_URL", "graph.facebook.com", "http"),
        ("META_AD_ACCOUNT_IDS", "act_x", "act_1010101010"),
        ("META_INSIGHTS_WAREHOUSE", "md:my_db", "DuckDB file"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_sentence_with_variable_and_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    message = str(caught.value)
    assert variable in message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"\xff\xfe\x00", "UTF-8"), (b'META_INSIGHTS_MODE="stub\n', "Line 1"), (b"A=1\nwhat is this\n", "Line 2")],
)
def test_an_unreadable_file_is_named_with_the_line(tmp_path: Path, content: bytes, cause: str) -> None:
    file = tmp_path / ".env"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=cause) as caught:
        load_settings(file)
    assert str(file) in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", "very-secret-token")
    monkeypatch.setenv("META_APP_SECRET", "very-secret-secret")
    assert "very-secret" not in repr(load_settings(None)) + str(load_settings(None).model_dump())
