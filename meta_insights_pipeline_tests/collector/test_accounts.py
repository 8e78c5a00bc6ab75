"""Which accounts are collected: named ones, all that are found, those that rules admit; and which cannot be."""

from pathlib import Path

import pytest

from meta_insights_pipeline.collector.accounts import AccountRules, NoAccountError, find_accounts
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline_tests.live import live


def test_a_token_without_an_account_is_told_what_to_do(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        home.simulator.faults.add("text", kind="accounts", status=200, body='{"data":[]}')
        with pytest.raises(NoAccountError, match=r"META_ACCESS_TOKEN.*META_AD_ACCOUNT_IDS"):
            find_accounts(api, ())


def test_an_account_in_an_unknown_time_zone_is_named_instead_of_guessed_and_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        row = '{{"id":"act_{0}","account_id":"{0}","name":"A","currency":"EUR","timezone_name":"{1}"}}'
        odd, fine = row.format("5", "Mars/Olympus"), row.format("6", "Europe/Paris")
        home.simulator.faults.add("text", kind="accounts", status=200, body=f'{{"data":[{odd},{fine}]}}')
        found = find_accounts(api, ())
        assert [account.id for account in found.accounts] == ["6"]
        (refused,) = found.refused
        assert "act_5" in refused.reason
        assert "'Mars/Olympus'" in refused.reason
        home.simulator.faults.add("text", kind="accounts", status=200, body=f'{{"data":[{odd}]}}')
        with pytest.raises(NoAccountError, match=r"act_5 .*'Mars/Olympus'.*tzdata"):
            find_accounts(api, ())


def test_named_accounts_are_read_once_each(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        wanted = home.world.accounts[1].id
        found = find_accounts(api, (wanted, wanted))
        assert [(account.id, account.node) for account in found.accounts] == [(wanted, f"act_{wanted}")]
        assert api.meter.counts().calls == {"account": 1}


def test_a_named_account_that_does_not_exist_does_not_stop_the_others(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        mine = home.world.accounts[0].id
        found = find_accounts(api, ("404", mine))
        assert [account.id for account in found.accounts] == [mine]
        assert [account.id for account in found.refused] == ["404"]
        with pytest.raises(NoAccountError, match="check the id and the token's access"):
            find_accounts(api, ("404",))


@pytest.mark.parametrize(
    ("allow", "deny", "admitted"),
    [
        ((), (), True),
        (("act_10*",), (), True),
        (("20*",), (), False),
        (("*shop*",), (), True),
        (("*SHOP*",), ("*(test)",), True),
        ((), ("1010",), False),
        (("1010",), ("*berlin*",), False),
    ],
)
def test_rules_admit_by_id_or_name_and_a_denial_wins(
    allow: tuple[str, ...], deny: tuple[str, ...], admitted: bool
) -> None:
    assert AccountRules(allow, deny).admit("1010", "Shop Berlin") is admitted


def test_rules_narrow_what_was_found_and_say_so_when_nothing_is_left(tmp_path: Path) -> None:
    with live(tmp_path) as home, open_graph_api(home.settings) as api:
        mine = home.world.accounts[0].id
        found = find_accounts(api, (), AccountRules(allow=(mine,)))
        assert [account.id for account in found.accounts] == [mine]
        with pytest.raises(NoAccountError, match=r"None of the 2 ad accounts.*META_INSIGHTS_DENY_ACCOUNTS"):
            find_accounts(api, (), AccountRules(deny=("*",)))
        # A named account is always wanted.
        assert find_accounts(api, (mine,), AccountRules(deny=("*",))).accounts[0].id == mine
