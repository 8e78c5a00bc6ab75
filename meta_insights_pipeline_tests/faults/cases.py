"""All cases in the order of docs/faults.md, and the tables that stand there.

`test_faults` runs each case against the simulator over HTTP.
"""

from dataclasses import replace

from meta_insights_pipeline_tests.faults import answers, calls
from meta_insights_pipeline_tests.faults.case import Case
from meta_insights_pipeline_tests.faults.stage import EVERY_LEVEL

# One of each sort; the others are collected at ad level alone, which takes half the time and is done in the same way.
AT_EVERY_LEVEL = frozenset(
    {
        "limit-17-bare",
        "trouble-lasting",
        "cut",
        "reset-lasting",
        "job-failed",
        "stuck-below-100-lasting",
        "reduce-codes",
        "page-short",
        "row-twice",
        "unknown-field",
        "token-halfway",
        "permission-10-200",
    }
)


def groups() -> tuple[tuple[str, tuple[Case, ...]], ...]:
    """All cases, in the order of the documentation."""
    return tuple((title, tuple(map(_at_its_levels, cases))) for title, cases in _groups())


def _at_its_levels(case: Case) -> Case:
    return replace(case, levels=EVERY_LEVEL) if case.id in AT_EVERY_LEVEL else case


def _groups() -> tuple[tuple[str, tuple[Case, ...]], ...]:
    return (
        ("Limits of calls", calls.limit_cases()),
        ("Meta's own trouble", calls.trouble_cases()),
        ("No usable answer", calls.silence_cases()),
        ("Reports", answers.report_cases()),
        ("Too much data", answers.size_cases()),
        ("Pages", answers.page_cases()),
        ("Values", answers.value_cases()),
        ("The token", calls.token_cases()),
        ("Permissions and accounts", calls.permission_cases()),
        ("Versions", calls.version_cases()),
        ("Batches", calls.batch_cases()),
    )


def fault_tables() -> str:
    """The cases as docs/faults.md shows them."""
    lines = []
    for title, cases in groups():
        lines += [f"### {title}", "", "| what Meta does | what the pipeline does | what you see | case |"]
        lines.append("| --- | --- | --- | --- |")
        for case in cases:
            sees = f"{case.outcome.value}; {case.sees}" if case.sees else case.outcome.value
            lines.append(f"| {case.meta} | {case.does} | {sees} | `{case.id}` |")
        lines.append("")
    return "\n".join(lines).strip()
