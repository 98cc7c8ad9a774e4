"""One session's translation: writes and answers in their order, output, and requests that are answered once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cowork.service import translation as module
from cowork.service.translation import Translation
from cowork.sessions.record import MountRecord, SessionRecord
from cowork.translate.sessionmap import MappedMount, SessionMap
from tests.support.service import until

VM = "/sessions/otter"


class Out:
    """A session's stdin: keeps what is written, and takes or refuses it."""

    def __init__(self, tmp_path: Path, *, real_inside: bool = False) -> None:
        self.file = tmp_path / "proj" / "f"
        self.file.parent.mkdir()
        self.file.write_text("x")
        session = SessionMap("otter", "/tree", [MappedMount("proj", str(self.file.parent))])
        self.t = Translation(session, stream_json=True, remote=False, real_inside=real_inside)
        self.taken: list[bytes] = []
        self.refusal: str | None = None
        self.answers: list[str | None] = []

    def __call__(self, data: bytes, done: module.Done) -> None:
        if self.refusal is None:
            self.taken.append(data)
        done(self.refusal)

    def write(self, text: str) -> None:
        self.t.write(text.encode(), self.answers.append, self)

    def ask(self, end: int, path: str | None = None) -> str:
        return self.t.intercept(asking(path or str(self.file)), end, self)


def asking(path: str, server: str = "cowork") -> str:
    call = {"name": "present_files", "arguments": {"files": [{"file_path": path}]}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    request = {"subtype": "mcp_message", "server_name": server, "message": message}
    return json.dumps({"type": "control_request", "request_id": "r", "request": request}, ensure_ascii=False) + "\n"


@pytest.fixture
def out(tmp_path: Path) -> Out:
    return Out(tmp_path)


@pytest.fixture
def real(tmp_path: Path) -> Out:
    """A session that sees guest paths as the client does."""
    return Out(tmp_path, real_inside=True)


def test_of_a_record() -> None:
    asked = SessionRecord(
        id="abcdefghijkl", kind="cowork", name="otter", argv=["/x/claude", "--output-format=stream-json"],
        mounts=[MountRecord("proj", "/home/proj", "ro")],
    )  # fmt: skip
    asked.translated = asked.remote = True
    made = Translation.of(asked, "/tree")
    assert not made.real_inside
    assert (made.session.name, made.session.tree) == ("otter", "/tree")
    assert list(made.session.mounts) == [MappedMount("proj", "/home/proj", "ro")]
    assert made(b"/tree/x /home/proj /home/proj2") == b"/sessions/otter/x /sessions/otter/mnt/proj /home/proj2"
    assert all(needle in b"/tree /home/proj" for needle in made.needles)


def test_of_a_record_of_a_session_with_real_paths() -> None:
    asked = SessionRecord(
        id="abcdefghijkl", kind="cowork", name="otter", argv=["/x/claude", "--output-format=stream-json"],
        mounts=[MountRecord("proj", "/home/proj", "ro")],
    )  # fmt: skip
    made = Translation.of(asked, "/tree")
    assert made.real_inside
    assert list(made.session.mounts) == [MappedMount("proj", "/home/proj", "ro")]
    output = b"/tree/x /home/proj"
    assert made(output) is output
    assert made.needles == (), "nothing has to be looked for in its output"


def test_output_stays_json() -> None:
    session = SessionMap("otter", "/tree", [MappedMount('q"', "/a\\b")])
    made = Translation(session, stream_json=True, remote=False)
    assert json.loads(made(json.dumps({"p": "/a\\b/c"}).encode())) == {"p": '/sessions/otter/mnt/q"/c'}


@pytest.mark.asyncio
async def test_a_write(out: Out) -> None:
    out.write(f"{VM}/mnt/proj/x\n")
    out.write("plain\n")
    assert out.taken == [f"{out.file.parent}/x\n".encode(), b"plain\n"]
    assert out.answers == [None, None]
    out.refusal = "full"
    out.write("z\n")
    assert out.answers[-1] == "full"


@pytest.mark.asyncio
async def test_half_a_path_waits_for_the_rest(out: Out) -> None:
    out.write(f"see {VM}/mn")
    assert (out.taken, out.answers) == ([], [None])
    out.write("t/proj/x\n")
    assert out.taken == [f"see {out.file.parent}/x\n".encode()]
    out.t.close()


@pytest.mark.asyncio
async def test_half_a_path_is_passed_on_when_nothing_comes(out: Out) -> None:
    out.write(f"see {VM}")
    await until(lambda: out.taken)
    assert out.taken == [b"see /tree"]


@pytest.mark.asyncio
async def test_after_the_end_nothing_is_passed_on(out: Out) -> None:
    out.write(f"see {VM}")
    out.t.close()
    out.t.close()
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2 * module.SILENCE, later.set_result, None)
    await later
    assert out.taken == []


@pytest.mark.asyncio
@pytest.mark.parametrize("before", ["", f"{VM}/mnt/pr"])
@pytest.mark.parametrize("after", ["", f" {VM}/mnt/proj/z"])
async def test_a_refused_write_may_come_again(out: Out, before: str, after: str) -> None:
    """IN-9: nothing of it was taken, nothing comes twice, and what was held before is not lost."""
    if before:
        out.write(before)
    rest = f"oj/y {VM}/x\n{after}"
    out.refusal = "full"
    out.write(rest)
    assert out.answers[-1] == "full"
    out.refusal = None
    out.write(rest)
    out.write("\n")
    out.t.close()
    start = f"{out.file.parent}/y" if before else "oj/y"
    end = f" {out.file.parent}/z" if after else ""
    assert b"".join(out.taken).decode() == f"{start} /tree/x\n{end}\n"


@pytest.mark.asyncio
async def test_a_request_is_answered_once_and_not_shown(out: Out) -> None:
    text = "before\n" + asking(str(out.file)) + asking("/x", "other") + "after\n"
    shown = "before\n" + asking("/x", "other") + "after\n"
    assert out.t.intercept(text, 100, out) == shown
    assert out.t.intercept(text, 100, out) == shown, "another subscriber"
    assert len(out.taken) == 1
    assert json.loads(out.taken[0])["response"]["request_id"] == "r"
    assert out.ask(200) == ""
    assert len(out.taken) == 2


@pytest.mark.parametrize("char", ["\u2028", "\x85", "\x1c", "\x0b", "\r"])
@pytest.mark.asyncio
async def test_only_a_newline_ends_a_line(out: Out, char: str) -> None:
    line = asking(f"{out.file}{char}").replace(json.dumps(char)[1:-1], char) if char >= "\x7f" else f"x{char}y\n"
    text = f"{line}{asking(str(out.file))}"
    shown = out.t.intercept(text, 1, out)
    assert shown == ("" if char >= "\x7f" else line)
    assert len(out.taken) == (2 if char >= "\x7f" else 1)


def test_another_program_is_not_answered(tmp_path: Path) -> None:
    made = Translation(SessionMap("otter", "/tree"), stream_json=False, remote=False)
    assert made.intercept(asking("/x"), 1, lambda data, done: pytest.fail("written")) == asking("/x")


@pytest.mark.asyncio
async def test_an_answer_waits_for_the_end_of_the_clients_line(out: Out) -> None:
    out.write("half ")
    out.ask(1)
    out.ask(2)
    assert out.taken == [b"half "]
    out.write("more ")
    assert len(out.taken) == 2
    out.write("whole\n")
    assert out.taken[:3] == [b"half ", b"more ", b"whole\n"]
    assert [json.loads(data)["type"] for data in out.taken[3:]] == ["control_response"] * 2
    out.ask(3)
    assert len(out.taken) == 6


@pytest.mark.asyncio
async def test_an_answer_waits_for_what_is_held(out: Out) -> None:
    out.write(f"x {VM}/mnt")
    out.ask(1)
    assert out.taken == []
    out.write("\n")
    assert out.taken[0] == b"x /tree/mnt\n"
    assert len(out.taken) == 2


@pytest.mark.asyncio
async def test_an_answer_comes_again_until_there_is_room(out: Out) -> None:
    out.refusal = "full"
    out.ask(1)
    assert out.taken == []
    out.refusal = None
    await until(lambda: out.taken)
    assert json.loads(out.taken[0])["type"] == "control_response"


@pytest.mark.asyncio
async def test_one_more_mount(out: Out) -> None:
    out.write(f"{VM}/mnt/ne")
    out.t.add_mount(MappedMount("new", "/new"))
    out.write("w/f\n")
    assert out.taken == [b"/new/f\n"]
    assert out.t(b"/new/f") == b"/sessions/otter/mnt/new/f"
    out.t.add_mount(MappedMount("new", "/newer"))
    assert [m.host for m in out.t.session.mounts if m.name == "new"] == ["/newer"]


def test_an_answer_does_not_land_in_a_line_whose_end_was_refused(out: Out) -> None:
    out.write('{"half')
    assert out.ask(10) == ""
    out.refusal = "full"
    out.write('line"}\n')
    out.refusal = None
    assert out.taken == [b'{"half'], "the line is still open"
    out.write('line"}\n')
    assert out.taken[1] == b'line"}\n'
    assert b"control_response" in out.taken[2]


@pytest.mark.asyncio
async def test_the_held_end_of_a_line_is_kept_until_it_is_taken(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.001)
    out.write(f"look at {VM}/mnt/proj")
    assert (out.taken, out.answers) == ([], [None])
    out.refusal = "full"
    for _ in range(5):
        await asyncio.sleep(0.002)
    out.refusal = None
    await until(lambda: out.taken)
    assert out.taken == [f"look at {out.file.parent}".encode()]
    out.t.close()


def test_where_guest_paths_are_real_they_are_left_alone_and_nothing_waits(real: Out) -> None:
    writes = [f"see {VM}/mnt/proj", f"/f\n{VM}", "\n", f"{VM}/mn"]
    for text in writes:
        real.write(text)
    assert real.taken == [text.encode() for text in writes]
    assert real.answers == [None] * 4


def test_skills_go_by_their_own_name_there_too(real: Out) -> None:
    said = {"type": "user", "message": {"content": f"/plugin:skill {VM}/mnt/proj/f"}}
    real.write(json.dumps(said) + "\n")
    (taken,) = real.taken
    assert json.loads(taken)["message"]["content"] == f"/skill {VM}/mnt/proj/f"


def test_requests_are_answered_there_too(real: Out) -> None:
    """The session names a file by its guest path; the client, which reads the answer, finds it by the host's."""
    assert real.t.intercept("a\n" + asking(f"{VM}/mnt/proj/f") + "b\n", 10, real) == "a\nb\n"
    (answer,) = real.taken
    response = json.loads(answer)["response"]
    assert (response["subtype"], response["request_id"]) == ("success", "r")
    assert str(real.file) in json.dumps(response)
    assert real.ask(20, f"{VM}/mnt/proj/gone") == ""
    assert "gone" in real.taken[1].decode()


def test_one_more_mount_changes_what_is_known_and_no_stream(real: Out) -> None:
    real.t.add_mount(MappedMount("new", "/new"))
    assert real.t.session.to_host(f"{VM}/mnt/new/f") == "/new/f"
    real.write(f"{VM}/mnt/new/f\n")
    assert real.taken == [f"{VM}/mnt/new/f\n".encode()]
    assert real.t(b"/new/f") == b"/new/f"
