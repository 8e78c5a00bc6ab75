"""The receipt of a replay: what was rebuilt, what was taken over, what could not be used. A value, and its file."""

import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

# So many files are named to a person; the receipt has all.
_TOLD = 3


class RebuiltTable(BaseModel):
    """One table of the rebuilt warehouse."""

    model_config = ConfigDict(frozen=True)

    rows: int
    earlier_versions: int


class LeftOut(BaseModel):
    """An archived file that could not be used."""

    model_config = ConfigDict(frozen=True)

    file: str
    reason: str


class ReplayReceipt(BaseModel):
    """The receipt of one replay."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    mode: str
    state: str
    """`complete`, or `partial` when some archived file could not be used."""
    started_at: datetime
    finished_at: datetime
    archive: str
    files: int
    """Archived answers that were merged."""
    merges: int
    """Transactions of syncs that they came from."""
    tables: dict[str, RebuiltTable]
    days_taken_over: int
    """Days of reports of accounts that are as the earlier warehouse had them, since it knows more of them than the archive."""
    accounts_taken_over: int
    """Accounts whose campaigns, ad sets, ads and creatives are as the earlier warehouse had them."""
    left_out: tuple[LeftOut, ...]
    backup: str | None
    """The earlier warehouse; None when there was none."""
    published: bool
    snapshot: str

    def as_text(self) -> str:
        """For a person: what was rebuilt, table by table, and where everything is."""
        seconds = (self.finished_at - self.started_at).total_seconds()
        lines = [
            f"{self.files:,} archived answers of {self.merges:,} merges, {seconds:.1f} s",
            "",
            f"{'table':<20}{'rows':>12}{'earlier versions':>18}",
        ]
        lines += [f"{name:<20}{table.rows:>12,}{table.earlier_versions:>18,}" for name, table in self.tables.items()]
        lines.append("")
        if self.days_taken_over:
            lines.append(f"As they were before: {self.days_taken_over:,} days of a report of an account")
        if self.accounts_taken_over:
            lines.append(f"As they were before: campaigns, ad sets and ads of {self.accounts_taken_over:,} accounts")
        if self.backup:
            lines.append(f"The warehouse before: {self.backup}")
        lines.append(f"Data for readers: {self.snapshot}")
        return "\n".join(lines)

    def left_out_text(self) -> str:
        """What could not be used, as sentences."""
        named = " ".join(f"{one.file}: {one.reason}." for one in self.left_out[:_TOLD])
        more = f" And {len(self.left_out) - _TOLD} more, see the receipt." if len(self.left_out) > _TOLD else ""
        kept = "their days are as they were before" if self.backup else "their days are as far as other files tell"
        return f"{len(self.left_out)} archived files could not be used, and {kept}; everything else is rebuilt. {named}{more}"

    def save(self, folder: Path) -> Path:
        """Write it below a folder, whole or not at all, and say where."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.run_id}.json"
        draft = file.with_suffix(f".draft-{os.getpid()}")
        draft.write_text(self.model_dump_json(indent=2) + "\n", "utf-8")
        draft.replace(file)
        return file
