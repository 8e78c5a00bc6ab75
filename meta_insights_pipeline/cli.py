"""The command `meta-insights`: reads options, hands over, prints. Decisions are made in the rooms it calls.

Rooms are imported by the commands that need them, so that a mistake in an option is told at once.
"""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from meta_insights_pipeline.logs import log_to_stderr
from meta_insights_pipeline.read_api.access.errors import AccessFileError
from meta_insights_pipeline.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from meta_insights_pipeline.manual_sync import DaysWanted
    from meta_insights_pipeline.read_api.access.principal import Role

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 130


class BadInputError(Exception):
    """An option or setting that cannot be used; the message is one sentence with the remedy."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error that a person can mend is one sentence on stderr.

    Returns:
        0, 1 when the work failed, 2 when an option or setting cannot be used, 130 after Ctrl-C.
    """
    try:
        return int(cli.main(args=arguments, prog_name="meta-insights", standalone_mode=False) or 0)
    except (click.Abort, KeyboardInterrupt):
        return _complain("Stopped; what was published before stays as it is.", EXIT_STOPPED)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 0
    except click.ClickException as error:
        return _complain(f"{error.format_message().rstrip('.')}; see meta-insights --help.", EXIT_BAD_INPUT)
    except (BadInputError, SettingsError) as error:
        return _complain(str(error), EXIT_BAD_INPUT)
    except AccessFileError as error:
        return _complain(str(error), EXIT_FAILED)


def _complain(sentence: str, code: int) -> int:
    print(f"meta-insights: {sentence}", file=sys.stderr)
    return code


def _day(_context: click.Context, option: click.Parameter, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise BadInputError(f"--{option.name} is {value!r}, which is no day; write it like 2026-01-31.") from None


def _levels(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from meta_insights_pipeline.catalog.levels import Level

    known = [level.value for level in Level]
    for value in values:
        if value not in known:
            raise BadInputError(f"--level is {value!r}, which is no level; use {', '.join(known)}.")
    return values


def _accounts(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from meta_insights_pipeline.settings import account_id

    try:
        return tuple(account_id(value) for value in values)
    except ValueError as error:
        raise BadInputError(f"--account: {error}.") from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Meta Ads Insights, through Dagster into DuckDB."""


_Command = TypeVar("_Command", bound=Callable[..., int])


def _what_to_sync(command: _Command) -> _Command:
    """The options that say what a sync brings up to date."""
    options = [
        click.option("--days-back", type=click.IntRange(min=0), help="From N days ago through today."),
        click.option("--start", callback=_day, metavar="DAY", help="First day, like 2026-01-31."),
        click.option("--end", callback=_day, metavar="DAY", help="Last day; today when left out."),
        click.option(
            "--level",
            "levels",
            multiple=True,
            callback=_levels,
            help="account, campaign, adset or ad; repeatable; all, and the entities too, when left out.",
        ),
        click.option(
            "--account",
            "accounts",
            multiple=True,
            callback=_accounts,
            help="An ad account; repeatable; all when left out.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@_what_to_sync
@click.option(
    "--missing", is_flag=True, help="Only what earlier syncs could not get and is due again, as Dagster's sensor does."
)
@click.option("--verbose", "-v", is_flag=True, help="Log every call and every report, with Meta's ids.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the receipt as one JSON object on stdout and nothing else."
)
def sync(
    days_back: int | None,
    start: date | None,
    end: date | None,
    levels: tuple[str, ...],
    accounts: tuple[str, ...],
    missing: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Bring the warehouse up to date once, as a recorded Dagster run.

    Without days: today and yesterday of every account, as the schedule does. Exit code 0 only if everything that was asked
    for is stored and published.
    """
    from meta_insights_pipeline.manual_sync import ManualSyncError, run_manual_sync, run_missing

    if missing and (days_back is not None or start or end or levels or accounts):
        raise BadInputError("--missing knows its days, levels and accounts; leave the other options out.")
    settings = load_settings()
    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    try:
        if missing:
            receipt = run_missing(settings)
        else:
            receipt = run_manual_sync(settings, _days_wanted(settings, days_back, start, end), levels, accounts)
    except ManualSyncError as error:
        if as_json and error.receipt is not None:
            print(error.receipt.model_dump_json())
        return _complain(str(error), EXIT_FAILED)
    if receipt is None:
        print("null" if as_json else "Nothing that is missing can be had now.")
    else:
        print(receipt.model_dump_json() if as_json else receipt.as_text())
    return 0


@cli.command()
@_what_to_sync
@click.option("--all", "everything", is_flag=True, help="Print a line for every account and report, however many.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object on stdout and nothing else.")
def plan(
    days_back: int | None,
    start: date | None,
    end: date | None,
    levels: tuple[str, ...],
    accounts: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> int:
    """Show the calls that a sync would make and what they cost.

    Calls nothing but what planning needs: the accounts, and the number of running campaigns, ad sets and ads of an account
    whose size is not known.
    """
    from meta_insights_pipeline.manual_sync import ManualSyncError
    from meta_insights_pipeline.planning import plan_manual_sync

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    wanted = _days_wanted(settings, days_back, start, end)
    try:
        report = plan_manual_sync(settings, wanted, levels, accounts)
    except ManualSyncError as error:
        return _complain(str(error), EXIT_FAILED)
    print(json.dumps(report.as_json()) if as_json else report.as_text(everything=everything))
    return 0


def _days_wanted(settings: Settings, days_back: int | None, start: date | None, end: date | None) -> "DaysWanted":
    from meta_insights_pipeline.manual_sync import DaysWanted

    wanted = DaysWanted(days_back, start, end)
    if problem := wanted.problem(datetime.now(UTC), settings.start_date):
        raise BadInputError(problem)
    return wanted


@cli.command()
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Days to load at the start, today included.",
)
@click.option("--dagster-port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option(
    "--api-port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port of the read API."
)
@click.option("--no-ui", is_flag=True, help="Load the data and end, without the Dagster UI and the read API.")
def up(days: int, dagster_port: int, api_port: int, no_ui: bool) -> int:
    """Load the last days, start the Dagster UI and the read API, and say where everything is.

    In stub mode the read API needs no key, and answers this machine alone.
    """
    from meta_insights_pipeline.up import Ports, PortTakenError, UpError, run_up

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    try:
        return run_up(settings, days=days, ports=None if no_ui else Ports(dagster=dagster_port, api=api_port))
    except PortTakenError as error:
        raise BadInputError(str(error)) from None
    except UpError as error:
        return _complain(str(error), EXIT_FAILED)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the port."
)
# Not for users: `up` asks for it, and only in stub mode on this machine it is granted.
@click.option("--open", "is_open", is_flag=True, hidden=True)
def serve(host: str, port: int, workers: int, is_open: bool) -> int:
    """Serve the read API from the published file, to holders of a key or a token.

    Ctrl-C ends it; what is being answered then is finished. Without access control it listens on this machine alone.
    """
    from meta_insights_pipeline.read_api.server import ServeError
    from meta_insights_pipeline.read_api.server import serve as run_server

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    try:
        run_server(
            settings,
            host=host,
            port=port,
            workers=workers,
            is_open=is_open,
            announce=lambda sentence: print(sentence, flush=True),
        )
    except ServeError as error:
        raise BadInputError(str(error)) from None
    print("Stopped.")
    return 0


@cli.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Print the receipt as one JSON object on stdout and nothing else."
)
def replay(as_json: bool) -> int:
    """Rebuild the warehouse from the archived raw pages, with no call to Meta.

    The warehouse before is kept beside it until the next replay. Exit code 1 if an archived file could not be used; the days
    of such a file are as they were before.
    """
    from meta_insights_pipeline.replay import ReplayError, run_replay
    from meta_insights_pipeline.warehouse.database import WarehouseError

    settings = load_settings()
    log_to_stderr(logging.INFO)
    try:
        receipt = run_replay(settings)
    except (ReplayError, WarehouseError) as error:
        return _complain(str(error), EXIT_FAILED)
    print(receipt.model_dump_json() if as_json else receipt.as_text())
    return _complain(receipt.left_out_text(), EXIT_FAILED) if receipt.left_out else 0


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def doctor(as_json: bool) -> int:
    """Check settings, token, accounts, API version, warehouse and disk, one line a check.

    Exit code 1 if any check fails; warnings do not count.
    """
    from meta_insights_pipeline.doctor import run_doctor
    from meta_insights_pipeline.findings import as_json as findings_as_json
    from meta_insights_pipeline.findings import as_text, has_failed

    settings = load_settings()
    # What goes wrong with a call is a finding.
    log_to_stderr(logging.CRITICAL)
    findings = run_doctor(settings, datetime.now(UTC))
    print(findings_as_json(findings) if as_json else as_text(findings))
    return EXIT_FAILED if has_failed(findings) else 0


@cli.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
@click.pass_context
def reports(context: click.Context, as_json: bool) -> int:
    """List the declared reports with table, key and what they cost in calls."""
    if context.invoked_subcommand is not None:
        return 0
    from meta_insights_pipeline.reports_command import lines_as_json, lines_as_text, report_lines

    lines = report_lines(load_settings(), datetime.now(UTC))
    print(lines_as_json(lines) if as_json else lines_as_text(lines))
    return 0


@reports.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def reports_check(as_json: bool) -> int:
    """Say what Meta would refuse or leave empty, from the first day partition to today.

    Exit code 1 if it would refuse any report.
    """
    from meta_insights_pipeline.reports_command import check_reports, checks_as_json, checks_as_text, is_refused

    checks = check_reports(load_settings(), datetime.now(UTC))
    print(checks_as_json(checks) if as_json else checks_as_text(checks))
    return EXIT_FAILED if is_refused(checks) else 0


def _role(_context: click.Context, _option: click.Parameter, value: str) -> "Role":
    from meta_insights_pipeline.read_api.access.principal import Role

    if value not in list(Role):
        raise BadInputError(f"--role is {value!r}, which is no role; use {', '.join(Role)}.")
    return Role(value)


@cli.group()
def keys() -> None:
    """API keys of the read API: make, list and revoke them, and read the audit log."""


@keys.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--role",
    required=True,
    callback=_role,
    help="viewer reads, operator starts syncs too, admin whatever else there is.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    callback=_accounts,
    help="The only ad account that the key sees; repeatable; all when left out.",
)
@click.option("--days", type=click.IntRange(1, 36_500), help="Days until the key expires; never when left out.")
def keys_create(name: str, role: "Role", accounts: tuple[str, ...], days: int | None) -> int:
    """Make a key and print it, and nothing else, on stdout. It is shown this once: only its hash is stored."""
    from meta_insights_pipeline.read_api.access.keys_command import create_key

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    try:
        key = create_key(settings, name, role, accounts, days)
    except ValueError as error:
        raise BadInputError(f"--name: {error}.") from None
    print(key.reveal())
    return 0


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def keys_list(as_json: bool) -> int:
    """List every key with role, ad accounts and state; never a secret."""
    from meta_insights_pipeline.read_api.access.keys_command import all_keys, keys_as_json, keys_as_text

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    records, now = all_keys(settings), datetime.now(UTC)
    print(keys_as_json(records, now) if as_json else keys_as_text(records, now))
    return 0


@keys.command("revoke")
@click.argument("key", metavar="ID")
def keys_revoke(key: str) -> int:
    """End the key of an id; running servers refuse it from the next request on. The whole key does as well as its id."""
    from meta_insights_pipeline.read_api.access.key_book import UnknownKeyError
    from meta_insights_pipeline.read_api.access.keys_command import revoke_key

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    try:
        print(revoke_key(settings, key))
    except UnknownKeyError as error:
        raise BadInputError(str(error)) from None
    return 0


@keys.command("audit")
@click.option(
    "--last", type=click.IntRange(min=1), default=50, show_default=True, help="How many entries, the newest last."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def keys_audit(last: int, as_json: bool) -> int:
    """Show who asked for which sync, and who made or revoked which key."""
    from meta_insights_pipeline.read_api.access.keys_command import entries_as_json, entries_as_text, newest_entries

    settings = load_settings()
    log_to_stderr(logging.WARNING)
    entries = newest_entries(settings, last)
    print(entries_as_json(entries) if as_json else entries_as_text(entries))
    return 0


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes a free one.")
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed is another world.")
@click.option(
    "--now",
    metavar="MOMENT",
    help="Freeze the simulated clock, like 2026-01-31T12:00:00Z; runs with the real one otherwise.",
)
@click.option("--accounts", type=click.IntRange(min=1), default=4, show_default=True)
@click.option(
    "--campaigns", type=click.IntRange(min=1), help="Campaigns an account; with the next two, a world of fixed size."
)
@click.option("--adsets-per-campaign", type=click.IntRange(min=1))
@click.option("--ads-per-adset", type=click.IntRange(min=1))
@click.option("--always-on", is_flag=True, help="Every ad delivers every day.")
@click.option(
    "--latency", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Seconds that every call takes."
)
@click.option(
    "--report-seconds",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds that an asynchronous report takes.",
)
@click.option(
    "--cache-mb", type=click.IntRange(min=1), default=384, show_default=True, help="Rows kept for a second reading."
)
@click.option("--token", help="The only token accepted; any when left out.")
@click.option("--app-secret", help="Ask for appsecret_proof made with it.")
def simulate(
    host: str,
    port: int,
    seed: int,
    now: str | None,
    accounts: int,
    campaigns: int | None,
    adsets_per_campaign: int | None,
    ads_per_adset: int | None,
    always_on: bool,
    latency: float,
    report_seconds: float,
    cache_mb: int,
    token: str | None,
    app_secret: str | None,
) -> int:
    """Serve a simulated Graph API over HTTP, for live mode without Meta."""
    from meta_insights_pipeline.simulator.clock import SimulatedClock, WallClock
    from meta_insights_pipeline.simulator.handler import Simulator
    from meta_insights_pipeline.simulator.server import SimulatorServer
    from meta_insights_pipeline.simulator.world import World, WorldSpec

    spec = WorldSpec(
        seed=seed,
        accounts=accounts,
        campaigns=campaigns,
        adsets_per_campaign=adsets_per_campaign,
        ads_per_adset=ads_per_adset,
        always_on=always_on,
    )
    clock = WallClock() if now is None else SimulatedClock(_moment(now))
    simulator = Simulator(
        World(spec),
        clock,
        access_token=token,
        app_secret=app_secret,
        latency=latency,
        report_seconds=report_seconds,
        cache_bytes=cache_mb * 1_000_000,
    )
    try:
        server = SimulatorServer(simulator, host=host, port=port)
    except OSError as error:
        raise BadInputError(
            f"--port: {host}:{port} cannot be used ({error.strerror or error}); choose another with --port."
        ) from None
    print(f"Simulated Graph API on {server.url} (Ctrl-C ends it). In another terminal:", flush=True)
    secret = f" META_APP_SECRET={app_secret}" if app_secret else ""
    variables = f"META_INSIGHTS_MODE=live META_ACCESS_TOKEN={token or 'any'}{secret} META_GRAPH_API_URL={server.url}"
    print(f"  {variables} meta-insights sync", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()
    return 0


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(f"--now is {text!r}, which is no moment; write it like 2026-01-31T12:00:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
