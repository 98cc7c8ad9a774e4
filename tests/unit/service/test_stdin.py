"""Guest paths in what is written, however it is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.service.stdin import LONGEST, StdinFilter
from cowork.translate.matcher import GuestToHost
from cowork.translate.sessionmap import MappedMount, SessionMap

MOUNTS = [MappedMount("p", "/home/p"), MappedMount("pp", '/home/q"q'), MappedMount(".claude/skills", "/home/skills")]
TO_HOST = GuestToHost(SessionMap("otter", "/data/sessions/otter", MOUNTS))
VM = b"/sessions/otter"


def made(*, skills: bool = False) -> StdinFilter:
    return StdinFilter(TO_HOST, skills=skills)


def fed(*writes: bytes, skills: bool = False) -> bytes:
    stdin = made(skills=skills)
    return b"".join(stdin.feed(data) for data in writes) + stdin.flush()


@pytest.mark.parametrize("data", [b"", b"x", b"line\n", b"\0\xff\n", b"/session/x\n", b"a / b\n", b"\n", b"half"])
def test_what_concerns_nothing_is_the_same_object(data: bytes) -> None:
    stdin = made(skills=True)
    assert stdin.feed(data) is data
    assert stdin.held == b""


def test_lines() -> None:
    assert (
        fed(VM + b"/mnt/p/f " + VM + b"\n" + VM + b"2/x\n") == b"/home/p/f /data/sessions/otter\n/sessions/otter2/x\n"
    )
    assert fed(b"/data/sessions/otter/x\n") == b"/data/sessions/otter/x\n"
    assert json.loads(fed(b'{"a":"' + VM + b'/mnt/pp/f"}\n')) == {"a": '/home/q"q/f'}


PIECES = st.sampled_from([
    VM, VM + b"/mnt/p/f", VM + b"/mnt/pp", VM + b"2", b"/home/p", b"/data/sessions/otter/x", b" ", b"\n", b"/", b"x",
    b'{"a":"', b'"}', "é".encode(), b"/sess",
])  # fmt: skip


@given(st.lists(PIECES, max_size=12), st.data())
def test_the_same_however_it_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    """But directly in front of a path: what was passed on is not looked at again."""
    for line in (line + b"\n" for line in b"".join(pieces).split(b"\n")):
        places = [at for at in range(1, len(line)) if line[at : at + 1] != b"/" and line[at - 1 : at] != b"/"]
        cuts = sorted(data.draw(st.lists(st.sampled_from(places), max_size=3))) if places else []
        parts = [line[a:b] for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True)]
        assert fed(*parts) == fed(line)


@pytest.mark.parametrize("cut", range(1, len(VM) + 8))
def test_the_end_of_a_line_is_held_where_a_path_may_be_cut(cut: int) -> None:
    stdin = made()
    line = VM + b"/mnt/p/f\n"
    assert stdin.feed(b"whole\n" + line[:cut]) == b"whole\n"
    assert stdin.held == line[:cut]
    assert stdin.feed(line[cut:]) == b"/home/p/f\n"
    assert stdin.held == b""


def test_what_is_held_is_passed_on_at_last() -> None:
    stdin = made()
    assert stdin.feed(b"x " + VM + b"/mnt/p") == b""
    assert stdin.flush() == b"x /home/p"
    assert (stdin.held, stdin.flush()) == (b"", b"")


def test_not_without_end() -> None:
    stdin = made()
    start = VM + b" "
    assert stdin.feed(start) == b""
    assert stdin.feed(b"x" * LONGEST) == b"/data/sessions/otter " + b"x" * LONGEST
    assert stdin.held == b""


def user(content: object) -> bytes:
    return json.dumps({"type": "user", "message": {"content": content}}).encode() + b"\n"


def test_skills() -> None:
    data = user("/a:b") + user(f"/a:b {VM.decode()}/mnt/p/f")
    assert fed(data, skills=True) == user("/b") + user("/b /home/p/f")
    assert fed(user("/a:b"), skills=False) == user("/a:b")
    for odd in (user("x /a:b"), user([{"type": "tool_result", "content": "/a:b"}]), b'{"type":"x","a":"/a:b"}\n'):
        assert fed(odd, skills=True) == odd


def unmapped(*, skills: bool) -> StdinFilter:
    """For a session in which guest paths are real."""
    return StdinFilter(None, skills=skills)


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_where_guest_paths_are_real_everything_passes_at_once(pieces: list[bytes], skills: bool) -> None:
    stdin = unmapped(skills=skills)
    for piece in pieces:
        assert stdin.feed(piece) is piece
        assert stdin.held == b""
    assert stdin.flush() == b""


def test_skills_where_guest_paths_are_real() -> None:
    data = user(f"/a:b {VM.decode()}/mnt/p/f")
    assert unmapped(skills=True).feed(b"x\n" + data) == b"x\n" + user(f"/b {VM.decode()}/mnt/p/f")
    assert unmapped(skills=False).feed(data) is data
