"""The tables, derived from the catalogue: columns with type and description, and the statements that create them."""

from collections.abc import Iterable
from dataclasses import dataclass

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.fields import Field, Kind, Unit, ratios
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.sql import literal

SCHEMA_VERSION = 5

# 18 digits are one machine word in DuckDB; Meta gives money with at most the currency's own decimals, and values of
# actions with at most six. Twelve digits before the point hold a day's spend in any currency.
DECIMAL = "DECIMAL(18, 6)"

CHANGED_AT = "changed_at"
WITHHELD = "withheld_fields"
OTHER_FIELDS = "other_fields"
OTHER_WINDOWS = "other_windows"
SUPERSEDED_AT = "superseded_at"
VALID_TO = "valid_to"
# Sums of many rows need more digits than one row has.
SUM = "DECIMAL(38, 6)"

RECONCILIATION = "reconciliation"
RECOVERED_ROWS = "recovered_rows"
DRIFT = "drift"
HISTORY_THINNING = "history_thinning"
VIEWS = "views"
ACCOUNTS = "accounts"
PIPELINE = "pipeline"
"""The schema of the pipeline's own books."""
ACTIONS_TABLE = "insight_actions"
ACTIONS_KEY = ("level", "account_id", "entity_id", "date_start", "field", "action_type")


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    sql_type: str
    description: str
    required: bool = False
    """Never NULL."""
    formula: str | None = None
    """When given, the column is computed on reading and takes no space."""

    @property
    def definition(self) -> str:
        """Its line in CREATE TABLE."""
        if self.formula is not None:
            return f'"{self.name}" {self.sql_type} GENERATED ALWAYS AS ({self.formula}) VIRTUAL'
        return f'"{self.name}" {self.sql_type}' + (" NOT NULL" if self.required else "")


@dataclass(frozen=True)
class Table:
    """One table of the warehouse."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    description: str
    schema: str = "main"

    @property
    def full_name(self) -> str:
        """What a reader writes in a query."""
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"

    @property
    def stored(self) -> tuple[str, ...]:
        """Names of the columns that are written, without the computed ones."""
        return tuple(column.name for column in self.columns if column.formula is None)

    @property
    def values(self) -> tuple[str, ...]:
        """Names of the columns that tell whether a row has changed: all but the key and the time of the change."""
        return tuple(name for name in self.stored if name not in (*self.key, CHANGED_AT))

    def create_statements(self, database: str) -> list[str]:
        """CREATE TABLE and the comments that BI tools show; does nothing to a table that is there."""
        name = f'"{database}"."{self.schema}"."{self.name}"'
        lines = ", ".join(column.definition for column in self.columns)
        statements = [
            f"CREATE TABLE IF NOT EXISTS {name} ({lines})",
            f"COMMENT ON TABLE {name} IS {literal(self.description)}",
        ]
        statements += [
            f'COMMENT ON COLUMN {name}."{column.name}" IS {literal(column.description)}'
            for column in self.columns
            if column.description
        ]
        return statements


def fact_table(report: Report) -> Table:
    """The table of a report: one row a day and entity."""
    columns = [_field_column(field, required=field.name in report.key) for field in report.column_fields]
    present = {column.name for column in columns}
    columns += [
        Column(
            ratio.name,
            "DOUBLE",
            ratio.description + " Computed from this row.",
            formula=f'{ratio.scale} * "{ratio.numerator}"::DOUBLE / nullif("{ratio.denominator}", 0)',
        )
        for ratio in ratios()
        if {ratio.numerator, ratio.denominator} <= present
    ]
    columns += [
        _changed_at(),
        Column(
            WITHHELD,
            "VARCHAR",
            "Names of fields that Meta would not give for this row, separated by commas; NULL when it gave all.",
        ),
        Column(
            OTHER_FIELDS,
            "VARCHAR",
            "What Meta sent with this row and no column takes, as it wrote it: JSON text with sorted keys, by field; NULL when "
            "there is nothing. A field that stands here because its column cannot hold the value is NULL there.",
        ),
    ]
    return Table(report.name, report.key, tuple(columns), report.description)


def actions_table() -> Table:
    """The table of action lists in long form: one row per entity, day, field and action type."""
    columns = [
        Column("level", "VARCHAR", "Level of the entity: account, campaign, adset or ad.", required=True),
        Column("account_id", "VARCHAR", "Id of the ad account, without the prefix act_.", required=True),
        Column("entity_id", "VARCHAR", "Id of the account, campaign, ad set or ad.", required=True),
        Column("date_start", "DATE", "Day of the row, in the ad account's time zone.", required=True),
        Column("field", "VARCHAR", "The insights field, for example actions or action_values.", required=True),
        Column(
            "action_type",
            "VARCHAR",
            "What people did. Types overlap (purchase holds offsite_conversion.fb_pixel_purchase): never sum over types.",
            required=True,
        ),
        Column("value", DECIMAL, "Number or money under the ad set's own attribution setting."),
    ]
    columns += [
        Column(
            windows()[name].column,
            DECIMAL,
            f"Number or money counted {windows()[name].description}; NULL when Meta gave none.",
        )
        for name in default_windows()
    ]
    columns += [
        _changed_at(),
        Column(
            OTHER_WINDOWS,
            "VARCHAR",
            "Numbers by windows that have no column, as Meta wrote them: JSON text with sorted keys, each number a text; NULL "
            "when there is none.",
        ),
    ]
    description = "Actions and their values, one row per entity, day, field and action type."
    return Table(ACTIONS_TABLE, ACTIONS_KEY, tuple(columns), description)


def tables(reports: Iterable[Report] | None = None) -> tuple[Table, ...]:
    """Every table that readers are promised."""
    return (*(fact_table(report) for report in reports or builtin_reports()), actions_table())


def entity_table(kind: EntityKind) -> Table:
    """The table of a kind of entity: one row an entity, as it was when it was last seen."""
    columns = [
        Column(each.column, each.sql_type, each.comment, required=each.column in kind.key) for each in kind.attributes
    ]
    columns += [
        Column("is_deleted", "BOOLEAN", "Whether it is deleted; its row is kept for ever.", required=True),
        Column(
            "recovered",
            "VARCHAR",
            "How it was had when no list showed it: by_id, insights (Meta does not know the id; name and parents are those of "
            "its insights) or kept (Meta does not know the id; the values are the last ones seen). NULL when a list had it.",
        ),
        Column("valid_from", "TIMESTAMP", "When (UTC) this version was first seen.", required=True),
        Column("last_seen_at", "TIMESTAMP", "When (UTC) this version was last seen.", required=True),
    ]
    return Table(
        kind.value, kind.key, tuple(columns), f"One row for each {kind.noun}, deleted and archived ones included."
    )


def entity_history_table(kind: EntityKind) -> Table:
    """The table of the earlier versions of a kind of entity."""
    current = entity_table(kind)
    ended = Column(VALID_TO, "TIMESTAMP", "When (UTC) the next version was first seen.", required=True)
    return Table(
        f"{current.name}_history",
        (*current.key, "valid_from"),
        (*current.columns, ended),
        f"One row for each earlier version of each {kind.noun}: what held from valid_from until just before valid_to.",
    )


def entity_tables() -> tuple[Table, ...]:
    """The tables of the entities, each followed by that of its earlier versions."""
    return tuple(table for kind in EntityKind for table in (entity_table(kind), entity_history_table(kind)))


def reconciliation_table() -> Table:
    """The ledger: one row an account, day, level below the account and metric, from the last time they were compared."""
    columns = (
        Column("account_id", "VARCHAR", "Id of the ad account, without the prefix act_.", required=True),
        Column("date_start", "DATE", "Day that was compared, in the ad account's time zone.", required=True),
        Column("level", "VARCHAR", "Level that was added up: campaign, adset or ad.", required=True),
        Column("metric", "VARCHAR", "What was added up, for example spend, clicks or purchases.", required=True),
        Column("account_currency", "VARCHAR", "Currency of the values, ISO 4217; NULL for counts."),
        Column("account_value", SUM, "The account's own total; NULL when it is not there."),
        Column("level_sum", SUM, "Sum of all rows of the level; NULL when they are not there."),
        Column("residual", SUM, "account_value less level_sum; exactly 0 when both are equal."),
        Column(
            "status",
            "VARCHAR",
            "equal; explained; incomplete (a side is not there, or both are not of the same moment); or unexplained.",
            required=True,
        ),
        Column(
            "explanation",
            "VARCHAR",
            "deleted_ads_recovered, restated_between_calls, withheld_by_meta, not_collected, read_apart or unexplained; NULL "
            "when both are equal and there is nothing to explain.",
        ),
        Column(
            "residual_before",
            SUM,
            "The residual that is explained: without the recovered rows, or before both sides were read again.",
        ),
        Column("details", "VARCHAR", "The explanation as a sentence."),
        Column(
            "asked_again_at", "TIMESTAMP", "When (UTC) Meta was last asked about the residual; NULL when it never was."
        ),
        Column("checked_at", "TIMESTAMP", "When (UTC) both sides were last compared.", required=True),
        Column("run_id", "VARCHAR", "The run that compared them.", required=True),
    )
    return Table(
        RECONCILIATION,
        ("account_id", "date_start", "level", "metric"),
        columns,
        "Whether the rows of each level add up to the account's total, by account, day and metric, and if not, why.",
    )


def reconciliation_history_table() -> Table:
    """The earlier lines of the ledger."""
    ended = Column(SUPERSEDED_AT, "TIMESTAMP", "When (UTC) a comparison came to something else.", required=True)
    return Table(
        f"{RECONCILIATION}_history",
        (*reconciliation_table().key, SUPERSEDED_AT),
        (*reconciliation_table().columns, ended),
        f"Earlier lines of {RECONCILIATION}: what was said of a sum before its status, explanation or residual changed. The "
        "columns are those of the table; checked_at is when it was last said.",
    )


def history_table(table: Table) -> Table:
    """The table of the earlier versions of the rows of a table that readers are promised."""
    ended = Column(
        SUPERSEDED_AT,
        "TIMESTAMP",
        "When (UTC) the pipeline saw the next version of the row, or saw that the row was gone.",
        required=True,
    )
    columns = list(table.columns)
    # Where earlier versions of the schema have put it.
    columns.insert(-1 if columns[-1].name in (OTHER_FIELDS, OTHER_WINDOWS) else len(columns), ended)
    return Table(
        f"{table.name}_history",
        (*table.key, CHANGED_AT),
        tuple(columns),
        f"Earlier versions of the rows of {table.name}: what held from changed_at until just before superseded_at. "
        "The columns are those of the table.",
    )


def as_of_name(table: Table) -> str:
    """What a reader calls the macro that shows a table as it was known at a moment."""
    return f"{table.name}_as_of"


def as_of_statements(table: Table, database: str) -> list[str]:
    """The table macro that shows a table as it was known at a moment.

    DuckDB looks up the tables in a macro's body when the macro is made and again when it is used, and a database is called
    what each reader calls it. So the body names no database, and these statements need the one named here as the default.
    """
    name = f'"{database}"."{as_of_name(table)}"'
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    # Moments with a zone are taken as they are, whatever the reader's own zone; everything else is UTC.
    asked = (
        "(CASE WHEN typeof(ts) = 'TIMESTAMP WITH TIME ZONE' THEN make_timestamp(epoch_us(ts::TIMESTAMPTZ)) "
        "ELSE ts::TIMESTAMP END)"
    )
    # Of a thinned day the histories hold what its end shows and nothing else: at any other moment rows would be lacking.
    thinned = f"(SELECT max(thinned_before) FROM pipeline.{HISTORY_THINNING})"
    moment = (
        f"(CASE WHEN {asked} < {thinned} THEN date_trunc('day', {asked}) + INTERVAL 1 DAY - INTERVAL 1 MICROSECOND "
        f"ELSE {asked} END)"
    )
    current = f'SELECT {columns} FROM "{table.name}" WHERE {CHANGED_AT} <= {moment}'
    earlier = (
        f'SELECT {columns} FROM "{history_table(table).name}" '
        f"WHERE {CHANGED_AT} <= {moment} AND {SUPERSEDED_AT} > {moment}"
    )
    text = (
        f"{table.name} as the pipeline knew it at the moment ts (UTC); at the end of its day where the history of the day was "
        "thinned."
    )
    return [
        f"CREATE OR REPLACE MACRO {name}(ts) AS TABLE {current} UNION ALL {earlier}",
        f"COMMENT ON MACRO TABLE {name} IS {literal(text)}",
    ]


def create_schema_statements(database: str) -> list[str]:
    """Everything that a warehouse has, as statements that may be run again while `database` is the default one."""
    ledger = (reconciliation_table(), reconciliation_history_table())
    every = (*tables(), *map(history_table, tables()), *entity_tables(), *ledger, *book_tables())
    version = f'"{database}".{PIPELINE}.{_SCHEMA_VERSION}'
    return [
        f'CREATE SCHEMA IF NOT EXISTS "{database}".{PIPELINE}',
        *(statement for table in every for statement in table.create_statements(database)),
        f"INSERT INTO {version} SELECT {SCHEMA_VERSION} WHERE NOT EXISTS (FROM {version})",
        # The macros read one of the books.
        *(statement for table in tables() for statement in as_of_statements(table, database)),
    ]


_SCHEMA_VERSION = "schema_version"
_REPORT_DAY = (
    Column("report", "VARCHAR", "The report, called like its table.", required=True),
    Column("account_id", "VARCHAR", "Id of the ad account, without the prefix act_.", required=True),
    Column("date_start", "DATE", "Day, in the ad account's time zone.", required=True),
)


def book_tables() -> tuple[Table, ...]:
    """What the pipeline notes for itself and for whoever asks how fresh and whole the data is."""
    return (
        _book(
            _SCHEMA_VERSION,
            (),
            (Column("version", "INTEGER", "The version.", required=True),),
            "Of which version the tables are; a program of a later one brings them up to its own.",
        ),
        _book(
            VIEWS,
            (),
            (Column("fingerprint", "VARCHAR", "A hash of the statements.", required=True),),
            "Of which statements the views are made; where the program has other ones, it makes the views again.",
        ),
        _book(
            "source",
            (),
            (Column("mode", "VARCHAR", "live, or stub for a simulated world.", required=True),),
            "Where the rows come from: live, or stub for a simulated world; never both.",
        ),
        _book(
            "coverage",
            ("report", "account_id", "date_start"),
            (
                *_REPORT_DAY,
                Column("collected_at", "TIMESTAMP", "When (UTC) the day was last collected whole.", required=True),
                Column("run_id", "VARCHAR", "The run that collected it.", required=True),
                Column("row_count", "BIGINT", "How many rows Meta had for it.", required=True),
            ),
            "When each (report, account, day) was last collected whole, in UTC, and how many rows Meta had for it.",
        ),
        _book(
            "missing",
            ("report", "account_id", "date_start"),
            (
                *_REPORT_DAY,
                Column(
                    "noticed_at",
                    "TIMESTAMP",
                    "When (UTC) a sync last asked for it and could not get it.",
                    required=True,
                ),
                Column("run_id", "VARCHAR", "The run that asked.", required=True),
                Column("reason", "VARCHAR", "Why, as a sentence.", required=True),
                Column("retry_at", "TIMESTAMP", "When (UTC) it is asked for again; NULL when it is not by itself."),
                Column("kind", "VARCHAR", "deferred, refused, unavailable or failed.", required=True),
            ),
            "What a sync asked for and could not get; a later sync that gets it removes the line. kind: deferred (asked for "
            "again by itself at retry_at, in UTC), refused (the account is closed to us), unavailable (Meta does not give the "
            "day) or failed.",
        ),
        _book(
            RECOVERED_ROWS,
            ("report", "account_id", "date_start", "entity_id"),
            (
                *_REPORT_DAY,
                Column("entity_id", "VARCHAR", "Id of the campaign, ad set or ad that the row is of.", required=True),
                Column("recovered_at", "TIMESTAMP", "When (UTC) the row was last asked for.", required=True),
                Column("run_id", "VARCHAR", "The run that asked for it.", required=True),
            ),
            "Rows of insights that no report listed and that were asked for by themselves, since the level did not add up to "
            "the account's total without them; recovered_at (UTC) is when they were last asked for.",
        ),
        _book(
            DRIFT,
            ("kind", "report", "name"),
            (
                Column("kind", "VARCHAR", "Of which kind it is: see the table.", required=True),
                Column("report", "VARCHAR", "The report with which it came, called like its table.", required=True),
                Column("name", "VARCHAR", "What Meta calls it.", required=True),
                Column("first_seen_at", "TIMESTAMP", "When (UTC) it was first seen.", required=True),
                Column("last_seen_at", "TIMESTAMP", "When (UTC) it was last seen.", required=True),
                Column("run_id", "VARCHAR", "The run that saw it first.", required=True),
                Column("account_id", "VARCHAR", "Id of the ad account with which it came first.", required=True),
                Column("example", "VARCHAR", "What came first, as Meta wrote it; NULL for action types."),
                Column(
                    "is_new",
                    "BOOLEAN",
                    "Whether it is not one of the action types that came with the first rows of the report.",
                    required=True,
                ),
            ),
            "What Meta sent beside what was asked for, and every action type, each with when (UTC) and in which run and account "
            "it was first seen. kind: field, window, action_key, action, value (no column takes them), left_out (too large to be "
            "kept) or action_type. is_new: not one of the action types that came with the first rows of the report.",
        ),
        _book(
            HISTORY_THINNING,
            (),
            (
                Column("thinned_at", "TIMESTAMP", "When (UTC) the histories were last thinned.", required=True),
                Column(
                    "thinned_before",
                    "TIMESTAMP",
                    "Of days (UTC) before this one the histories keep what the day's end shows.",
                    required=True,
                ),
            ),
            "When (UTC) the histories were last thinned. Of days (UTC) before thinned_before they keep what the day's end shows, "
            "so that the as_of tables take a moment of such a day for its end.",
        ),
        _book(
            ACCOUNTS,
            ("account_id",),
            (
                Column("account_id", "VARCHAR", "Id of the ad account, without the prefix act_.", required=True),
                Column("name", "VARCHAR", "Name of the ad account."),
                Column("currency", "VARCHAR", "Currency of the ad account, ISO 4217."),
                Column(
                    "timezone_name", "VARCHAR", "IANA name of the time zone in which the account's days begin and end."
                ),
                Column("seen_at", "TIMESTAMP", "When (UTC) it was last found.", required=True),
                Column("run_id", "VARCHAR", "The run that found it.", required=True),
            ),
            "Every ad account that a sync of insights has found, with its currency and time zone, and when (UTC) it was last "
            "found. Of accounts that only rows are of, the time zone is not known.",
        ),
        _book(
            "entity_listings",
            ("account_id",),
            (
                Column("account_id", "VARCHAR", "Id of the ad account, without the prefix act_.", required=True),
                Column("listed_at", "TIMESTAMP", "When (UTC) everything was last listed.", required=True),
                Column("run_id", "VARCHAR", "The run that listed it.", required=True),
            ),
            "When (UTC) all campaigns, ad sets and ads of each account were last listed.",
        ),
        _book(
            "missing_entities",
            ("account_id", "table_name", "entity_id"),
            (
                Column("account_id", "VARCHAR", "Id of the ad account, without the prefix act_.", required=True),
                Column("table_name", "VARCHAR", "The table that lacks it.", required=True),
                Column("entity_id", "VARCHAR", "Id of the entity; NULL for a list as a whole."),
                Column("noticed_at", "TIMESTAMP", "When (UTC) it was asked for and could not be had.", required=True),
                Column("run_id", "VARCHAR", "The run that asked.", required=True),
                Column("reason", "VARCHAR", "Why, as a sentence.", required=True),
            ),
            "Entities that the last refreshes asked for and could not get; entity_id is NULL for a list as a whole.",
        ),
    )


def _book(name: str, key: tuple[str, ...], columns: tuple[Column, ...], description: str) -> Table:
    return Table(name, key, columns, description, PIPELINE)


def _field_column(field: Field, *, required: bool) -> Column:
    return Column(field.name, _sql_type(field), field.description or f"Meta's field {field.name}.", required=required)


def _sql_type(field: Field) -> str:
    if field.unit is Unit.DATE:
        return "DATE"
    if field.kind is Kind.TEXT:
        return "VARCHAR"
    return "BIGINT" if field.unit is Unit.COUNT else DECIMAL


def _changed_at() -> Column:
    return Column(
        CHANGED_AT, "TIMESTAMP", "When (UTC) the pipeline last saw a value of this row change.", required=True
    )
