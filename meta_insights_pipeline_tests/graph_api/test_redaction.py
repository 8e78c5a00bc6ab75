"""Secrets leave no trace in text: the known ones, and whatever looks like one."""

import json
import logging
from urllib.parse import quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meta_insights_pipeline.graph_api.redaction import MASK, Redactor, redact_record
from meta_insights_pipeline_tests.graph_api.support import APP_SECRET, PROOF, TOKEN

redact = Redactor([TOKEN, APP_SECRET, PROOF])
stranger = Redactor()
fixed = settings(derandomize=True, database=None, deadline=None)
secrets = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789|_-.", min_size=12, max_size=60)


@pytest.mark.parametrize("secret", [TOKEN, APP_SECRET, PROOF])
@pytest.mark.parametrize("text", ["{}", "a {} b", "{}{}", "x{}y", '{{"k":"{}"}}', "/v26.0/me?a=1&b={}&c={}", "\n{}\t"])
def test_known_secrets_are_masked_wherever_they_stand(secret: str, text: str) -> None:
    shown = redact(text.format(secret, secret))
    assert secret not in shown
    assert MASK in shown


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    assert Redactor(["abcdef", "abcdefghi"])("abcdefghi, abcdef") == f"{MASK}, {MASK}"
    assert Redactor(["abcdefghi", "abcdef"])("abcdefghi, abcdef") == f"{MASK}, {MASK}"


def test_a_name_that_is_too_short_to_be_a_secret_is_left_in_other_words() -> None:
    assert Redactor(["any"])("too many calls") == "too many calls"


def test_a_secret_that_is_not_set_masks_nothing() -> None:
    assert Redactor(["", ""])("some text") == "some text"


@pytest.mark.parametrize(
    "name", ["access_token", "appsecret_proof", "client_secret", "input_token", "fb_exchange_token"]
)
@pytest.mark.parametrize(
    "form",
    [
        "https://graph.facebook.com/v26.0/me?{name}={value}&limit=25",
        "https://graph.facebook.com/v26.0/me?limit=25&{name}={value}",
        "next%3Dhttps%3A%2F%2Fgraph.facebook.com%2Fme%3F{name}%3D{value}",
        "next%3dhttps%3a%2f%2fgraph.facebook.com%2fme%3f{name}%3d{value}",
        '{{"{name}":"{value}","limit":25}}',
        '{{"{name}" : "{value}"}}',
        "{{'{name}': '{value}'}}",
        "{name}: {value}",
        "{name} = {value}",
    ],
)
def test_what_a_parameter_of_secrets_holds_is_masked_without_being_known(name: str, form: str) -> None:
    for variant in (name, name.upper()):
        shown = stranger(form.format(name=variant, value="EAAB-unknown.0123456789"))
        assert "EAAB" not in shown
        assert "0123456789" not in shown
        assert f"{variant}" in shown
        assert MASK in shown
        # What stands around it stays readable.
        assert ("limit" in form) is ("limit" in shown)


@pytest.mark.parametrize(
    "text", ["Authorization: Bearer EAABunknown0123", "authorization: OAuth EAABunknown0123", "bearer  123|EAABunknown"]
)
def test_a_token_behind_its_scheme_is_masked_without_being_known(text: str) -> None:
    assert "EAAB" not in stranger(text)
    assert MASK in stranger(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Invalid OAuth access token - Cannot parse access token",
        "Invalid OAuth 2.0 Access Token",
        "An access token is required to request this resource.",
        "Invalid appsecret_proof provided in the API argument",
        "(#100) Missing permissions",
        "GET /act_1/insights: no answer, ReadTimeout: Read timed out. (read timeout=60.0)",
        '{"data":[],"paging":{"cursors":{"after":"MjQZD"}}}',
        "Größe 10 %, 日本語, \\u00e9",
    ],
)
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@fixed
@given(secret=secrets, before=st.text(max_size=30), after=st.text(max_size=30))
def test_no_known_secret_is_left_in_any_text(secret: str, before: str, after: str) -> None:
    assume(secret not in MASK)
    assert secret not in Redactor([secret])(before + secret + after + secret)


@fixed
@given(value=secrets, before=st.text(max_size=20), after=st.sampled_from(["", "&x=1", '"', " next", "\n"]))
def test_no_access_token_is_left_in_any_address(value: str, before: str, after: str) -> None:
    assume(value not in before and value not in MASK)
    assert value not in stranger(f"{before}access_token={quote_plus(value)}{after}")
    assert value not in stranger(json.dumps({"a": 1, "access_token": value}) + after)


@fixed
@given(
    st.lists(
        st.sampled_from(
            ["access_token", "=", ":", '"', "Bearer ", TOKEN, APP_SECRET, "&", " ", "oauth ", "EAAB0123456789"]
        )
        | st.text(max_size=5),
        max_size=15,
    ).map("".join)
)
def test_masking_twice_is_masking_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert TOKEN not in once
    assert APP_SECRET not in once


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ('"%s %s" %d', ("GET", f"/v26.0/me?appsecret_proof={PROOF}", 200)),
        (f"GET /v26.0/me?appsecret_proof={PROOF}&a=100%", ()),
        ("%(url)s", ({"url": f"/me?access_token={TOKEN}"},)),
    ],
)
def test_a_log_record_passes_with_its_secrets_masked(message: str, arguments: tuple[object, ...]) -> None:
    record = logging.LogRecord("somebody", logging.DEBUG, "file.py", 1, message, arguments, None)
    assert redact_record(record)
    shown = record.getMessage()
    assert MASK in shown
    assert PROOF not in shown
    assert TOKEN not in shown
