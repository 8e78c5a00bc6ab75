"""The official SDK against the simulator, unmodified but for the address: the simulator is shaped after Meta."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from meta_insights_pipeline.simulator import Account, SimulatedClock, Simulator, SimulatorServer, World, truth
from meta_insights_pipeline_tests.simulator.support import NOW, span

SINCE, UNTIL = date(2026, 11, 2), date(2026, 11, 15)
DAILY = {
    "level": "ad",
    "time_increment": 1,
    "time_range": span(SINCE, UNTIL),
    "filtering": [
        {
            "field": "ad.effective_status",
            "operator": "IN",
            "value": ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "CAMPAIGN_PAUSED", "ADSET_PAUSED"],
        }
    ],
    "limit": 100,
}
FIELDS = [AdsInsights.Field.ad_id, AdsInsights.Field.impressions, AdsInsights.Field.spend, AdsInsights.Field.actions]


@pytest.fixture
def simulator(world: World) -> Simulator:
    return Simulator(world, SimulatedClock(NOW), app_secret="the app's secret")


@pytest.fixture
def sdk(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacebookAdsApi]:
    """The SDK with its own session, proof included; its class attributes are put back."""
    with SimulatorServer(simulator) as server:
        monkeypatch.setattr(FacebookSession, "GRAPH", server.url)
        monkeypatch.setattr(FacebookAdsApi, "_default_api", None)
        api = FacebookAdsApi.init("app id", "the app's secret", "a token", crash_log=False)
        yield api
        api._session.requests.close()


def _numbers(rows: Any) -> set[tuple[str, str, str]]:
    return {(row["ad_id"], row["date_start"], row["impressions"]) for row in rows}


def _true_numbers(world: World, account: Account) -> set[tuple[str, str, str]]:
    rows = truth(world, "ad", account.id, SINCE, UNTIL, NOW).rows
    return {(row["ad_id"], row["date_start"].isoformat(), str(row["impressions"])) for row in rows}


@pytest.mark.usefixtures("sdk")
def test_it_lists_accounts(world: World) -> None:
    accounts = User("me").get_ad_accounts(fields=["account_id", "currency", "timezone_name"], params={"limit": 3})
    assert [one["account_id"] for one in accounts] == [account.id for account in world.accounts]
    assert accounts.total() == 4


@pytest.mark.usefixtures("sdk")
def test_it_reads_an_account_and_its_structure(account: Account) -> None:
    remote = AdAccount(f"act_{account.id}").api_get(fields=["name", "currency"])
    assert remote["name"] == account.name
    campaigns = remote.get_campaigns(fields=[Campaign.Field.name, Campaign.Field.effective_status])
    adsets = list(remote.get_ad_sets(fields=["name", "campaign_id"], params={"limit": 40}))
    ads = remote.get_ads(fields=["name", "adset_id", "creative"], params={"limit": 200})
    creatives = {one["id"] for one in remote.get_ad_creatives(fields=["name"], params={"limit": 200})}
    ids = {campaign["id"] for campaign in campaigns}
    assert {adset["campaign_id"] for adset in adsets} <= ids
    count = ads.total()
    listed = list(ads)
    assert len(listed) == count
    assert {ad["creative"]["id"] for ad in listed} <= creatives
    assert Ad(listed[0]["id"]).api_get(fields=["name"])["name"] == listed[0]["name"]


@pytest.mark.usefixtures("sdk")
def test_it_pages_through_insights(world: World, account: Account, simulator: Simulator) -> None:
    rows = list(AdAccount(f"act_{account.id}").get_insights(fields=FIELDS, params=DAILY))
    assert simulator.requests.count("insights") > 2
    assert len(rows) == len(_numbers(rows))
    assert _numbers(rows) == _true_numbers(world, account)


@pytest.mark.usefixtures("sdk")
def test_it_reads_report_runs(world: World, account: Account) -> None:
    run = AdAccount(f"act_{account.id}").get_insights_async(fields=FIELDS, params=DAILY)
    assert run[AdReportRun.Field.id] == run["report_run_id"]
    run = run.api_get()
    assert run[AdReportRun.Field.async_status] == "Job Completed"
    assert run[AdReportRun.Field.async_percent_completion] == 100
    rows = list(run.get_result(params={"limit": 90}))
    assert _numbers(rows) == _true_numbers(world, account)


@pytest.mark.usefixtures("sdk")
def test_it_reads_insights_of_an_ad(world: World, account: Account) -> None:
    ad_id = min(_true_numbers(world, account))[0]
    (row,) = Ad(ad_id).get_insights(fields=["ad_id", "spend"], params={"time_range": span(SINCE, UNTIL)})
    assert row["ad_id"] == ad_id


def test_it_sends_batches(sdk: FacebookAdsApi, world: World) -> None:
    batch = sdk.new_batch()
    seen: list[Any] = []
    failed: list[Any] = []
    for account in world.accounts:
        AdAccount(f"act_{account.id}").api_get(
            fields=["currency"], batch=batch, success=lambda answer: seen.append(answer.json()["currency"])
        )
    AdAccount("act_1").api_get(batch=batch, failure=failed.append)
    assert batch.execute() is None
    assert seen == [account.currency for account in world.accounts]
    assert failed[0].error().api_error_subcode() == 33


def test_it_retries_null_elements_of_batches(sdk: FacebookAdsApi, account: Account, simulator: Simulator) -> None:
    simulator.faults.add("null_batch_element")
    batch = sdk.new_batch()
    seen: list[Any] = []
    AdAccount(f"act_{account.id}").api_get(batch=batch, success=seen.append)
    again = batch.execute()
    assert again is not None
    assert again.execute() is None
    assert len(seen) == 1


@pytest.mark.usefixtures("sdk")
def test_its_errors_carry_our_codes(account: Account, simulator: Simulator) -> None:
    remote = AdAccount(f"act_{account.id}")
    simulator.faults.add(
        "graph_error", code=80000, subcode=2446079, message="(#80000) too many calls", is_transient=False
    )
    with pytest.raises(FacebookRequestError) as caught:
        remote.get_insights()
    assert (caught.value.api_error_code(), caught.value.api_error_subcode()) == (80000, 2446079)
    assert caught.value.http_status() == 400
    assert caught.value.api_error_message() == "(#80000) too many calls"
    simulator.faults.add("text")
    with pytest.raises(FacebookRequestError):
        remote.api_get()


def test_a_wrong_secret_is_found_out(sdk: FacebookAdsApi, account: Account) -> None:
    session = FacebookSession("app id", "another secret", "a token")
    wrong = FacebookAdsApi(session)
    try:
        with pytest.raises(FacebookRequestError, match="appsecret_proof") as caught:
            AdAccount(f"act_{account.id}", api=wrong).api_get()
    finally:
        session.requests.close()
    assert caught.value.api_error_code() == 100
    assert sdk is FacebookAdsApi.get_default_api()
