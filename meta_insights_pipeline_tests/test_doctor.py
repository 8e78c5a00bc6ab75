"""The doctor, against a simulated Meta through the real client: what it finds, and that nothing breaks it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from meta_insights_pipeline.account_checks import FULL_PERCENT
from meta_insights_pipeline.disk_checks import FREE_SHARE, LEAST_FREE
from meta_insights_pipeline.doctor import run_doctor
from meta_insights_pipeline.findings import Finding, Status, as_json, as_text, has_failed
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.meta_checks import MOST_SKEW_SECONDS, SKEW_SECONDS, VERSION_DAYS
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator import SimulatedClock, Simulator, SimulatorAdapter, World, WorldSpec
from meta_insights_pipeline.simulator.auth import TokenInfo
from meta_insights_pipeline.token_checks import TOKEN_DAYS
from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION
from meta_insights_pipeline_tests.check_docs import ROOT
from meta_insights_pipeline_tests.processes import environment, run_command

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN = "EAAB-doctor-test-token-0123456789"
SECRET = "doctor-test-app-secret"
WORLD = World(WorldSpec(accounts=2, campaigns=1, adsets_per_campaign=1, ads_per_adset=1, always_on=True))
NEW_YORK, BERLIN = (account.id for account in WORLD.accounts)
ONCE = RetryPolicy(attempts=1)


class StandingClock:
    """The time of the simulated world, for a client that must not wait."""

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None:
        del seconds


class RecordingAdapter(SimulatorAdapter):
    """Notes every address that is called."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.addresses: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        self.addresses.append(f"{request.method} {request.url}")
        return super().send(request, *args, **options)


@dataclass
class Patient:
    """An installation in live mode and the Meta that it calls."""

    home: Path
    variables: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    """Of the simulator."""
    addresses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.simulator = Simulator(WORLD, SimulatedClock(NOW), **{"access_token": TOKEN, **self.options})

    @property
    def settings(self) -> Settings:
        values = {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_INSIGHTS_HOME": self.home,
            **self.variables,
        }
        return Settings(_env_file=None, **values)

    def findings(self, now: datetime = NOW) -> dict[str, Finding]:
        """What the doctor finds, by name."""
        found = run_doctor(self.settings, now, open_api=self._open)
        assert len({finding.name for finding in found}) == len(found)
        for finding in found:
            assert finding.message.endswith("."), finding
            assert "\n" not in finding.message
            assert TOKEN not in finding.message
            assert SECRET not in finding.message
        return {finding.name: finding for finding in found}

    def _open(self, settings: Settings, budget: Budget) -> GraphApi:
        adapter = RecordingAdapter(self.simulator)
        self.addresses = adapter.addresses
        assert settings.access_token is not None
        return GraphApi(
            base_url=settings.graph_api_url,
            version=settings.graph_api_version,
            access_token=settings.access_token.get_secret_value(),
            app_secret=settings.app_secret.get_secret_value() if settings.app_secret else None,
            adapter=adapter,
            retry=ONCE,
            budget=budget,
            clock=StandingClock(),
        )


@pytest.fixture(autouse=True)
def _no_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def ill(home: Path, options: dict[str, Any] | None = None, **variables: Any) -> dict[str, Finding]:
    """What the doctor finds with other variables, and other options of the simulator."""
    return Patient(home, variables, options or {}).findings()


def warehouse(home: Path, mode: str = "live", collected_at: datetime = NOW - timedelta(minutes=5)) -> Path:
    """A warehouse with one collected day, and its published copy."""
    path = home / "warehouse.duckdb"
    path.write_bytes(blank())
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO pipeline.source (mode) VALUES (?)", [mode])
        connection.execute(
            "INSERT INTO pipeline.coverage (report, account_id, date_start, collected_at, run_id, row_count) "
            "VALUES ('ad_insights', ?, ?, ?, 'run', 5)",
            [NEW_YORK, date(2026, 11, 19), collected_at.replace(tzinfo=None)],
        )
    snapshot = home / "meta_insights.duckdb"
    shutil.copyfile(path, snapshot)
    moment = (collected_at + timedelta(seconds=5)).timestamp()
    os.utime(snapshot, (moment, moment))
    return path


@cache
def blank() -> bytes:
    """A warehouse without rows, made once."""
    with tempfile.TemporaryDirectory() as folder:
        made = Warehouse(Path(folder) / "warehouse.duckdb", Path(folder) / "tmp")
        with made.connect():
            pass
        return made.path.read_bytes()


def names(found: dict[str, Finding], status: Status) -> set[str]:
    return {name for name, finding in found.items() if finding.status is status}


# ---- all is well ----


def test_a_healthy_installation_has_nothing_but_ok(patient: Patient) -> None:
    warehouse(patient.home)
    found = patient.findings()
    assert names(found, Status.OK) == set(found), as_text(list(found.values()))
    assert list(found) == [
        "settings",
        "Graph API",
        "app secret",
        "token",
        "permissions",
        "token expiry",
        "data access",
        "granted accounts",
        f"act_{NEW_YORK}",
        f"act_{BERLIN}",
        "app budget",
        "API version",
        "clock",
        "warehouse",
        "rows",
        "last sync",
        "missing",
        "conversions",
        "published copy",
        "disk",
        "Dagster home",
    ]


def test_what_is_told_of_a_healthy_installation(patient: Patient) -> None:
    warehouse(patient.home)
    found = patient.findings()
    assert found["token"].message == "Valid; SYSTEM_USER token of the app Simulated app (100200300400500)."
    assert found["permissions"].message == "ads_read, which is enough to read insights."
    assert found["token expiry"].message == "The token never ends."
    assert found["API version"].message == "Answered as asked: v26.0; Meta has not announced its end."
    for part in (
        WORLD.accounts[1].name,
        "EUR",
        "Europe/Berlin",
        "2026-11-20",
        "active",
        "full access",
        "ads_insights 0 %",
    ):
        assert part in found[f"act_{BERLIN}"].message
    assert f"schema version {SCHEMA_VERSION}" in found["warehouse"].message
    assert found["last sync"].message == "Collected 5 min ago, on 2026-11-20 11:55 UTC."


JWT_SECRET = "correct horse battery staple, and more of it"


@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"KEY": JWT_SECRET}, Status.WARN, "ISSUER and META_INSIGHTS_JWT_AUDIENCE are not set"),
        ({"KEY": JWT_SECRET, "ISSUER": "us"}, Status.WARN, "META_INSIGHTS_JWT_AUDIENCE is not set"),
        ({"JWKS_URL": "https://127.0.0.1/keys", "AUDIENCE": "api"}, Status.WARN, "META_INSIGHTS_JWT_ISSUER is not set"),
        ({"KEY": JWT_SECRET, "ISSUER": "us", "AUDIENCE": "api"}, Status.OK, "one issuer"),
        ({"ISSUER": "us"}, Status.FAIL, "META_INSIGHTS_JWT_ISSUER is set but no key"),
    ],
)
def test_tokens_that_may_be_meant_for_others_are_a_warning(
    tmp_path: Path, variables: dict[str, Any], status: Status, words: str
) -> None:
    found = ill(tmp_path, **{f"META_INSIGHTS_JWT_{name}": value for name, value in variables.items()})["JWT"]
    assert found.status is status
    assert words in found.message
    assert JWT_SECRET not in found.message


def test_every_account_has_its_own_today(patient: Patient) -> None:
    midnight = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert isinstance(patient.simulator.clock, SimulatedClock)
    patient.simulator.clock.set(midnight)
    found = patient.findings(midnight)
    assert "where it is 2026-11-20" in found[f"act_{NEW_YORK}"].message
    assert "where it is 2026-11-21" in found[f"act_{BERLIN}"].message


def test_neither_token_nor_secret_stands_in_an_address(tmp_path: Path) -> None:
    patient = Patient(tmp_path, {"META_APP_SECRET": SECRET}, {"app_secret": SECRET})
    assert patient.findings()["token"].status is Status.OK
    assert any(address.startswith("POST") and address.endswith("/debug_token") for address in patient.addresses)
    assert not [address for address in patient.addresses if TOKEN in address or SECRET in address]


def test_few_calls_are_spent(patient: Patient) -> None:
    patient.findings()
    # Me, the token, the list of accounts, and one a account.
    assert len(patient.addresses) == 3 + len(WORLD.accounts)


def test_the_simulated_world_of_stub_mode_is_checked_in_the_same_way(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path)
    found = {finding.name: finding for finding in run_doctor(settings, datetime.now(UTC))}
    assert names(found, Status.FAIL) == set()
    assert names(found, Status.WARN) == {"warehouse"}
    assert sum(name.startswith("act_") for name in found) == 4
    assert "stub mode" in found["Graph API"].message


# ---- the Graph API ----


def test_a_dead_network_is_one_failure_and_everything_else_is_checked(tmp_path: Path) -> None:
    warehouse(tmp_path)
    patient = Patient(tmp_path, {"META_GRAPH_API_URL": "http://127.0.0.1:9"})

    def dead(settings: Settings, budget: Budget) -> GraphApi:
        return GraphApi(base_url=settings.graph_api_url, version="v26.0", access_token=TOKEN, retry=ONCE, budget=budget)

    found = {finding.name: finding for finding in run_doctor(patient.settings, NOW, open_api=dead)}
    assert names(found, Status.FAIL) == {"Graph API"}
    assert "META_GRAPH_API_URL" in found["Graph API"].message
    for name in ("token", "permissions", "token expiry", "accounts", "clock", "app secret"):
        assert found[name].message == "Not checked: the Graph API cannot be reached."
    assert found["API version"].status is Status.OK
    assert found["warehouse"].status is Status.OK


def test_an_answer_that_is_not_metas_is_told_as_such(patient: Patient) -> None:
    patient.simulator.faults.add("html", status=503, times=None)
    found = patient.findings()
    assert names(found, Status.FAIL) == {"Graph API"}
    assert "HTTP 503" in found["Graph API"].message


def test_a_spent_app_budget_is_a_warning_and_checks_go_on(patient: Patient) -> None:
    patient.simulator.faults.add("graph_error", path="/me$", code=4, status=403, times=1)
    found = patient.findings()
    assert found["Graph API"].status is Status.WARN
    assert Status.FAIL not in {finding.status for finding in found.values()}


def test_a_token_in_clear_over_the_network_is_a_warning(tmp_path: Path) -> None:
    found = ill(tmp_path, META_GRAPH_API_URL="http://graph.example.com")
    assert found["Graph API"].status is Status.WARN
    assert "https" in found["Graph API"].message


# ---- token ----


def test_live_mode_without_a_token_is_told(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_MODE="live", META_INSIGHTS_HOME=tmp_path)
    found = {finding.name: finding for finding in run_doctor(settings, NOW)}
    assert names(found, Status.FAIL) == {"token"}
    assert "META_ACCESS_TOKEN" in found["token"].message
    assert found["accounts"].message == "Not checked: there is no token."


@pytest.mark.parametrize("token", ["expired-token", "invalid-token"])
def test_a_dead_token_is_a_failure_with_the_remedy_and_the_rest_is_not_checked(tmp_path: Path, token: str) -> None:
    found = ill(tmp_path, {"access_token": None}, META_ACCESS_TOKEN=token)
    assert names(found, Status.FAIL) == {"token"}
    assert "META_ACCESS_TOKEN" in found["token"].message
    assert "190" in found["token"].message
    assert found["permissions"].message.startswith("Not checked")
    assert found["accounts"].message.startswith("Not checked")


def test_a_token_that_meta_calls_invalid_is_told_with_its_reason(tmp_path: Path) -> None:
    error = {"code": 190, "subcode": 460, "message": "The session was invalidated: the password was changed."}
    found = ill(tmp_path, {"token": TokenInfo(is_valid=False, error=error)})
    assert found["token"].status is Status.FAIL
    assert "password was changed" in found["token"].message
    assert "META_ACCESS_TOKEN" in found["token"].message


LIVES = [(60, Status.OK), (14, Status.OK), (13, Status.WARN), (0.5, Status.WARN)]
# A token that has ended is not valid any more, which is a finding of its own.
ENDS = [
    *(("token expiry", "expires_at", *life) for life in LIVES),
    *(("data access", "data_access_expires_at", *life) for life in [*LIVES, (-1, Status.FAIL)]),
]


@pytest.mark.parametrize(("name", "key", "days", "status"), ENDS)
def test_the_end_of_a_token_and_of_its_data_access_are_counted_down(
    tmp_path: Path, name: str, key: str, days: float, status: Status
) -> None:
    ends_at = NOW + timedelta(days=days, minutes=1)
    life: dict[str, Any] = {key: int(ends_at.timestamp())}
    found = ill(tmp_path, {"token": TokenInfo(type="USER", **life)})
    assert found[name].status is status, found[name]
    assert f"{ends_at:%Y-%m-%d}" in found[name].message
    assert ("META_ACCESS_TOKEN" in found[name].message) is (status is not Status.OK)
    assert found["token"].message.startswith("Valid; USER token")


def test_a_token_that_has_ended_is_told_so(tmp_path: Path) -> None:
    found = ill(tmp_path, {"token": TokenInfo(expires_at=int(NOW.timestamp()) - 60)})
    assert found["token"].status is Status.FAIL
    assert "expired" in found["token"].message


@pytest.mark.parametrize("scopes", [("ads_management",), ("ads_read", "business_management")])
def test_either_permission_to_read_is_enough(tmp_path: Path, scopes: tuple[str, ...]) -> None:
    assert ill(tmp_path, {"token": TokenInfo(scopes=scopes)})["permissions"].status is Status.OK


def test_a_token_without_permission_to_read_is_a_failure(tmp_path: Path) -> None:
    found = ill(tmp_path, {"token": TokenInfo(scopes=("business_management",))})
    assert found["permissions"].status is Status.FAIL
    assert "ads_read" in found["permissions"].message
    assert found["token"].status is Status.OK


def test_a_permission_that_leaves_out_a_named_account_is_a_failure(tmp_path: Path) -> None:
    token = TokenInfo(granular_target_ids=(NEW_YORK,))
    found = ill(tmp_path, {"token": token}, META_AD_ACCOUNT_IDS=f"{NEW_YORK},{BERLIN}")
    assert found["granted accounts"].status is Status.FAIL
    assert f"act_{BERLIN}" in found["granted accounts"].message
    assert f"act_{NEW_YORK}" not in found["granted accounts"].message
    assert ill(tmp_path, {"token": token}, META_AD_ACCOUNT_IDS=NEW_YORK)["granted accounts"].status is Status.OK


def test_a_meta_that_does_not_tell_about_tokens_is_a_warning(patient: Patient) -> None:
    patient.simulator.faults.add("graph_error", kind="debug_token", code=100, message="Must be a developer", times=None)
    found = patient.findings()
    assert found["token"].status is Status.WARN
    assert found["permissions"].message == "Not checked: see token."
    assert found[f"act_{BERLIN}"].status is Status.OK


@pytest.mark.parametrize("body", ['{"data":[]}', "{}", '{"data":{"is_valid":true,"expires_at":"soon"}}'])
def test_an_answer_about_the_token_of_another_form_is_a_warning(patient: Patient, body: str) -> None:
    patient.simulator.faults.add("text", kind="debug_token", status=200, body=body, times=None)
    assert patient.findings()["token"].status is Status.WARN


# ---- app secret ----


def test_a_right_app_secret_is_accepted(tmp_path: Path) -> None:
    found = ill(tmp_path, {"app_secret": SECRET}, META_APP_SECRET=SECRET)
    assert found["app secret"].message == "Set, and Meta accepts the proof made with it."
    assert found["token"].status is Status.OK


def test_a_wrong_app_secret_is_told_as_such_and_not_as_a_wrong_token(tmp_path: Path) -> None:
    found = ill(tmp_path, {"app_secret": SECRET}, META_APP_SECRET="another")
    assert names(found, Status.FAIL) == {"app secret"}
    assert "META_APP_SECRET" in found["app secret"].message
    assert found["token"].message.startswith("Not checked")


def test_a_secret_that_the_app_demands_and_that_is_not_set_is_a_failure(tmp_path: Path) -> None:
    found = ill(tmp_path, {"app_secret": SECRET})
    assert names(found, Status.FAIL) == {"app secret"}
    assert "demands a proof" in found["app secret"].message


# ---- accounts ----


@pytest.mark.parametrize("state", ["disabled", "unsettled", "closed"])
def test_an_account_that_is_not_active_is_a_warning(patient: Patient, state: str) -> None:
    patient.simulator.set_account_state(BERLIN, state)
    found = patient.findings()
    assert found[f"act_{BERLIN}"].status is Status.WARN
    assert state in found[f"act_{BERLIN}"].message
    assert "META_INSIGHTS_DENY_ACCOUNTS" in found[f"act_{BERLIN}"].message
    assert found[f"act_{NEW_YORK}"].status is Status.OK


@pytest.mark.parametrize("state", ["forbidden", "forbidden-10", "missing-permissions"])
@pytest.mark.parametrize("named", [False, True])
def test_a_forbidden_account_is_a_failure_and_the_others_are_checked(tmp_path: Path, state: str, named: bool) -> None:
    patient = Patient(tmp_path, {"META_AD_ACCOUNT_IDS": f"{BERLIN},{NEW_YORK}"} if named else {})
    patient.simulator.set_account_state(BERLIN, state)
    found = patient.findings()
    assert names(found, Status.FAIL) == {f"act_{BERLIN}"}
    assert found[f"act_{NEW_YORK}"].status is Status.OK


def test_an_account_that_does_not_exist_is_a_failure(tmp_path: Path) -> None:
    found = ill(tmp_path, META_AD_ACCOUNT_IDS=f"{NEW_YORK},999")
    assert found["act_999"].status is Status.FAIL
    assert found[f"act_{NEW_YORK}"].status is Status.OK
    assert f"act_{BERLIN}" not in found


def test_a_token_that_can_read_no_account_is_a_failure(patient: Patient) -> None:
    for account in WORLD.accounts:
        patient.simulator.hide_account(account.id)
    assert patient.findings()["accounts"].status is Status.FAIL


def test_an_account_that_was_collected_and_is_gone_from_the_list_is_a_failure(tmp_path: Path) -> None:
    warehouse(tmp_path)
    patient = Patient(tmp_path)
    patient.simulator.hide_account(NEW_YORK)
    found = patient.findings()
    assert names(found, Status.FAIL) == {f"act_{NEW_YORK}"}
    assert "no longer among those that the token can read" in found[f"act_{NEW_YORK}"].message
    patient.variables["META_INSIGHTS_DENY_ACCOUNTS"] = NEW_YORK
    assert f"act_{NEW_YORK}" not in patient.findings()


def test_accounts_that_are_denied_are_not_looked_at(tmp_path: Path) -> None:
    found = ill(tmp_path, META_INSIGHTS_DENY_ACCOUNTS=BERLIN)
    assert f"act_{BERLIN}" not in found
    assert found[f"act_{NEW_YORK}"].status is Status.OK


def test_a_time_zone_that_is_not_known_here_is_a_failure(patient: Patient) -> None:
    row = {"account_id": BERLIN, "name": "x", "currency": "EUR", "timezone_name": "Mars/Olympus", "account_status": 1}
    other = {**row, "account_id": NEW_YORK, "timezone_name": "America/New_York"}
    patient.simulator.faults.add("text", kind="accounts", status=200, body=json.dumps({"data": [row, other]}))
    found = patient.findings()
    assert found[f"act_{BERLIN}"].status is Status.FAIL
    assert "Mars/Olympus" in found[f"act_{BERLIN}"].message
    assert "tzdata" in found[f"act_{BERLIN}"].message


def test_limited_access_is_told(tmp_path: Path) -> None:
    assert "limited access" in ill(tmp_path, {"tier": "development_access"})[f"act_{BERLIN}"].message


def test_a_budget_that_is_nearly_spent_is_a_warning(patient: Patient) -> None:
    throttle = json.dumps({"app_id_util_pct": 1, "acc_id_util_pct": 85, "ads_api_access_tier": "standard_access"})
    patient.simulator.faults.add(
        "headers", path=f"act_{BERLIN}/insights", headers={"x-fb-ads-insights-throttle": throttle}, times=None
    )
    found = patient.findings()
    assert found[f"act_{BERLIN}"].status is Status.WARN
    assert "ads_insights 85 %" in found[f"act_{BERLIN}"].message
    assert found[f"act_{NEW_YORK}"].status is Status.OK


def test_an_app_whose_budget_is_nearly_spent_is_a_warning(patient: Patient) -> None:
    usage = json.dumps({"call_count": 12, "total_time": 91, "total_cputime": 3})
    patient.simulator.faults.add("headers", path=f"act_{BERLIN}/insights", headers={"x-app-usage": usage}, times=None)
    found = patient.findings()
    assert found["app budget"].status is Status.WARN
    assert "app 91 %" in found["app budget"].message


def test_a_spent_budget_of_an_account_is_a_warning(patient: Patient) -> None:
    patient.simulator.faults.add("graph_error", path=f"act_{BERLIN}/insights", code=80000, times=None)
    found = patient.findings()
    assert found[f"act_{BERLIN}"].status is Status.WARN
    assert "80000" in found[f"act_{BERLIN}"].message


# ---- version and clock ----


def test_a_retired_version_is_a_failure_with_what_answered(tmp_path: Path) -> None:
    found = ill(tmp_path, META_GRAPH_API_VERSION="v24.0")
    version = found["API version"]
    assert version.status is Status.FAIL
    assert "v24.0 ended on 2026-10-06; set META_GRAPH_API_VERSION to v26.0." in version.message
    assert "v26.0 answered" in version.message
    assert "auto-upgraded" in version.message


@pytest.mark.parametrize(
    ("version", "now", "status", "text"),
    [
        ("v24.0", datetime(2026, 8, 1, tzinfo=UTC), Status.WARN, "in 66 days; set META_GRAPH_API_VERSION to v26.0"),
        ("v24.0", datetime(2026, 3, 1, tzinfo=UTC), Status.WARN, "it ends on 2026-10-06, in 219 days"),
        ("v25.0", NOW, Status.OK, "Answered as asked: v25.0; Meta has not announced its end"),
        ("v27.0", NOW, Status.WARN, "newer than the versions that this program knows"),
        ("v12.0", NOW, Status.FAIL, "ended long ago"),
    ],
)
def test_the_life_of_a_version_is_told(tmp_path: Path, version: str, now: datetime, status: Status, text: str) -> None:
    found = Patient(tmp_path, {"META_GRAPH_API_VERSION": version}).findings(now)
    # The simulator answers whatever is older than v25.0 or newer than v26.0 as v26.0, which is a warning of its own.
    assert found["API version"].status is status
    assert text in found["API version"].message


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, Status.OK), (20, Status.OK), (45, Status.WARN), (-45, Status.WARN), (900, Status.FAIL)]
)
def test_a_clock_that_is_wrong_is_told(patient: Patient, seconds: int, status: Status) -> None:
    told = (NOW - timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    patient.simulator.faults.add("headers", headers={"date": told}, times=None)
    clock = patient.findings()["clock"]
    assert clock.status is status
    if status is not Status.OK:
        assert f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the Graph API" in clock.message


@pytest.mark.parametrize("told", ["soon", ""])
def test_a_meta_that_does_not_tell_the_time_is_a_warning(patient: Patient, told: str) -> None:
    patient.simulator.faults.add("headers", headers={"date": told}, times=None)
    assert patient.findings()["clock"] == Finding("clock", Status.WARN, "Not checked: no answer said what time it is.")


# ---- disk ----


def test_a_home_without_a_warehouse_is_a_warning_and_stays_empty(tmp_path: Path) -> None:
    home = tmp_path / "home"
    found = Patient(home).findings()
    assert found["warehouse"].status is Status.WARN
    assert "meta-insights sync" in found["warehouse"].message
    assert not home.exists()


def test_a_broken_warehouse_is_a_failure_and_the_rest_is_checked(patient: Patient) -> None:
    (patient.home / "warehouse.duckdb").write_bytes(b"not a database" * 1000)
    found = patient.findings()
    assert names(found, Status.FAIL) == {"warehouse"}
    assert found["rows"].message.startswith("Not checked")
    assert found["disk"].status is Status.OK


def test_a_duckdb_file_of_something_else_is_a_failure(patient: Patient) -> None:
    with duckdb.connect(str(patient.home / "warehouse.duckdb")) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    assert "META_INSIGHTS_WAREHOUSE" in patient.findings()["warehouse"].message
    assert patient.findings()["warehouse"].status is Status.FAIL


@pytest.mark.parametrize(("version", "status"), [(SCHEMA_VERSION + 1, Status.FAIL), (SCHEMA_VERSION - 1, Status.WARN)])
def test_a_warehouse_of_a_newer_program_is_a_failure_and_of_an_older_one_a_warning(
    patient: Patient, version: int, status: Status
) -> None:
    with duckdb.connect(str(warehouse(patient.home))) as connection:
        connection.execute("UPDATE pipeline.schema_version SET version = ?", [version])
    found = patient.findings()
    assert found["warehouse"].status is status
    assert f"schema version {version}" in found["warehouse"].message
    assert found["rows"].message == "Not checked: the warehouse has another schema."


def test_a_warehouse_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    found = ill(tmp_path, META_INSIGHTS_WAREHOUSE="/proc/nowhere/w.duckdb")
    assert found["warehouse"].status is Status.FAIL
    assert "META_INSIGHTS_WAREHOUSE" in found["warehouse"].message


@pytest.fixture
def held(patient: Patient) -> Iterator[Patient]:
    """A patient whose warehouse another process has open for writing."""
    path = warehouse(patient.home)
    hold = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield patient
        process.communicate("")


def test_a_warehouse_in_use_is_a_warning(held: Patient) -> None:
    found = held.findings()
    assert found["warehouse"].status is Status.WARN
    assert found["missing"].message == "Not checked: the warehouse is in use."


@pytest.mark.parametrize(
    ("mode", "rows", "status"),
    [
        ("live", "live", Status.OK),
        ("stub", "stub", Status.OK),
        ("live", "stub", Status.WARN),
        ("stub", "live", Status.FAIL),
    ],
)
def test_rows_of_the_other_mode_are_told(tmp_path: Path, mode: str, rows: str, status: Status) -> None:
    warehouse(tmp_path, rows)
    assert ill(tmp_path, META_INSIGHTS_MODE=mode)["rows"].status is status


def test_an_old_sync_is_a_warning(patient: Patient) -> None:
    warehouse(patient.home, collected_at=NOW - timedelta(days=3))
    found = patient.findings()["last sync"]
    assert found.status is Status.WARN
    assert "3 days ago" in found.message
    assert "meta-insights sync" in found.message


def test_missing_days_are_a_warning_with_an_example(patient: Patient) -> None:
    with duckdb.connect(str(warehouse(patient.home))) as connection:
        connection.execute(
            "INSERT INTO pipeline.missing (report, account_id, date_start, noticed_at, run_id, reason, kind) "
            "VALUES ('ad_insights', '7', DATE '2026-11-18', TIMESTAMP '2026-11-19', 'run', 'Meta said no.', 'failed')"
        )
    found = patient.findings()["missing"]
    assert found.status is Status.WARN
    assert found.message == (
        "1 day of reports could not be had; mend the cause and sync these days again: "
        "ad_insights of act_7, 2026-11-18 to 2026-11-18: Meta said no."
    )
    with duckdb.connect(str(patient.settings.warehouse_path)) as connection:
        connection.execute("UPDATE pipeline.missing SET kind = 'deferred'")
    assert "asks for them again by itself" in patient.findings()["missing"].message


def test_an_action_type_that_never_came_is_a_warning_and_one_that_came_is_not(patient: Patient) -> None:
    path = warehouse(patient.home)
    custom, mistyped = "offsite_conversion.custom.1234", "omni_purchse"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "INSERT INTO pipeline.drift VALUES ('action_type', 'ad_insights', ?, now(), now(), 'run', '1', NULL, false)",
            [custom],
        )
    patient.variables["META_INSIGHTS_CONVERSIONS"] = f"lead={custom},purchase=purchase"
    assert patient.findings()["conversions"].status is Status.OK
    patient.variables["META_INSIGHTS_CONVERSIONS"] = f"lead={custom},purchase={mistyped}"
    found = patient.findings()["conversions"]
    assert found.status is Status.WARN
    assert f"counts purchase by {mistyped}, which has not been seen" in found.message
    assert custom not in found.message


def test_a_choice_that_cannot_be_used_is_a_failure_also_before_the_first_sync(tmp_path: Path) -> None:
    found = ill(tmp_path, META_INSIGHTS_CONVERSIONS="buy=omni_purchase")["conversions"]
    assert found.status is Status.FAIL
    assert "'buy' is no event" in found.message


def test_a_published_copy_that_is_gone_or_behind_is_a_warning(patient: Patient) -> None:
    warehouse(patient.home)
    snapshot = patient.settings.snapshot_path
    old = (NOW - timedelta(hours=5)).timestamp()
    os.utime(snapshot, (old, old))
    behind = patient.findings()["published copy"]
    assert behind.status is Status.WARN
    assert "5 h ago, before the last sync" in behind.message
    snapshot.unlink()
    assert patient.findings()["published copy"].status is Status.WARN


@pytest.mark.parametrize(
    ("free", "status"), [(100_000_000, Status.FAIL), (500_000_000, Status.WARN), (900_000_000, Status.OK)]
)
def test_little_room_is_told(patient: Patient, monkeypatch: pytest.MonkeyPatch, free: int, status: Status) -> None:
    path = warehouse(patient.home)
    with path.open("ab") as file:
        file.truncate(150_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    found = patient.findings()["disk"]
    assert found.status is status
    assert ("make room" in found.message) is (status is not Status.OK)


def test_a_dagster_home_that_is_no_folder_is_a_failure(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "not/absolute")
    found = patient.findings()["Dagster home"]
    assert found.status is Status.FAIL
    assert "DAGSTER_HOME" in found.message
    monkeypatch.setenv("DAGSTER_HOME", str(patient.home))
    assert patient.findings()["Dagster home"].status is Status.OK


def test_a_first_day_in_the_future_is_a_failure(tmp_path: Path) -> None:
    found = ill(tmp_path, META_INSIGHTS_START_DATE="2030-01-01")
    assert found["settings"].status is Status.FAIL
    assert "META_INSIGHTS_START_DATE" in found["settings"].message


# ---- how it is shown ----

SHOWN = [
    Finding("token", Status.OK, "Valid."),
    Finding("clock", Status.WARN, "Late."),
    Finding("disk", Status.FAIL, "Full."),
]


def test_text_has_one_line_a_check_in_aligned_columns_and_a_line_of_totals() -> None:
    assert as_text(SHOWN).splitlines() == [
        "ok    token  Valid.",
        "warn  clock  Late.",
        "FAIL  disk   Full.",
        "",
        "3 checks: 1 ok, 1 warn, 1 fail",
    ]


def test_json_has_the_worst_status_and_every_finding() -> None:
    shown = json.loads(as_json(SHOWN))
    assert shown["status"] == "fail"
    assert shown["findings"][1] == {"name": "clock", "status": "warn", "message": "Late."}
    assert json.loads(as_json(SHOWN[:2]))["status"] == "warn"
    assert json.loads(as_json(SHOWN[:1]))["status"] == "ok"


def test_only_failures_count_as_failed() -> None:
    assert has_failed(SHOWN)
    assert not has_failed(SHOWN[:2])


# ---- the command ----


def test_the_command_prints_one_line_a_check_and_ends_well_with_warnings(tmp_path: Path) -> None:
    done = run_command(["doctor"], environment(tmp_path / "home"), tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert "ok    token " in done.stdout
    assert "warn  warehouse " in done.stdout


def test_the_command_prints_json_and_fails_when_a_check_does(tmp_path: Path) -> None:
    variables = environment(tmp_path / "home", META_INSIGHTS_MODE="live")
    done = run_command(["doctor", "--json"], variables, tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    assert shown["status"] == "fail"
    assert [item["name"] for item in shown["findings"] if item["status"] == "fail"] == ["token"]


# ---- its document ----


def test_the_document_has_a_line_for_every_check_and_the_numbers_of_the_code(patient: Patient) -> None:
    warehouse(patient.home)
    text = re.sub(r"\s+", " ", (ROOT / "docs" / "doctor.md").read_text("utf-8"))
    found = {"act_..." if name.startswith("act_") else name for name in patient.findings()}
    assert sorted(name for name in {*found, "accounts"} if f"| `{name}` |" not in text) == []
    for phrase in (
        f"in less than {TOKEN_DAYS} days",
        f"in less than {VERSION_DAYS} days",
        f"more than {SKEW_SECONDS:.0f} s",
        f"more than {MOST_SKEW_SECONDS:.0f} s",
        f"{FULL_PERCENT:.0f} % or more",
        f"{FREE_SHARE} times the size",
        f"less than {LEAST_FREE // 10**6} MB",
    ):
        assert phrase in text
