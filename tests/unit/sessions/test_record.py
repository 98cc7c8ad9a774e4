"""What a session's directory says in JSON, in this release and in others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cowork.sessions import record
from cowork.sessions.directory import ID
from cowork.sessions.record import ChildRecord, ExitRecord, MountRecord, RecordError, SessionRecord, without_secrets


def test_ids_are_short_lower_case_and_unlike_each_other() -> None:
    ids = [record.new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(ID.fullmatch(one) for one in ids)
    assert all(re.search("[a-z]", one[0]) for one in ids)
    assert len({one[0] for one in ids}) == 26
    assert len({character for one in ids for character in one[1:]}) == 32


def test_records_survive_the_disk(tmp_path: Path) -> None:
    asked = SessionRecord(
        id="abcdefghijkl", kind="cowork", name="é", process="p", argv=["a b", "\n"], executable="/x", cwd="/w",
        backend="bwrap", isolation="bubblewrap", terminal=True, created=1.5, history=7,
    )  # fmt: skip
    ended = ExitRecord(ended=2.5, exit_code=-1, signal="SIGKILL", oom_kill_count=1, head=99, lost=False)
    for value in (asked, ended):
        (tmp_path / "f").write_bytes(record.encode(value))
        assert record.load(tmp_path / "f", type(value)) == value
    assert record.encode(asked).count(b"\n") == 1


def test_an_argument_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    raw = record.encode(SessionRecord(id="a", kind="shell", name="n", argv=["caf\udce9", "ok"]))
    assert json.loads(raw)["argv"] == ["caf\ufffd", "ok"]


def test_exit_json_is_spelled_as_the_holder_spells_it(tmp_path: Path) -> None:
    (tmp_path / "f").write_text('{"version": 1, "ended": 3.0, "exitCode": 7, "oomKillCount": 2, "head": 5, "new": []}')
    assert record.load(tmp_path / "f", ExitRecord) == ExitRecord(ended=3.0, exit_code=7, oom_kill_count=2, head=5)
    (tmp_path / "f").write_text("{}")
    assert record.load(tmp_path / "f", ExitRecord).exit_code == -1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 5}', b"\xff", b'{"kind": "x", "name": "y"}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.json").write_bytes(content)
    with pytest.raises(RecordError, match=re.escape(str(tmp_path / "session.json"))):
        record.load(tmp_path / "session.json", SessionRecord)


def test_a_file_of_a_newer_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    newer = SessionRecord(version=2, id="a", kind="cowork", name="n")
    (tmp_path / "session.json").write_bytes(record.encode(newer))
    with pytest.raises(RecordError, match="newer release") as caught:
        record.load(tmp_path / "session.json", SessionRecord)
    assert caught.value.hint == "upgrade cowork"


def test_a_missing_file_is_not_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        record.load(tmp_path / "none", ChildRecord)


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["claude", "--mcp-config", '{"token":"s3cret"}', "-p"], ["claude", "--mcp-config", "…", "-p"]),
        (["claude", '--mcp-config={"token":"s3cret"}'], ["claude", "--mcp-config=…"]),
        (["claude", "--settings"], ["claude", "--settings"]),
        (["sh", "-c", "echo a=b"], ["sh", "-c", "echo a=b"]),
    ],
)
def test_configurations_in_arguments_are_not_written_down(argv: list[str], shown: list[str]) -> None:
    assert without_secrets(argv) == shown


def test_mounts_survive_the_disk(tmp_path: Path) -> None:
    mounts = [MountRecord("proj/.cache", '/home/ana/é "x', "ro"), MountRecord("b", "/b")]
    asked = SessionRecord(
        id="abcdefghijkl", kind="cowork", name="otter", mounts=mounts, translated=True, remote=True
    )  # fmt: skip
    (tmp_path / "session.json").write_bytes(record.encode(asked))
    assert record.load(tmp_path / "session.json", SessionRecord) == asked
    assert asked.mounts[1].mode == "rw"


def test_a_session_of_an_older_release_has_no_mounts_and_is_not_translated(tmp_path: Path) -> None:
    (tmp_path / "session.json").write_text('{"id": "abcdefghijkl", "kind": "cowork", "name": "otter"}')
    loaded = record.load(tmp_path / "session.json", SessionRecord)
    assert (loaded.mounts, loaded.translated, loaded.remote) == ([], False, False)
