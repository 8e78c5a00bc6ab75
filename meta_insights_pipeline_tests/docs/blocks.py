"""The fenced blocks of the documents, and the comments that say how a block is treated."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

RUN_LANGUAGES = ("sh", "sql", "python")
_FENCE = re.compile(r"^(`{3,})(\w*)$")
_COMMENT = re.compile(r"^<!-- (not run|live|may be empty)(?:: (.*?))? -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: str
    """Path relative to the root."""
    line: int
    """Of the opening fence."""
    language: str
    text: str
    treatment: str = ""
    """`not run`, `live`, `may be empty`, or nothing: it is run like the others."""
    reason: str = ""
    prints: str | None = None
    """What it prints, when the document says so: the word `prints` and a block of text after it."""

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.document}:{self.line}"


def read_blocks(document: str, text: str) -> list[Block]:
    """The fenced blocks of a document; a comment counts for a block when it stands on the line above."""
    blocks: list[Block] = []
    lines = text.splitlines()
    at = end = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        between = [line for line in lines[end:at] if line]
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == fence[1]), -1)
        assert end > 0, f"{document}:{at + 1}: the block does not end"
        comment = _COMMENT.match(lines[at - 1]) if at else None
        treatment, reason = (comment[1], comment[2] or "") if comment else ("", "")
        inside = "\n".join(lines[at + 1 : end])
        if fence[2] == "text" and between == ["prints"]:
            blocks[-1] = replace(blocks[-1], prints=inside)
        blocks.append(Block(document, at + 1, fence[2], inside, treatment, reason))
        at = end = end + 1
    return blocks


def all_blocks(root: Path) -> list[Block]:
    """The blocks of README.md and docs/, in their order."""
    names = ["README.md", *sorted(file.relative_to(root).as_posix() for file in (root / "docs").glob("*.md"))]
    return [block for name in names for block in read_blocks(name, (root / name).read_text("utf-8"))]


def simulate_arguments(blocks: list[Block]) -> list[str]:
    """The options with which a document starts the simulator; none when it does not say."""
    for block in blocks:
        found = re.search(r"^meta-insights simulate(.*)$", block.text, re.MULTILINE)
        if block.treatment == "not run" and found:
            return found[1].split()
    return []
