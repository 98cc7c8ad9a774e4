"""Paths inside text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.matcher import GuestToHost, HostToGuest
from cowork.translate.sessionmap import MappedMount, SessionMap

TREE = "/home/ana/trees/t1"
MOUNTS = {
    "proj": "/home/ana/code/proj", "proj/.cache": "/data/cache", "p": "/srv/p", "pp": "/srv/pp",
    ".skills": "/home/ana/skills", "my docs": "/home/ana/My Documents", "out": "/h/out",
}  # fmt: skip


def session_map(mounts: dict[str, str] = MOUNTS, tree: str = TREE, name: str = "otter") -> SessionMap:
    return SessionMap(name, tree, [MappedMount(mount, host) for mount, host in mounts.items()])


OTTER = session_map()
TO_HOST = GuestToHost(OTTER)
TO_GUEST = HostToGuest(OTTER)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/sessions/otter", TREE), ("/sessions/otter/", f"{TREE}/"), ("/sessions/otter/tmp/x", f"{TREE}/tmp/x"),
        ("/sessions/otter/mnt/proj/f", "/home/ana/code/proj/f"), ("/sessions/otter/mnt/pp/f", "/srv/pp/f"),
        ("/sessions/otter/mnt/p/f", "/srv/p/f"), ("/sessions/otter/mnt/proj/.cache/x", "/data/cache/x"),
        ("/sessions/otter/mnt/proj/.cachet/x", "/home/ana/code/proj/.cachet/x"),
        ("/sessions/otter/mnt/proj2/f", f"{TREE}/mnt/proj2/f"),
        ("/sessions/otter/mnt/proj.bak", f"{TREE}/mnt/proj.bak"),
        ("/sessions/otter/mnt/skills/x", "/home/ana/skills/x"), ("/sessions/otter/mnt/.p/x", "/srv/p/x"),
        ("/sessions/otter/mnt/my docs/x", "/home/ana/My Documents/x"), ("/sessions/otter/mnt", f"{TREE}/mnt"),
        ("Edit(//sessions/otter/mnt/p/**)", "Edit(//srv/p/**)"), ("file:///sessions/otter/a", f"file://{TREE}/a"),
        ("computer:///sessions/otter/mnt/p/a", "computer:///srv/p/a"), ("@/sessions/otter/mnt/p", "@/srv/p"),
        ("a=/sessions/otter/mnt/p:/sessions/otter/mnt/pp", "a=/srv/p:/srv/pp"),
        ("/sessions/otter/mnt/p|/sessions/otter/mnt/pp,/sessions/otter/mnt/p", "/srv/p|/srv/pp,/srv/p"),
        ("See /sessions/otter/mnt/p.", "See /srv/p."), ("/sessions/otter/mnt/p... ", "/srv/p... "),
        ("(/sessions/otter/mnt/p)[/sessions/otter/mnt/p]", "(/srv/p)[/srv/p]"), ("</sessions/otter/mnt/p>", "</srv/p>"),
        ("**/sessions/otter/mnt/p**", "**/srv/p**"), ("`/sessions/otter/mnt/p`;", "`/srv/p`;"),
        ('"/sessions/otter/mnt/p"', '"/srv/p"'), (r"\"/sessions/otter/mnt/p\"", r"\"/srv/p\""),
        (r"cd\n/sessions/otter/mnt/p\n", r"cd\n/srv/p\n"),
        (r"\u0022/sessions/otter/mnt/p\u0022", r"\u0022/srv/p\u0022"),
        ("“/sessions/otter/mnt/p”", "“/srv/p”"), ("→/sessions/otter/mnt/p。", "→/srv/p。"),
        ("/sessions/otter\n/sessions/otter\r\n", f"{TREE}\n{TREE}\r\n"), ("x\0/sessions/otter\0", f"x\0{TREE}\0"),
        ("/sessions/otter/sessions/otter", f"{TREE}/sessions/otter"),
    ],
)  # fmt: skip
def test_guest_paths_become_host_paths(text: str, expected: str, as_json: bool) -> None:
    assert TO_HOST(text.encode(), json=as_json).decode() == expected


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "", "nothing", "/sessions/fox/mnt/p", "/sessions/otter2/x", "/sessions/otter.txt", "/sessions/otter-x/y",
        "/sessions/otterü", "/home/x/sessions/otter/a", "~/sessions/otter", "./sessions/otter",
        "${HOME}/sessions/otter",
        "$(pwd)/sessions/otter", "ü/sessions/otter", "/home/x//sessions/otter", "a///sessions/otter",
        "////sessions/otter",
        "http://sessions/otter/x", "/sessions/ottersessions/otter", r"\u00e9/sessions/otter", "/sessions/otter~",
        "/sessions/otter.d/x", "/sessions/otter..d",
    ],
)  # fmt: skip
def test_what_is_no_guest_path_stays_the_same_object(text: str, as_json: bool) -> None:
    data = text.encode()
    assert TO_HOST(data, json=as_json) is data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/h/out /h/outx /h/out/x", "/sessions/otter/mnt/out /h/outx /sessions/otter/mnt/out/x"),
        ("/home/ana/code/proj2/x", "/home/ana/code/proj2/x"), ("/srv/pp/f", "/sessions/otter/mnt/pp/f"),
        (f"{TREE}:{TREE}/x", "/sessions/otter:/sessions/otter/x"), ("/x/srv/p", "/x/srv/p"), ("/srv", "/srv"),
        ("Read(//home/ana/code/proj/**)", "Read(//sessions/otter/mnt/proj/**)"), ("/home/ana", "/home/ana"),
        ("/home/ana/My Documents/x", "/sessions/otter/mnt/my docs/x"),
    ],
)  # fmt: skip
def test_host_paths_become_guest_paths(text: str, expected: str) -> None:
    assert TO_GUEST(text.encode(), json=False).decode() == expected


def test_bytes_that_are_no_characters_are_kept() -> None:
    assert (
        TO_HOST(b"\xff \xfe\x00/sessions/otter/mnt/p/\xff\xc3 \x80", json=True) == b"\xff \xfe\x00/srv/p/\xff\xc3 \x80"
    )
    raw = session_map({"p": "/srv/\udcff"})
    assert GuestToHost(raw)(b"/sessions/otter/mnt/p/a", json=True) == b"/srv/\xff/a"
    assert HostToGuest(raw)(b"/srv/\xff/a", json=False) == b"/sessions/otter/mnt/p/a"


AWKWARD = 'a"b\\c\té'


@pytest.mark.parametrize("ascii_only", [False, True])
def test_paths_that_json_escapes(ascii_only: bool) -> None:
    session = session_map({"p": f"/srv/{AWKWARD}", AWKWARD: "/srv/q"}, tree=f"/t/{AWKWARD}")
    for guest, host in (("/mnt/p", f"/srv/{AWKWARD}"), (f"/mnt/{AWKWARD}", "/srv/q"), ("", f"/t/{AWKWARD}")):
        for rest in ("", "/x", f"/{AWKWARD}"):
            ours, theirs = f"/sessions/otter{guest}{rest}", f"{host}{rest}"
            line = json.dumps({"a": ours, "b": f"see {ours}\n"}, ensure_ascii=ascii_only).encode()
            there = GuestToHost(session)(line, json=True)
            assert json.loads(there) == {"a": theirs, "b": f"see {theirs}\n"}
            line = json.dumps({"a": theirs}, ensure_ascii=ascii_only).encode()
            assert json.loads(HostToGuest(session)(line, json=True)) == {"a": ours}
            assert GuestToHost(session)(ours.encode(), json=False) == theirs.encode()
            assert HostToGuest(session)(theirs.encode(), json=False) == ours.encode()


def test_a_session_whose_name_json_escapes() -> None:
    session = session_map(name='o"é')
    line = json.dumps({"a": '/sessions/o"é/mnt/p/x'}).encode()
    assert GuestToHost(session)(line, json=True) == b'{"a": "/srv/p/x"}'
    assert GuestToHost(session)('/sessions/o"é/mnt/p/x'.encode(), json=False) == b"/srv/p/x"


@pytest.mark.parametrize(
    "tree",
    [
        "/home/ana/.local/share/cowork/sessions/otter", "/data (old)/sessions/otter", "/data!/sessions/otter/x",
        "/a/n\\n/sessions/otter", "/old!", "/x /sessions", "/home/“/sessions/otter",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_a_host_path_is_never_taken_for_a_guest_path(tree: str, as_json: bool) -> None:
    to_host = GuestToHost(session_map({}, tree=tree))
    once = to_host(b'{"a":"/sessions/otter/tmp/x"}', json=as_json)
    encoded = json.dumps(tree, ensure_ascii=False)[1:-1] if as_json else tree
    assert once.decode() == f'{{"a":"{encoded}/tmp/x"}}'
    for text in (once, f"{encoded}/sessions/otter/x {encoded}//sessions/otter {encoded}".encode()):
        assert to_host(to_host(to_host(text, json=as_json), json=as_json), json=as_json) is text


def test_a_path_that_is_the_same_on_both_sides() -> None:
    session = SessionMap("otter", "/sessions/otter", [MappedMount("p", "/sessions/otter/mnt/p")])
    data = b"/sessions/otter/mnt/p/x /sessions/otter"
    assert GuestToHost(session)(data, json=False) is data
    assert HostToGuest(session)(data, json=False) is data


def test_a_mount_of_the_whole_disk() -> None:
    session = session_map({"all": "/", "p": "/srv/p"})
    assert GuestToHost(session)(b"/sessions/otter/mnt/all/etc", json=False) == b"//etc"
    assert HostToGuest(session)(b"/ /etc/x /srv/p/x", json=False) == b"/ /etc/x /sessions/otter/mnt/p/x"
    everything = SessionMap("otter", "/")
    assert HostToGuest(everything)(b"/etc/x", json=False) == b"/etc/x"
    assert GuestToHost(everything)(b"/sessions/otter/x", json=False) == b"//x"


NAME = st.text("ab.-é", min_size=1, max_size=5).map(lambda name: f"z{name}z")
PATHS = st.tuples(
    st.sampled_from(["", "/mnt/proj", "/mnt/p", "/mnt/pp", "/mnt/.skills", "/mnt/my docs", "/mnt/other", "/tmp"]),
    st.lists(NAME, max_size=3),
).map(lambda parts: "/".join(["/sessions/otter" + parts[0], *parts[1]]))
GAPS = st.text(" \n\t\"':|,;()[]{}=<>&!?*xy0“é", max_size=6)
CLOSERS = st.sampled_from([" ", "\n", '"', "'", ":", "|", ",", ";", ")", "]", "}", ". ", '."', "”"])
OPENERS = st.sampled_from([" ", "\n", '"', "'", "=", "(", "[", "file://", "Edit(/", "“", "@"])
TEXTS = st.lists(st.tuples(GAPS, OPENERS, PATHS, CLOSERS), max_size=4).map(
    lambda parts: "".join(piece for part in parts for piece in part)
)


@given(TEXTS, st.booleans())
@settings(derandomize=True, deadline=None, max_examples=500, database=None)
def test_there_and_back_is_the_identity(text: str, as_json: bool) -> None:
    data = (json.dumps(text, ensure_ascii=False) if as_json else text).encode()
    there = TO_HOST(data, json=as_json)
    assert b"/sessions/otter" not in there
    assert (there == data) is ("/sessions/otter" not in text)
    assert TO_GUEST(there, json=as_json) == data
    assert TO_HOST(there, json=as_json) is there
    if as_json:
        assert isinstance(json.loads(there), str)


@given(st.lists(PATHS, min_size=1, max_size=4))
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
def test_text_is_mapped_as_each_path_of_it_is(paths: list[str]) -> None:
    expected = [OTTER.to_host(path) for path in paths]
    assert json.loads(TO_HOST(json.dumps(paths).encode(), json=True)) == expected


@given(st.binary(max_size=60) | st.text('/sesionotrmp.\\n" ', max_size=60).map(str.encode), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=500, database=None)
def test_text_without_a_path_stays_the_same_object(data: bytes, as_json: bool) -> None:
    if OTTER.guest_prefix not in data:
        assert TO_HOST(data, json=as_json) is data


FRAGMENTS = st.sampled_from(
    ["/sessions/otter", "/mnt/p", "/mnt", "/", ".", "!", " ", "x", "\\n", "/sessions", "/otter", TREE]
)


@given(st.lists(FRAGMENTS, max_size=8).map("".join), st.sampled_from([TREE, "/x!", "/a b/sessions/otter"]))
@settings(derandomize=True, deadline=None, max_examples=1000, database=None)
def test_what_was_put_in_is_not_replaced_again(text: str, tree: str) -> None:
    to_host = GuestToHost(session_map({"p": "/srv/p"}, tree=tree))
    once = to_host(text.encode(), json=False)
    assert to_host(once, json=False) == once
