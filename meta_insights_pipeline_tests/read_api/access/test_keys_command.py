"""`meta-insights keys` as a user and a script meet it."""

import json
import re
from pathlib import Path

import pytest

from meta_insights_pipeline.cli import keys
from meta_insights_pipeline_tests.check_docs import ROOT, section, table_rows
from meta_insights_pipeline_tests.processes import environment, run_command

KEY = re.compile(r"mik_([0-9a-f]{12})_([0-9a-f]{64})\n")


class Shell:
    """A terminal with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `meta-insights keys`; gives stdout, or the one sentence of an error."""
        done = run_command(["keys", *arguments], environment(self.home), self.folder)
        assert done.returncode == code, done.stderr
        if code == 0:
            assert done.stderr == ""
            return done.stdout
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("meta-insights: ")
        return line

    def make(self, *arguments: str) -> tuple[str, str]:
        """Make a key; gives its id and its secret."""
        printed = KEY.fullmatch(self.run("create", *arguments))
        assert printed, "the key, and only it"
        return printed[1], printed[2]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.slow
def test_a_key_is_made_listed_and_revoked_and_its_secret_is_shown_once(shell: Shell) -> None:
    options = ("--name", "the dashboard", "--role", "operator", "--account", "act_22", "--account", "1", "--days", "30")
    key_id, secret = shell.make(*options)
    other, _ = shell.make("--name", "all", "--role", "viewer")
    listed = json.loads(shell.run("list", "--json"))["keys"]
    (one,) = (key for key in listed if key["id"] == key_id)
    assert {name: one[name] for name in ("name", "role", "accounts", "state", "revoked_at", "last_used_at")} == {
        "name": "the dashboard",
        "role": "operator",
        "accounts": ["1", "22"],
        "state": "active",
        "revoked_at": None,
        "last_used_at": None,
    }
    assert one["expires_at"] > one["created_at"]
    assert "is revoked now" in shell.run("revoke", key_id)
    assert "was revoked before" in shell.run("revoke", key_id)
    table = shell.run("list").splitlines()
    assert table[0].split()[:5] == ["id", "name", "role", "accounts", "state"]
    assert {line.split("  ")[0]: "revoked" in line for line in table[1:]} == {key_id: True, other: False}
    audit = json.loads(shell.run("audit", "--json"))["entries"]
    assert [(entry["action"], entry["details"]["key"]) for entry in audit] == [
        *(("key created", key_id), ("key created", other)),
        ("key revoked", key_id),
    ]
    assert all(entry["principal"].startswith("user:") for entry in audit)
    assert len(shell.run("audit", "--last", "1").splitlines()) == 2
    everything = [shell.run(*command) for command in (["list"], ["list", "--json"], ["audit"], ["audit", "--json"])]
    assert secret not in "".join(everything)


@pytest.mark.slow
def test_a_key_that_was_found_somewhere_can_be_revoked_as_it_is(shell: Shell) -> None:
    key_id, secret = shell.make("--name", "leaked", "--role", "admin")
    said = shell.run("revoke", f"mik_{key_id}_{secret}")
    assert key_id in said
    assert secret not in said


@pytest.mark.slow
def test_without_keys_the_lists_say_so_and_make_no_file(shell: Shell) -> None:
    assert "keys create makes one" in shell.run("list")
    assert json.loads(shell.run("list", "--json")) == {"keys": []}
    assert "Nothing is recorded yet" in shell.run("audit")
    assert json.loads(shell.run("audit", "--json")) == {"entries": []}
    assert "There is no key 0123456789ab" in shell.run("revoke", "0123456789ab", code=2)
    assert not shell.home.exists()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["create", "--name", "k", "--role", "root"], "--role is 'root'"),
        (["create", "--name", " ", "--role", "viewer"], "--name"),
        (["create", "--role", "viewer"], "--name"),
        (["create", "--name", "k"], "--role"),
        (["create", "--name", "k", "--role", "viewer", "--account", "shop"], "--account"),
        (["create", "--name", "k", "--role", "viewer", "--days", "0"], "--days"),
        (["revoke", "mik_0123_secret"], "There is no key of this form"),
        (["audit", "--last", "0"], "--last"),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_option_and_makes_no_key(
    shell: Shell, arguments: list[str], names: str
) -> None:
    said = shell.run(*arguments, code=2)
    assert names in said
    assert "secret" not in said
    assert not shell.home.exists()


@pytest.mark.slow
def test_a_broken_file_is_one_sentence_and_stays(shell: Shell) -> None:
    shell.home.mkdir()
    file = shell.home / "access.sqlite"
    file.write_bytes(b"broken" * 1000)
    file.chmod(0o600)
    for arguments in (["list"], ["audit"], ["revoke", "0123456789ab"], ["create", "--name", "k", "--role", "viewer"]):
        assert "is damaged" in shell.run(*arguments, code=1)
    assert file.read_bytes() == b"broken" * 1000


def test_every_option_is_in_the_document_and_no_other() -> None:
    text = (ROOT / "docs" / "access.md").read_text("utf-8")
    for name, command in keys.commands.items():
        part = section(text, f"### `meta-insights keys {name}`")
        assert part is not None, f"there is no section for keys {name}"
        known = {option for one in command.params for option in one.opts if option.startswith("--")}
        assert {row for row in table_rows(part) if row.startswith("--")} == known
