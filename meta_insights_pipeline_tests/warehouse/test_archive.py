"""The archive: what a file holds and tells, how it comes in whole or not at all, what goes out and when."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, MissingEntity, Value
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive, ArchivedFile
from meta_insights_pipeline.warehouse.archive_files import DamagedFileError, open_file, write_file
from meta_insights_pipeline.warehouse.archive_names import (
    MergedName,
    Question,
    by_id,
    read_merged,
    read_question,
    superfluous,
)
from meta_insights_pipeline.warehouse.archive_settling import settle
from meta_insights_pipeline.warehouse.archived_entities import read_batch, write_batch
from meta_insights_pipeline.warehouse.archived_pages import OtherReportError, read_pages, write_pages
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS
from meta_insights_pipeline.warehouse.recovered import Asked
from meta_insights_pipeline.warehouse.staging import PageFile, Slice
from meta_insights_pipeline_tests.archived_home import CAMPAIGNS, FORM, Answer, ArchivedHome, campaign_row

DAY = date(2026, 11, 20)
ASKED = datetime(2026, 11, 20, 8, 30, 15, 123456, tzinfo=UTC)
MERGED = datetime(2026, 11, 20, 8, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)


def content(file: Path) -> tuple[dict[str, object], list[bytes]]:
    with open_file(file) as (header, blobs):
        return header, list(blobs)


def put(archive: Archive, question: Question, text: bytes, report: str = "ad_insights", account: str = "1") -> Path:
    """Archive some text as an answer, merged a minute later."""
    intake = archive.intake(f"run-{question.collected_at:%d-%H%M}")
    intake.add(account, report, question, lambda file: write_file(file, {}, [text], [len(text)]))
    intake.settle(question.collected_at + timedelta(minutes=1))
    (file,) = [
        each.path for each in archive.files() if isinstance(each, ArchivedFile) and each.name.question == question
    ]
    return file


# ---- names ----


def test_a_name_begins_with_the_day_and_tells_everything_that_differs_between_equal_answers() -> None:
    question = Question(ASKED, DAY, DAY + timedelta(days=1))
    name = question.merged_name(MERGED, "a-run_with_lines")
    assert name == ("2026-11-20T083015.123456Z_2026-11-20_2026-11-21_2026-11-20T083100.000000Z_a-run_with_lines.zst")
    assert read_merged(name) == MergedName(question, MERGED, "a-run_with_lines")
    assert read_question(question.file_name) == question


def test_names_of_refreshes_of_entities_have_no_days() -> None:
    question = Question(ASKED)
    assert read_merged(question.merged_name(MERGED, "run")) == MergedName(question, MERGED, "run")


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "2026-11-20.zst",
        Question(ASKED, DAY, DAY).file_name,
        "2026-13-20T083015.123456Z_2026-11-20T083100.000000Z_run.zst",
        "2026-11-20T083015.123456Z_2026-11-21_2026-11-20_2026-11-20T083100.000000Z_run.zst",
        "2026-11-20T083015.123456Z_2026-11-31_2026-12-01_2026-11-20T083100.000000Z_run.zst",
    ],
)
def test_other_names_are_no_names(name: str) -> None:
    assert read_merged(name) is None


# ---- what a file holds ----


def test_a_file_holds_its_parts_byte_by_byte_and_people_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "file.zst"
    parts = [b'[{"name": "line\\nbreak"}]', b"", b"[\n]"]
    write_file(file, {"mode": "live"}, parts, map(len, parts))
    header, blobs = content(file)
    assert header == {"format": 1, "mode": "live", "sizes": [25, 0, 3]}
    assert blobs == parts
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes()).splitlines()
    assert json.loads(lines[0]) == header
    assert lines[1] == parts[0]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-1],
        lambda data: data[:-5],
        lambda data: data[: len(data) // 2],
        lambda data: data[:0],
        lambda data: data + b"more",
        lambda data: data[:-30] + bytes([data[-30] ^ 1]) + data[-29:],
        lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
    ],
)
def test_a_file_that_is_cut_off_or_altered_anywhere_is_damaged(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "file.zst"
    text = os.urandom(5000).hex().encode()
    write_file(file, {}, [text], [len(text)])
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(DamagedFileError):
        content(file)


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON\n",
        b"no end of the first line",
        b"[]\n",
        b'{"sizes":[1]}\nx\n',
        b'{"format":1,"sizes":"x"}\nx\n',
        b'{"format":2,"sizes":[1]}\nx\n',
        b'{"format":1,"sizes":[1]}\nxy\n',
        b'{"format":1,"sizes":[1]}\nx\nx\n',
    ],
)
def test_a_whole_frame_with_something_else_in_it_is_damaged(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "file.zst"
    file.write_bytes(text)
    with pytest.raises(DamagedFileError, match="decompressed"):
        content(file)
    file.write_bytes(zstandard.ZstdCompressor().compress(text))
    with pytest.raises(DamagedFileError):
        content(file)


def test_a_folder_in_place_of_a_file_is_damaged_and_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError):
        content(tmp_path)
    with pytest.raises(FileNotFoundError):
        content(tmp_path / "nothing")


def archived(home: ArchivedHome, pages: list[PageFile], part: Slice) -> ArchivedFile:
    question = Question(part.collected_at, part.since, part.until)
    file = home.folder / question.merged_name(MERGED, "run")
    write_pages(file, part, pages, **FORM)
    return ArchivedFile(file, part.account_id, part.report.name, MergedName(question, MERGED, "run"))


def test_pages_come_back_with_their_groups_of_fields_and_what_meta_withheld(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    part = Slice(CAMPAIGNS, "1", DAY, DAY, ASKED, withheld=("reach",))
    groups = {("impressions", "spend"): b'[{"impressions":"1"}]', ("clicks",): b'[{"clicks":"2"}]'}
    pages = []
    for number, (fields, text) in enumerate(groups.items()):
        path = tmp_path / f"{number}.json"
        path.write_bytes(text)
        pages.append(PageFile(path, fields))
    folder = tmp_path / "unpacked"
    folder.mkdir()
    file = archived(home, pages, part)
    found = read_pages(file, CAMPAIGNS, folder)
    assert found.part == part
    assert [(page.fields, page.path.read_bytes()) for page in found.files] == list(groups.items())
    header, _ = content(file.path)
    assert header["report"] == CAMPAIGNS.model_dump(mode="json")
    assert header["api_version"] == "v26.0"


def test_a_page_with_all_fields_is_asked_of_the_report_as_a_whole(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    answer = Answer(ASKED, DAY, DAY, [campaign_row("c1", DAY)])
    (tmp_path / "unpacked").mkdir()
    found = read_pages(archived(home, home.pages(answer), answer.part), CAMPAIGNS, tmp_path / "unpacked")
    assert found.part == answer.part
    assert [page.fields for page in found.files] == [None]


def test_a_field_that_was_not_asked_for_and_did_not_come_is_withheld_today(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    answer = Answer(ASKED, DAY, DAY, [campaign_row("c1", DAY)])
    (tmp_path / "unpacked").mkdir()
    today = CAMPAIGNS.model_copy(update={"fields": (*CAMPAIGNS.fields, "social_spend")})
    found = read_pages(archived(home, home.pages(answer), answer.part), today, tmp_path / "unpacked")
    assert found.part.withheld == ("social_spend",)
    assert [page.fields for page in found.files] == [CAMPAIGNS.fields]


def test_a_field_that_came_unasked_is_among_the_fields_of_today(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    answer = Answer(ASKED, DAY, DAY, [campaign_row("c1", DAY, social_spend="3"), campaign_row("c2", DAY)])
    (tmp_path / "unpacked").mkdir()
    today = CAMPAIGNS.model_copy(update={"fields": (*CAMPAIGNS.fields, "social_spend")})
    found = read_pages(archived(home, home.pages(answer), answer.part), today, tmp_path / "unpacked")
    assert found.part.withheld == ()
    assert [page.fields for page in found.files] == [None]


def test_what_nodes_answered_comes_back_with_their_ids_and_the_days_in_question(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    answer = Answer(ASKED, DAY, DAY + timedelta(days=2), [campaign_row("c1", DAY)])
    asked = Asked(Level.CAMPAIGN, {"1": ("c1", "c2"), "2": ("c3",)}, [("1", answer.until), ("1", DAY), ("2", DAY)])
    name = MergedName(Question(ASKED, answer.since, answer.until), MERGED, "run")
    file = ArchivedFile(tmp_path / "file.zst", "1", by_id(CAMPAIGNS.name), name)
    write_pages(file.path, answer.part, home.pages(answer), asked=asked, **FORM)
    header, _ = content(file.path)
    assert header["nodes"] == {
        "level": "campaign",
        "ids": ["c1", "c2"],
        "days": [DAY.isoformat(), answer.until.isoformat()],
    }
    (tmp_path / "unpacked").mkdir()
    found = read_pages(file, CAMPAIGNS, tmp_path / "unpacked")
    assert found.part == answer.part
    assert found.asked == Asked(Level.CAMPAIGN, {"1": ("c1", "c2")}, [("1", DAY), ("1", answer.until)])


def test_pages_of_another_level_or_other_breakdowns_are_refused(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    answer = Answer(ASKED, DAY, DAY, [campaign_row("c1", DAY)])
    (tmp_path / "unpacked").mkdir()
    other = builtin_reports()[2].model_copy(update={"name": CAMPAIGNS.name})
    with pytest.raises(OtherReportError, match="campaign level"):
        read_pages(archived(home, home.pages(answer), answer.part), other, tmp_path / "unpacked")


def test_a_refresh_of_entities_comes_back_as_it_was_merged(tmp_path: Path) -> None:
    row: dict[str, Value] = {
        "account_id": "1",
        "campaign_id": "c1",
        "created_time": ASKED,
        "is_deleted": False,
        "name": "Grün",
    }
    batch = EntityBatch(
        "1",
        ASKED,
        full=True,
        rows={EntityKind.CAMPAIGNS: [row], EntityKind.ADS: []},
        missing=(MissingEntity(EntityKind.ADS, None, "refused"),),
    )
    name = MergedName(Question(ASKED), MERGED, "run")
    file = ArchivedFile(tmp_path / "file.zst", "1", ENTITIES, name)
    write_batch(file.path, batch, **FORM)
    found = read_batch(file)
    assert (found.account_id, found.collected_at, found.full, found.missing) == ("1", ASKED, True, batch.missing)
    assert found.rows == {
        EntityKind.CAMPAIGNS: [{**row, "created_time": "2026-11-20T08:30:15.123456"}],
        EntityKind.ADS: [],
    }


# ---- coming in ----


def test_a_file_is_in_the_archive_only_once_it_is_merged(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    intake = archive.intake("run")
    question = Question(ASKED, DAY, DAY)
    intake.add("1", "ad_insights", question, lambda file: write_file(file, {}, [b"x"], [1]))
    assert list(archive.files()) == []
    assert [file.question for file in intake.files()] == [question]
    intake.mark_merged(MERGED)
    assert intake.merged_at == MERGED
    intake.settle(MERGED)
    (file,) = archive.files()
    assert isinstance(file, ArchivedFile)
    assert (file.account_id, file.report, file.name) == ("1", "ad_insights", MergedName(question, MERGED, "run"))
    assert file.path.parent == tmp_path / "act_1" / "ad_insights"
    assert archive.unsettled() == []
    intake.settle(MERGED)
    assert len(list(archive.files())) == 1


def test_an_answer_that_is_the_last_one_again_takes_no_space(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first = put(archive, Question(ASKED, DAY, DAY), b"same" * 500)
    again = put(archive, Question(ASKED + HOUR, DAY, DAY), b"same" * 500)
    other_days = put(archive, Question(ASKED + HOUR, DAY, DAY + timedelta(days=1)), b"same" * 500)
    changed = put(archive, Question(ASKED + 2 * HOUR, DAY, DAY), b"other" * 500)
    back = put(archive, Question(ASKED + 3 * HOUR, DAY, DAY), b"same" * 500)
    assert first.samefile(again)
    assert [first.samefile(file) for file in (other_days, changed, back)] == [False, False, False]
    first.unlink()
    assert content(again)[1] == [b"same" * 500]


def test_where_a_file_can_have_but_one_name_an_equal_answer_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("no second names here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    archive = Archive(tmp_path)
    first = put(archive, Question(ASKED, DAY, DAY), b"same")
    again = put(archive, Question(ASKED + HOUR, DAY, DAY), b"same")
    assert not first.samefile(again)
    assert content(first) == content(again)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def fail(file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    intake = Archive(tmp_path).intake("run")
    with pytest.raises(OSError, match="No space"):
        intake.add("1", "ad_insights", Question(ASKED, DAY, DAY), fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


KILLED_WHILE_WRITING = """
import os, signal, sys
from datetime import date, datetime, UTC
from pathlib import Path
from meta_insights_pipeline.warehouse.archive import Archive
from meta_insights_pipeline.warehouse.archive_files import write_file
from meta_insights_pipeline.warehouse.archive_names import Question

def blobs():
    yield os.urandom(3_000_000)
    print("half", flush=True)
    signal.pause()

question = Question(datetime(2026, 11, 20, tzinfo=UTC), date(2026, 11, 20), date(2026, 11, 20))
intake = Archive(Path(sys.argv[1])).intake("run")
intake.add("1", "ad_insights", question, lambda file: write_file(file, {}, blobs(), [3_000_000, 1]))
"""


def test_a_process_that_is_killed_while_it_writes_leaves_no_file_in_the_archive(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path / "archive" / "live")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        os.kill(process.pid, signal.SIGKILL)
    home = ArchivedHome(tmp_path)
    assert list(home.archive.files()) == []
    (intake,) = home.archive.unsettled()
    (half,) = intake.files()
    with pytest.raises(DamagedFileError):
        content(half.path)
    with home.warehouse.connect() as connection:
        assert settle(home.archive, connection, {CAMPAIGNS.name: CAMPAIGNS}, lambda _: False, MERGED) == 0
    assert (list(home.archive.files()), home.archive.unsettled()) == ([], [])


def answer(at: datetime, spend: str, days: int = 1) -> Answer:
    rows = [campaign_row("c1", DAY + timedelta(days=n), spend=spend) for n in range(days)]
    return Answer(at, DAY, DAY + timedelta(days=days - 1), rows)


def settle_dead(home: ArchivedHome) -> int:
    with home.warehouse.connect() as connection:
        return settle(home.archive, connection, {CAMPAIGNS.name: CAMPAIGNS}, lambda _: False, MERGED)


def test_what_was_merged_before_the_process_ended_is_settled_by_whoever_comes_next(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    run_id = home.merge(answer(ASKED, "1"), settled=False)
    assert home.files() == []
    assert settle_dead(home) == 1
    (file,) = home.archive.files()
    assert isinstance(file, ArchivedFile)
    assert file.name == MergedName(Question(ASKED, DAY, DAY), MERGED, run_id)


def test_it_is_settled_also_when_another_run_has_replaced_its_rows_since(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    home.merge(answer(ASKED, "1"), settled=False)
    home.merge(answer(ASKED + HOUR, "2"))
    assert settle_dead(home) == 1
    assert len(home.files()) == 2


def test_what_was_not_merged_is_forgotten_and_what_a_living_run_writes_is_left_alone(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    home.merge(answer(ASKED, "1"))
    intake = home.archive.intake("run-9")
    late = answer(ASKED + HOUR, "5")
    intake.add("1", CAMPAIGNS.name, Question(late.at, DAY, DAY), lambda file: write_file(file, {}, [b"x"], [1]))
    with home.warehouse.connect() as connection:
        assert settle(home.archive, connection, {CAMPAIGNS.name: CAMPAIGNS}, lambda run: run == "run-9", MERGED) == 0
    assert len(intake.files()) == 1
    assert settle_dead(home) == 0
    assert intake.files() == []
    assert len(home.files()) == 1


def test_a_refresh_of_entities_is_settled_by_its_traces(tmp_path: Path) -> None:
    home = ArchivedHome(tmp_path)
    row: dict[str, Value] = {"account_id": "1", "campaign_id": "c1", "name": "One", "is_deleted": False}
    batches = [
        EntityBatch("1", ASKED + n * HOUR, full=False, rows={EntityKind.CAMPAIGNS: [{**row, "name": f"Name {n}"}]})
        for n in range(2)
    ]
    home.refresh(*batches[:1], archived=False)
    for number, batch in enumerate(batches):
        intake = home.archive.intake(f"run-{number}", 1)
        intake.add("1", ENTITIES, Question(batch.collected_at), partial(write_batch, batch=batch, **FORM))
    # The first one is in the warehouse, the second is not.
    assert settle_dead(home) == 1
    assert [file.name[:17] for file in home.files(ENTITIES)] == ["2026-11-20T083015"]


# ---- going out ----


names = st.builds(
    lambda minutes, first, count, late: MergedName(
        Question(
            datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=minutes),
            DAY + timedelta(days=first),
            DAY + timedelta(days=first + count),
        ),
        datetime(2026, 12, 1, tzinfo=UTC) + timedelta(minutes=late),
        "run",
    ),
    st.integers(0, 3 * 24 * 60),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 10),
)


@given(st.lists(names, max_size=25, unique=True))
def test_of_each_account_day_the_last_answer_of_each_day_stays_and_nothing_else(every: list[MergedName]) -> None:
    kept = [name for name in every if name not in superfluous(every)]

    def last(some: list[MergedName]) -> dict[tuple[date, date], datetime]:
        answers: dict[tuple[date, date], datetime] = {}
        for name in sorted(some, key=lambda each: each.question.collected_at):
            for day in name.question.days:
                answers[day, name.question.collected_at.date()] = name.question.collected_at
        return answers

    assert last(kept) == last(every)
    assert superfluous(kept) == []


@given(st.lists(names, max_size=15, unique=True), st.lists(names, max_size=4, unique=True))
def test_before_nodes_were_asked_the_last_answer_about_each_of_their_days_stays(
    every: list[MergedName], nodes: list[MergedName]
) -> None:
    kept = [name for name in every if name not in superfluous(every, nodes)]

    def found(some: list[MergedName]) -> list[datetime]:
        """When what each node adds to was asked for."""
        return [
            max(
                (
                    name.question.collected_at
                    for name in some
                    if day in name.question.days and name.question.collected_at <= node.question.collected_at
                ),
                default=ASKED,
            )
            for node in nodes
            for day in sorted(node.question.days)
        ]

    assert found(kept) == found(every)
    assert set(superfluous(every, nodes)) <= set(superfluous(every))
    assert superfluous(kept, nodes) == []


def test_what_nodes_answered_is_thinned_by_its_age_alone(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    now = ASKED + timedelta(days=KEEP_ALL_DAYS + 2)
    for hour in range(3):
        put(archive, Question(ASKED + hour * HOUR, DAY, DAY), bytes([hour]), by_id("ad_insights"))
    put(archive, Question(ASKED - HOUR, DAY, DAY), b"report")
    assert archive.thin(now, keep_days=1130) == 0
    assert archive.thin(now + timedelta(days=1), keep_days=1) == 4


def test_after_a_week_the_last_answers_of_each_day_stay_and_refreshes_of_entities_all_of_them(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    now = ASKED + timedelta(days=KEEP_ALL_DAYS + 2)
    for hour in range(3):
        put(archive, Question(ASKED + hour * HOUR, DAY, DAY), bytes([hour]))
        put(archive, Question(ASKED + hour * HOUR), bytes([hour]), ENTITIES)
        put(archive, Question(ASKED + timedelta(days=1, hours=hour), DAY, DAY), bytes([hour]))
    put(archive, Question(ASKED - HOUR, DAY, DAY + timedelta(days=5)), b"wide")
    assert archive.is_thinning_due(now)
    assert archive.thin(now, keep_days=1130) == 2
    left = sorted(file.name for file in (tmp_path / "act_1" / "ad_insights").iterdir())
    assert [name[:17] for name in left] == [
        "2026-11-20T073015",
        "2026-11-20T103015",
        "2026-11-21T083015",
        "2026-11-21T093015",
        "2026-11-21T103015",
    ]
    assert len(list((tmp_path / "act_1" / ENTITIES).iterdir())) == 3
    assert archive.thinned_before == DAY + timedelta(days=1)
    assert not archive.is_thinning_due(now)
    assert archive.is_thinning_due(now + timedelta(days=1))
    assert archive.thin(now + timedelta(days=1), keep_days=1130) == 2
    longer = Archive(tmp_path, history_days=30)
    assert longer.thin(now + timedelta(days=2), keep_days=1130) == 0
    assert longer.thinned_before == DAY + timedelta(days=2), "what is thinned stays so when more days are kept later"


def test_what_is_older_than_the_retention_goes_whatever_it_is(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for day in range(4):
        put(archive, Question(ASKED + timedelta(days=day), DAY, DAY), bytes([day]))
        put(archive, Question(ASKED + timedelta(days=day)), bytes([day]), ENTITIES)
    strange = tmp_path / "act_1" / "ad_insights" / "2020-01-01-my-own.zst"
    strange.write_bytes(b"")
    assert archive.thin(ASKED + timedelta(days=4), keep_days=2) == 4
    found = list(archive.files())
    kept = [file.name.question.collected_at.day for file in found if isinstance(file, ArchivedFile)]
    assert sorted(kept) == [22, 22, 23, 23]
    assert strange.exists()
    assert [file for file in found if isinstance(file, Path)] == [strange]
