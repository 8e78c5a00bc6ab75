"""The settings of the read API: what is understood, and the sentence for what is not."""

from pathlib import Path

import pytest

from meta_insights_pipeline.settings import SettingsError, load_settings


def test_origins_are_a_comma_list_without_blanks_and_slashes_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_INSIGHTS_API_CORS_ORIGINS", "https://a.example.com/, http://localhost:3001")
    assert load_settings(None).api_cors_origins == ("https://a.example.com", "http://localhost:3001")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "a.example.com"),
        ("CORS_ORIGINS", "https://a.example.com/page"),
        ("CORS_ORIGINS", "null"),
        ("QUERY_SECONDS", "0"),
        ("MEMORY_LIMIT", "512"),
        ("MEMORY_LIMIT", "lots"),
        ("THREADS", "0"),
        ("CACHE_MB", "-1"),
        ("OLDEST_HOURS", "never"),
        ("METRICS", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_sentence_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(f"META_INSIGHTS_API_{name}", value)
    with pytest.raises(
        SettingsError, match=f"^META_INSIGHTS_API_{name} is .*, which cannot be used: .* Change it in"
    ) as error:
        load_settings(None)
    assert "\n" not in str(error.value)
