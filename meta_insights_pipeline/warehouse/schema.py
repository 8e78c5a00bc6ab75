"""The tables, derived from the catalogue: columns with type and description, and the statements that create them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
# Sums of many rows need more digits than one row has.
SUM = "DECIMAL(38, 6)"

RECONCILIATION = "reconciliation"
RECOVERED_ROWS = "recovered_rows"
DRIFT = "drift"
HISTORY_THINNING = "history_thinning"
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
        name = f'"{database}"."{self.name}"'
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
    ended = Column("valid_to", "TIMESTAMP", "When (UTC) the next version was first seen.", required=True)
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
    # Described once, as those of the tables of insights.
    columns = tuple(replace(column, description="") for column in reconciliation_table().columns)
    return Table(
        f"{RECONCILIATION}_history",
        (*reconciliation_table().key, SUPERSEDED_AT),
        (*columns, ended),
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
    # Described once: each comment is a statement, and costs a new warehouse a third of a millisecond.
    columns = [replace(column, description="") for column in table.columns]
    # Where earlier versions of the schema have put it.
    columns.insert(-1 if columns[-1].name in (OTHER_FIELDS, OTHER_WINDOWS) else len(columns), ended)
    return Table(
        f"{table.name}_history",
        (*table.key, CHANGED_AT),
        tuple(columns),
        f"Earlier versions of the rows of {table.name}: what held from changed_at until just before superseded_at. "
        "The columns are those of the table.",
    )


def as_of_statements(table: Table, database: str) -> list[str]:
    """The table macro that shows a table as it was known at a moment.

    DuckDB looks up the tables in a macro's body when the macro is made and again when it is used, and a database is called
    what each reader calls it. So the body names no database, and these statements need the one named here as the default.
    """
    name = f'"{database}"."{table.name}_as_of"'
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
    every = (*tables(), *map(history_table, tables()), *entity_tables(), *ledger)
    statements = [statement for table in every for statement in table.create_statements(database)]
    pipeline = f'"{database}".pipeline'
    statements += [
        f"CREATE SCHEMA IF NOT EXISTS {pipeline}",
        f"CREATE TABLE IF NOT EXISTS {pipeline}.schema_version (version INTEGER NOT NULL)",
        f"INSERT INTO {pipeline}.schema_version SELECT {SCHEMA_VERSION} WHERE NOT EXISTS (FROM {pipeline}.schema_version)",
    ]
    for name, (columns, text) in _BOOKS.items():
        statements.append(f"CREATE TABLE IF NOT EXISTS {pipeline}.{name} ({columns})")
        statements.append(f"COMMENT ON TABLE {pipeline}.{name} IS {literal(text)}")
    # The macros read one of the books.
    return statements + [statement for table in tables() for statement in as_of_statements(table, database)]


_REPORT_DAY = "report VARCHAR NOT NULL, account_id VARCHAR NOT NULL, date_start DATE NOT NULL"
# What the pipeline notes for itself and for whoever asks how fresh and whole the data is.
_BOOKS = {
    "source": ("mode VARCHAR NOT NULL", "Where the rows come from: live, or stub for a simulated world; never both."),
    "coverage": (
        f"{_REPORT_DAY}, collected_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL, row_count BIGINT NOT NULL",
        "When each (report, account, day) was last collected whole, in UTC, and how many rows Meta had for it.",
    ),
    "missing": (
        (
            f"{_REPORT_DAY}, noticed_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL, reason VARCHAR NOT NULL, "
            "retry_at TIMESTAMP, kind VARCHAR NOT NULL"
        ),
        (
            "What a sync asked for and could not get; a later sync that gets it removes the line. kind: deferred (asked for "
            "again by itself at retry_at, in UTC), refused (the account is closed to us) or failed."
        ),
    ),
    RECOVERED_ROWS: (
        f"{_REPORT_DAY}, entity_id VARCHAR NOT NULL, recovered_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL",
        (
            "Rows of insights that no report listed and that were asked for by themselves, since the level did not add up to "
            "the account's total without them; recovered_at (UTC) is when they were last asked for."
        ),
    ),
    DRIFT: (
        (
            "kind VARCHAR NOT NULL, report VARCHAR NOT NULL, name VARCHAR NOT NULL, first_seen_at TIMESTAMP NOT NULL, "
            "last_seen_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL, account_id VARCHAR NOT NULL, example VARCHAR, "
            "is_new BOOLEAN NOT NULL"
        ),
        (
            "What Meta sent beside what was asked for, and every action type, each with when (UTC) and in which run and account "
            "it was first seen. kind: field, window, action_key, action, value (no column takes them), left_out (too large to be "
            "kept) or action_type. is_new: not one of the action types that came with the first rows of the report."
        ),
    ),
    HISTORY_THINNING: (
        "thinned_at TIMESTAMP NOT NULL, thinned_before TIMESTAMP NOT NULL",
        (
            "When (UTC) the histories were last thinned. Of days (UTC) before thinned_before they keep what the day's end shows, "
            "so that the as_of tables take a moment of such a day for its end."
        ),
    ),
    "accounts": (
        (
            "account_id VARCHAR NOT NULL, name VARCHAR, currency VARCHAR, timezone_name VARCHAR, seen_at TIMESTAMP NOT NULL, "
            "run_id VARCHAR NOT NULL"
        ),
        "Every ad account that a sync has found, with its currency and time zone, and when (UTC) it was last found.",
    ),
    "entity_listings": (
        "account_id VARCHAR NOT NULL, listed_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL",
        "When (UTC) all campaigns, ad sets and ads of each account were last listed.",
    ),
    "missing_entities": (
        (
            "account_id VARCHAR NOT NULL, table_name VARCHAR NOT NULL, entity_id VARCHAR, noticed_at TIMESTAMP NOT NULL, "
            "run_id VARCHAR NOT NULL, reason VARCHAR NOT NULL"
        ),
        "Entities that the last refreshes asked for and could not get; entity_id is NULL for a list as a whole.",
    ),
}


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
