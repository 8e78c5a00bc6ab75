"""Every operation of the OpenAPI document, with every role, for own and foreign accounts, and with credentials that are no good.

The operations come from the document itself: one that is added without a rule here fails the first test.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from meta_insights_pipeline.read_api.access.api_keys import new_api_key
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.read_api.served import Api, Headers, World, copy_world, make_world, opened
from meta_insights_pipeline_tests.read_api.sync_now.dagster_double import DagsterDouble, dagster_double
from meta_insights_pipeline_tests.read_api.test_exports import rows_of

SECRET = "correct horse battery staple, and more of it"
OPEN = {("get", "/healthz"), ("get", "/readyz")}


@dataclass(frozen=True)
class Rule:
    """What holds for an operation: the role that it needs, and what it is about."""

    role: Role = Role.VIEWER
    level: str | None = None
    """Whose id its path takes."""
    query: str = ""


RULES = {
    ("get", "/meta/insights/overview"): Rule(),
    ("get", "/meta/insights/account/{account_id}"): Rule(level="account"),
    ("get", "/meta/insights/campaign/{campaign_id}"): Rule(level="campaign"),
    ("get", "/meta/insights/adset/{adset_id}"): Rule(level="adset"),
    ("get", "/meta/insights/ad/{ad_id}"): Rule(level="ad"),
    ("get", "/meta/insights/recent-insights/{entity_id}"): Rule(level="ad"),
    ("get", "/meta/insights/accounts"): Rule(),
    ("get", "/meta/insights/search"): Rule(query="?q=a"),
    ("get", "/meta/insights/reconciliation"): Rule(),
    ("get", "/meta/insights/syncs"): Rule(),
    ("get", "/meta/insights/sync/{run_id}"): Rule(level="run"),
    ("post", "/meta/insights/sync-now"): Rule(role=Role.OPERATOR),
    ("get", "/metrics"): Rule(role=Role.ADMIN),
}
IDS = [f"{method} {path}" for method, path in RULES]
GUARDED = list(RULES.items())
WITHOUT_TABLES = {"/meta/insights/sync/{run_id}", "/metrics"}
TABLES = [path for method, path in RULES if method == "get" and path not in WITHOUT_TABLES]
WITH_PARTS = {
    path for path in TABLES if path.endswith("overview") or (RULES["get", path].level and "recent" not in path)
}
# Tables that name no account, and one that has no row here.
NAMELESS = {"daily", "totals", "conversions", "missing"}


@dataclass(frozen=True)
class Site:
    """The app over the small world, and Dagster."""

    api: Api
    world: World
    dagster: DagsterDouble
    clock: SkippingClock
    runs: tuple[str, str]
    """Of syncs of the first account and of the second."""
    keys: dict[tuple[Role, tuple[str, ...] | None], Headers] = field(default_factory=dict)

    def key(self, role: Role = Role.VIEWER, accounts: Sequence[str] | None = None) -> Headers:
        """Headers with a key of this kind, the same one each time."""
        kind = (role, None if accounts is None else tuple(accounts))
        if kind not in self.keys:
            self.keys[kind] = self.api.key(role, accounts)
        return self.keys[kind]

    def path(self, path: str, rule: Rule, which: int) -> str:
        """The address of something of the first account or the second."""
        if rule.level is None:
            return path + rule.query
        identifier = self.runs[which] if rule.level == "run" else self.world.ids[rule.level][which]
        return re.sub(r"\{\w+\}", identifier, path) + rule.query

    def ask(self, method: str, path: str, headers: Headers) -> httpx.Response:
        """A request."""
        return self.api.client.request(method.upper(), path, headers=headers)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    world = copy_world(make_world(folder / "made"), folder / "home")
    clock = SkippingClock(datetime.now(UTC))
    with (
        dagster_double() as dagster,
        opened(
            world.home, clock=clock, DAGSTER_URL=dagster.url, API_METRICS=True, JWT_KEY=SECRET, JWT_ISSUER="us"
        ) as api,
    ):
        first, second = (dagster.add_run("SUCCESS", [account]) for account in world.accounts)
        yield Site(api, world, dagster, clock, (first, second))


def test_every_operation_of_the_document_has_a_rule_and_declares_its_credentials(site: Site) -> None:
    document = site.api.client.get("/openapi.json").json()
    operations = {(method, path): one for path, methods in document["paths"].items() for method, one in methods.items()}
    assert set(operations) == set(RULES) | OPEN
    for name, operation in operations.items():
        assert bool(operation.get("security")) == (name in RULES), name


def test_whatever_is_not_in_the_document_is_harmless(site: Site) -> None:
    paths = {path for _, path in [*RULES, *OPEN]}
    hidden = [route for route in every_route(site.api.app) if route not in paths]
    assert sorted(hidden) == ["/docs", "/docs/start.js", "/docs/{name}", "/openapi.json"]


def every_route(app: Any) -> list[str]:
    """The paths of all routes, those of included routers too, whatever the framework keeps them in."""
    found, waiting = [], list(app.routes)
    while waiting:
        route = waiting.pop()
        inner = getattr(route, "original_router", None)
        if inner is not None:
            waiting += inner.routes
        else:
            found.append(route.path)
    return found


# ---- credentials that are no good ----


def token(**claims: Any) -> str:
    now = datetime.now(UTC)
    content = {"iss": "us", "sub": "s", "role": "admin", "exp": now + timedelta(hours=1), **claims}
    return jwt.encode(content, SECRET, "HS256")


def revoked(site: Site) -> Headers:
    key = site.api.key(Role.ADMIN)
    # Known a moment ago, so that it might be remembered.
    for _ in range(2):
        assert site.ask("get", "/meta/insights/accounts", key).status_code == 200
    site.api.book.revoke(key["X-API-Key"].split("_")[1], by="test")
    return key


def expired(site: Site) -> Headers:
    key = site.api.key(Role.ADMIN, days=1)
    site.clock.sleep(86_401)
    return key


def wrong_secret(site: Site) -> Headers:
    text = site.api.key(Role.ADMIN)["X-API-Key"]
    return {"X-API-Key": text[:-1] + ("0" if text[-1] != "0" else "1")}


BAD: dict[str, Callable[[Site], Headers]] = {
    "missing": lambda _: {},
    "empty": lambda _: {"Authorization": ""},
    "unknown key": lambda _: {"X-API-Key": new_api_key().reveal()},
    "wrong secret": wrong_secret,
    "revoked key": revoked,
    "expired key": expired,
    "two keys": lambda site: {**site.api.key(), "Authorization": f"Bearer {site.api.key()['X-API-Key']}"},
    "basic": lambda _: {"Authorization": "Basic YTpi"},
    "garbage": lambda _: {"Authorization": "Bearer a.b.c"},
    "token of another issuer": lambda _: {"Authorization": f"Bearer {token(iss='them')}"},
    "token with another secret": lambda _: {"Authorization": f"Bearer {token()[:-2]}AA"},
    "expired token": lambda _: {"Authorization": f"Bearer {token(exp=datetime.now(UTC) - timedelta(hours=1))}"},
}


@pytest.mark.parametrize("bad", BAD)
def test_no_operation_answers_a_credential_that_is_no_good(site: Site, bad: str) -> None:
    headers = BAD[bad](site)
    launched = len(site.dagster.launches)
    for (method, path), rule in GUARDED:
        for which in (0, 1):
            answer = site.ask(method, site.path(path, rule, which), headers)
            assert answer.status_code == 401, (bad, method, path)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.headers["Cache-Control"] == "no-store"
            for word in (*site.world.accounts, *(value for values in site.world.ids.values() for value in values)):
                assert word not in answer.text
    assert len(site.dagster.launches) == launched


def test_a_token_without_a_role_is_known_but_may_nothing(site: Site) -> None:
    headers = {"Authorization": f"Bearer {token(role='guest')}"}
    for (method, path), rule in GUARDED:
        assert site.ask(method, site.path(path, rule, 0), headers).status_code == 403, path


# ---- roles and accounts ----


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("kind", ["key", "token"])
@pytest.mark.parametrize(("name", "rule"), GUARDED, ids=IDS)
def test_each_role_may_what_it_needs_no_more_for(
    site: Site, name: tuple[str, str], rule: Rule, role: Role, kind: str
) -> None:
    method, path = name
    own, foreign = site.world.accounts
    for accounts in (None, [own]):
        if kind == "key":
            headers = site.key(role, accounts)
        else:
            more = {} if accounts is None else {"accounts": accounts}
            headers = {"Authorization": f"Bearer {token(role=role.value, **more)}"}
        for which in (0, 1):
            answer = site.ask(method, site.path(path, rule, which), headers)
            is_foreign = accounts is not None and which == 1 and rule.level is not None
            if not role.includes(rule.role):
                assert answer.status_code == 403
            elif is_foreign:
                assert answer.status_code == 404
            else:
                assert answer.status_code == (202 if method == "post" else 200), answer.text
            if accounts is not None and path != "/metrics" and answer.is_success:
                assert foreign not in answer.text
                assert site.world.ids["campaign"][1] not in answer.text


@pytest.mark.parametrize(
    ("name", "rule"), [one for one in GUARDED if one[1].level is not None], ids=[n for n in IDS if "{" in n]
)
def test_what_is_foreign_is_answered_in_the_words_for_what_does_not_exist(
    site: Site, name: tuple[str, str], rule: Rule
) -> None:
    method, path = name
    headers = site.key(accounts=[site.world.accounts[0]])
    foreign = site.path(path, rule, 1)
    identifier = site.runs[1] if rule.level == "run" else site.world.ids[str(rule.level)][1]
    absent = identifier[:-3] + ("000" if identifier[-3:] != "000" else "999")
    answers = [site.ask(method, address, headers) for address in (foreign, foreign.replace(identifier, absent))]
    assert [answer.status_code for answer in answers] == [404, 404]
    texts = [
        answer.json()["detail"].replace(one, "ID") for answer, one in zip(answers, (identifier, absent), strict=True)
    ]
    assert texts[0] == texts[1]
    names = [sorted(answer.headers) for answer in answers]
    assert names[0] == names[1]


@pytest.mark.parametrize(("name", "rule"), GUARDED, ids=IDS)
def test_whoever_is_confined_to_no_account_sees_nothing(site: Site, name: tuple[str, str], rule: Rule) -> None:
    method, path = name
    headers = site.key(Role.ADMIN, accounts=[])
    answer = site.ask(method, site.path(path, rule, 0), headers)
    if method == "post":
        assert answer.status_code == 403
    elif rule.level is not None:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 200
    for word in (*site.world.accounts, *site.world.ids["campaign"]):
        assert word not in answer.text or word in site.path(path, rule, 0)


def parts_of(site: Site, path: str) -> list[str]:
    """Every table that an address has, from the document."""
    operation = site.api.client.get("/openapi.json").json()["paths"][path]["get"]
    for parameter in operation["parameters"]:
        if parameter["name"] == "part":
            schema = parameter["schema"]
            name = schema.get("$ref", schema.get("allOf", [{}])[0].get("$ref", "")).rpartition("/")[2]
            found = schema if not name else site.api.client.get("/openapi.json").json()["components"]["schemas"][name]
            return list(found["enum"])
    return [""]


def words_in(answer: httpx.Response) -> str:
    """All cells and names of a table as one text."""
    rows = rows_of(answer)
    return repr(rows)


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
@pytest.mark.parametrize("path", TABLES)
def test_exports_hold_the_own_accounts_and_nothing_of_others(site: Site, path: str, form: str) -> None:
    own, foreign = site.world.accounts
    rule = RULES["get", path]
    parts = parts_of(site, path)
    assert (path in WITH_PARTS) == (parts != [""])
    for part in parts:
        address = site.path(path, rule, 0)
        address += ("&" if "?" in address else "?") + f"format={form}" + (f"&part={part}" if part else "")
        whole, confined = (
            site.ask("get", address, {**site.key(accounts=accounts), "Accept-Encoding": "identity"})
            for accounts in (None, [own])
        )
        if part == "children" and rule.level == "ad":
            assert whole.status_code == confined.status_code == 422
            continue
        assert whole.status_code == confined.status_code == 200, confined.text
        text = words_in(confined)
        for word in (foreign, *(site.world.ids[level][1] for level in ("campaign", "adset", "ad"))):
            assert word not in text, (address, word)
        if rule.level is None and part not in NAMELESS:
            # The test would see it if it were there.
            assert own in text, address
            assert foreign in words_in(whole), address


LISTS = [path for path in TABLES if RULES["get", path].level is None]


@pytest.mark.parametrize("path", LISTS)
def test_naming_a_foreign_account_is_naming_one_that_does_not_exist(site: Site, path: str) -> None:
    own, foreign = site.world.accounts
    headers = site.key(accounts=[own])
    address = site.path(path, RULES["get", path], 0)
    address += "&" if "?" in address else "?"
    for more in ("", "&format=csv"):
        of_foreign, of_unknown, of_both = (
            site.ask("get", f"{address}account={accounts}{more}", headers)
            for accounts in (foreign, "999999999999999", f"act_{own}&account={foreign}")
        )
        assert (of_foreign.status_code, of_foreign.content) == (of_unknown.status_code, of_unknown.content)
        alone = site.ask("get", f"{address}account={own}{more}", headers)
        assert (of_both.status_code, of_both.content) == (alone.status_code, alone.content)
        assert more or own in alone.text


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_a_sync_of_a_foreign_account_is_one_of_an_account_that_does_not_exist(site: Site, role: Role) -> None:
    own, foreign = site.world.accounts
    headers = site.key(role, [own])
    launched = len(site.dagster.launches)
    texts = []
    for account in (foreign, f"act_{foreign}", "999999999999999"):
        for accounts in ([account], [own, account]):
            answer = site.api.client.post("/meta/insights/sync-now", json={"accounts": accounts}, headers=headers)
            assert answer.status_code == 404
            texts.append(answer.json()["detail"].replace(account.removeprefix("act_"), "ID"))
    assert len(set(texts)) == 1
    assert len(site.dagster.launches) == launched
    answer = site.api.client.post("/meta/insights/sync-now", json={"accounts": [f"act_{own}"]}, headers=headers)
    assert (answer.status_code, answer.json()["accounts"]) == (202, [own])
