"""The tables, derived from the catalogue: columns with type and description, and the statements that create them."""

from collections.abc import Iterable
from dataclasses import dataclass

from meta_insights_pipeline.catalog.fields import Field, Kind, Unit, ratios
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse.sql import literal

SCHEMA_VERSION = 1

# 18 digits are one machine word in DuckDB; Meta gives money with at most the currency's own decimals, and values of
# actions with at most six. Twelve digits before the point hold a day's spend in any currency.
DECIMAL = "DECIMAL(18, 6)"

CHANGED_AT = "changed_at"
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
            f'COMMENT ON COLUMN {name}."{column.name}" IS {literal(column.description)}' for column in self.columns
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
    columns.append(_changed_at())
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
    columns.append(_changed_at())
    description = "Actions and their values, one row per entity, day, field and action type."
    return Table(ACTIONS_TABLE, ACTIONS_KEY, tuple(columns), description)


def tables(reports: Iterable[Report] | None = None) -> tuple[Table, ...]:
    """Every table that readers are promised."""
    return (*(fact_table(report) for report in reports or builtin_reports()), actions_table())


def create_schema_statements(database: str) -> list[str]:
    """Everything that a warehouse has, as statements that may be run again."""
    statements = [statement for table in tables() for statement in table.create_statements(database)]
    pipeline = f'"{database}".pipeline'
    statements += [
        f"CREATE SCHEMA IF NOT EXISTS {pipeline}",
        f"CREATE TABLE IF NOT EXISTS {pipeline}.schema_version (version INTEGER NOT NULL)",
        f"INSERT INTO {pipeline}.schema_version SELECT {SCHEMA_VERSION} WHERE NOT EXISTS (FROM {pipeline}.schema_version)",
    ]
    for name, (columns, text) in _BOOKS.items():
        statements.append(f"CREATE TABLE IF NOT EXISTS {pipeline}.{name} ({columns})")
        statements.append(f"COMMENT ON TABLE {pipeline}.{name} IS {literal(text)}")
    return statements


_REPORT_DAY = "report VARCHAR NOT NULL, account_id VARCHAR NOT NULL, date_start DATE NOT NULL"
# What the pipeline notes for itself and for whoever asks how fresh and whole the data is.
_BOOKS = {
    "source": ("mode VARCHAR NOT NULL", "Where the rows come from: live, or stub for a simulated world; never both."),
    "coverage": (
        f"{_REPORT_DAY}, collected_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL, row_count BIGINT NOT NULL",
        "When each (report, account, day) was last collected whole, in UTC, and how many rows Meta had for it.",
    ),
    "missing": (
        f"{_REPORT_DAY}, noticed_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL, reason VARCHAR NOT NULL",
        "What a sync asked for and could not get; a later sync that gets it removes the line.",
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
