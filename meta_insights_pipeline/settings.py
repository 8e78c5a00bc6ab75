"""Every setting: its variable, its default, what it means. Values only; what follows from them is decided elsewhere.

Settings come from the environment and from a file `.env` in the working folder; the environment wins.
"""

import io
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENV_FILE = ".env"
JWT_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
    *("HS256", "HS384", "HS512"),
)
"""Of tokens that the read API may accept (RFC 7518); `none` is not among them."""


class SettingsError(Exception):
    """A setting that cannot be used; the message names the variable and the remedy, and never a secret."""


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    mode: Literal["stub", "live"] = Field(
        "stub",
        validation_alias="META_INSIGHTS_MODE",
        description="stub reads a simulated world inside the process, live reads the Graph API",
    )
    access_token: SecretStr | None = Field(
        None, validation_alias="META_ACCESS_TOKEN", description="needed in live mode; permission ads_read is enough"
    )
    app_secret: SecretStr | None = Field(
        None, validation_alias="META_APP_SECRET", description="when set, every call carries appsecret_proof"
    )
    ad_account_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="META_AD_ACCOUNT_IDS",
        description="comma list, act_1 or 1; empty: every account that the token can read",
    )
    allow_accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="META_INSIGHTS_ALLOW_ACCOUNTS",
        description="comma list of patterns of ids or names (`1010*`, `Shop *`); when no account is named, only these are found",
    )
    deny_accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="META_INSIGHTS_DENY_ACCOUNTS",
        description="comma list of patterns of ids or names; when no account is named, never these",
    )
    conversions: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="META_INSIGHTS_CONVERSIONS",
        description="comma list of event=action_type: which action type counts an event; events that are not named keep theirs",
    )
    graph_api_url: str = Field(
        "https://graph.facebook.com",
        validation_alias="META_GRAPH_API_URL",
        description="base URL of the Graph API, or of `meta-insights simulate`",
    )
    graph_api_version: str = Field(
        "v26.0",
        validation_alias="META_GRAPH_API_VERSION",
        pattern=r"^v\d+\.\d+$",
        description="version of the Graph API",
    )
    home: Path = Field(
        Path("data"),
        validation_alias="META_INSIGHTS_HOME",
        description="everything that the pipeline keeps on disk lies below it",
    )
    warehouse: str | None = Field(
        None,
        validation_alias="META_INSIGHTS_WAREHOUSE",
        description="the pipeline's own DuckDB file; by default warehouse.duckdb in META_INSIGHTS_HOME",
    )
    budget_path: Path | None = Field(
        None,
        validation_alias="META_INSIGHTS_BUDGET_PATH",
        description="a file in which several homes on one machine keep one book of Meta's budgets; by default each keeps its own",
    )
    reports: Path | None = Field(
        None,
        validation_alias="META_INSIGHTS_REPORTS",
        description="reports declared by the user (reserved: no report can be declared yet)",
    )
    start_date: date = Field(
        date(2023, 11, 1),
        validation_alias="META_INSIGHTS_START_DATE",
        description="first day partition; Meta keeps 37 months",
    )
    api_url: str = Field(
        "http://127.0.0.1:8080",
        validation_alias="META_INSIGHTS_API_URL",
        description="where the dashboard and clients find the read API",
    )
    dagster_url: str = Field(
        "http://127.0.0.1:3000", validation_alias="META_INSIGHTS_DAGSTER_URL", description="where Dagster's UI is found"
    )
    stub_seed: int = Field(7, validation_alias="META_INSIGHTS_STUB_SEED", description="seed of the simulated world")
    archive_days: int = Field(
        1130,
        validation_alias="META_INSIGHTS_ARCHIVE_DAYS",
        ge=0,
        description="days that raw pages are kept for a replay, by default as long as Meta gives insights; 0 keeps none",
    )
    history_days: int = Field(
        7,
        validation_alias="META_INSIGHTS_HISTORY_DAYS",
        ge=0,
        description="days of which every earlier value is kept; of days before, the values at each day's end (UTC) are kept",
    )
    receipt_days: int = Field(
        400,
        validation_alias="META_INSIGHTS_RECEIPT_DAYS",
        ge=1,
        description="days that the receipts of syncs are kept",
    )
    api_requests_per_minute: int = Field(
        600,
        validation_alias="META_INSIGHTS_API_REQUESTS_PER_MINUTE",
        ge=1,
        description="requests that each key, token subject or address without either may make",
    )
    api_query_seconds: float = Field(
        10.0,
        validation_alias="META_INSIGHTS_API_QUERY_SECONDS",
        gt=0,
        description="how long the queries of one request to the read API may take together; then it is ended and answered 503",
    )
    api_memory_limit: str = Field(
        "512MB",
        validation_alias="META_INSIGHTS_API_MEMORY_LIMIT",
        pattern=r"^[1-9]\d*(MB|GB)$",
        description="memory that the queries of one process of the read API may use together",
    )
    api_threads: int = Field(
        2,
        validation_alias="META_INSIGHTS_API_THREADS",
        ge=1,
        le=256,
        description="threads that work on the queries of one process of the read API",
    )
    api_cache_mb: int = Field(
        64,
        validation_alias="META_INSIGHTS_API_CACHE_MB",
        ge=0,
        description="megabytes of answers that one process of the read API keeps for the same question; 0 keeps none",
    )
    api_oldest_hours: float = Field(
        24.0,
        validation_alias="META_INSIGHTS_API_OLDEST_HOURS",
        gt=0,
        description="hours after its publication at which a snapshot is too old for /readyz",
    )
    api_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="META_INSIGHTS_API_CORS_ORIGINS",
        description="comma list of origins (https://dashboard.example.com) whose pages may ask too",
    )
    api_metrics: bool = Field(
        False,
        validation_alias="META_INSIGHTS_API_METRICS",
        description="true serves Prometheus metrics at /metrics, to holders of a credential with the role admin",
    )
    jwt_jwks_url: str | None = Field(
        None,
        validation_alias="META_INSIGHTS_JWT_JWKS_URL",
        description="where the issuer of tokens publishes its keys; with it or the next, the read API accepts tokens",
    )
    jwt_key: SecretStr | None = Field(
        None,
        validation_alias="META_INSIGHTS_JWT_KEY",
        description="instead: the issuer's public key in PEM form, or a secret shared with it",
    )
    jwt_issuer: str | None = Field(
        None, validation_alias="META_INSIGHTS_JWT_ISSUER", description="what `iss` of a token must be"
    )
    jwt_audience: str | None = Field(
        None,
        validation_alias="META_INSIGHTS_JWT_AUDIENCE",
        description="what `aud` of a token must be or hold; without it a token made for some audience is refused",
    )
    jwt_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="META_INSIGHTS_JWT_ALGORITHMS",
        description="comma list; RS256 and ES256 with a JWKS URL, the one that fits the key otherwise",
    )
    jwt_role_claim: str = Field(
        "role",
        validation_alias="META_INSIGHTS_JWT_ROLE_CLAIM",
        description="the claim that names the role, also inside others: realm_access.roles",
    )
    jwt_accounts_claim: str | None = Field(
        None,
        validation_alias="META_INSIGHTS_JWT_ACCOUNTS_CLAIM",
        description="the claim that names the ad accounts; when set, a token without it is refused, else `accounts` may be there",
    )
    jwt_leeway_seconds: int = Field(
        30,
        validation_alias="META_INSIGHTS_JWT_LEEWAY_SECONDS",
        ge=0,
        le=300,
        description="how far the clocks of issuer and server may be apart",
    )

    @field_validator("ad_account_ids", mode="before")
    @classmethod
    def _split_accounts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(account_id(part) for part in value.split(",") if part.strip())

    @field_validator("allow_accounts", "deny_accounts", "conversions", mode="before")
    @classmethod
    def _split_patterns(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("api_cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError("use a comma list of origins like https://dashboard.example.com; * is not one")
        return origins

    @field_validator("jwt_algorithms", mode="before")
    @classmethod
    def _split_algorithms(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if any(name not in JWT_ALGORITHMS for name in names):
            raise ValueError(f"use a comma list of {', '.join(JWT_ALGORITHMS)}")
        return names

    @field_validator("jwt_jwks_url")
    @classmethod
    def _is_safe_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        is_here = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if value is not None and (
            not parts.hostname or parts.scheme not in (("https", "http") if is_here else ("https",))
        ):
            raise ValueError(
                "it must be a URL that starts with https://, since whoever changes the keys can make tokens"
            )
        return value

    @field_validator("graph_api_url", "api_url", "dagster_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("it must be a URL that starts with http:// or https://")
        return value.rstrip("/")

    @field_validator("warehouse")
    @classmethod
    def _is_file(cls, value: str | None) -> str | None:
        if value is not None and value.startswith(("md:", "ducklake:")):
            raise ValueError("MotherDuck and DuckLake are not supported yet; name a DuckDB file")
        return value

    @property
    def warehouse_path(self) -> Path:
        """The pipeline's own DuckDB file."""
        return Path(self.warehouse) if self.warehouse else self.home / "warehouse.duckdb"

    @property
    def state_path(self) -> Path:
        """What the processes of an installation share beside the warehouse: budgets, lessons, what is bought."""
        return self.home / f"collector-{self.mode}.sqlite"

    @property
    def pages_path(self) -> Path:
        """The pages that are bought and not yet in the warehouse."""
        return self.home / f"pages-{self.mode}"

    @property
    def access_path(self) -> Path:
        """The API keys and the audit log."""
        return self.home / "access.sqlite"

    @property
    def sync_requests_path(self) -> Path:
        """The syncs that were asked for over HTTP with an Idempotency-Key."""
        return self.home / "sync-requests.sqlite"

    @property
    def receipts_path(self) -> Path:
        """The receipts of syncs, one file each."""
        return self.home / "receipts"

    @property
    def archive_path(self) -> Path:
        """What Meta answered, for a replay."""
        return self.home / "archive" / self.mode

    @property
    def snapshot_path(self) -> Path:
        """The published DuckDB file, for readers."""
        return self.home / "meta_insights.duckdb"


def account_id(text: str) -> str:
    """An ad account's id without the prefix `act_`.

    Raises:
        ValueError: Not digits, with or without `act_`.
    """
    bare = text.strip().removeprefix("act_")
    if not (bare.isascii() and bare.isdigit()):
        raise ValueError(f"{text.strip()!r} is not an ad account id; ids look like act_1010101010 or 1010101010")
    return bare


def load_settings(env_file: str | Path | None = ENV_FILE) -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: A value or the file `.env` cannot be used; one sentence for the first thing that is wrong.
    """
    _check_env_file(env_file)
    try:
        return Settings(_env_file=env_file, _env_file_encoding="utf-8")
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _check_env_file(env_file: str | Path | None) -> None:
    """Refuse what the reader of `.env` files would only warn about: a value that it skips would be lost in silence."""
    if env_file is None or not Path(env_file).exists():
        return
    try:
        text = Path(env_file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            f"The file {env_file} cannot be read; make it a UTF-8 text file with lines like META_INSIGHTS_MODE=stub."
        ) from None
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            raise SettingsError(
                f"Line {binding.original.line} of the file {env_file} is not of the form NAME=value "
                "(is a quote missing?); mend or remove it."
            )


_HINTS = {
    "META_INSIGHTS_MODE": "use stub or live",
    "META_INSIGHTS_START_DATE": "use a date like 2024-01-31",
    "META_GRAPH_API_VERSION": "use a version like v26.0",
    "META_INSIGHTS_STUB_SEED": "use a whole number",
    "META_INSIGHTS_ARCHIVE_DAYS": "use a whole number of days, 0 for none",
    "META_INSIGHTS_HISTORY_DAYS": "use a whole number of days",
    "META_INSIGHTS_RECEIPT_DAYS": "use a whole number of days of at least 1",
    "META_INSIGHTS_API_REQUESTS_PER_MINUTE": "use a whole number of at least 1",
    "META_INSIGHTS_API_QUERY_SECONDS": "use a number of seconds above 0",
    "META_INSIGHTS_API_MEMORY_LIMIT": "use an amount like 512MB or 2GB",
    "META_INSIGHTS_API_THREADS": "use a whole number from 1 to 256",
    "META_INSIGHTS_API_CACHE_MB": "use a whole number of megabytes, 0 for none",
    "META_INSIGHTS_API_OLDEST_HOURS": "use a number of hours above 0",
    "META_INSIGHTS_API_METRICS": "use true or false",
    "META_INSIGHTS_JWT_LEEWAY_SECONDS": "use a whole number from 0 to 300",
}
_SECRETS = ("META_ACCESS_TOKEN", "META_APP_SECRET", "META_INSIGHTS_JWT_KEY")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    variable = str(first["loc"][0]) if first["loc"] else "the settings"
    value = "a secret" if variable in _SECRETS else repr(first["input"])
    cause = first["msg"].removeprefix("Value error, ")
    hint = _HINTS.get(variable, cause)
    return f"{variable} is {value}, which cannot be used: {hint}. Change it in the environment or in {ENV_FILE}."
