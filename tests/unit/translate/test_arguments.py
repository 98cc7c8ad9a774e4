"""Edits of the command line."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.arguments import (
    VM_TOOLS,
    allowed_disallowed_tools,
    brief,
    map_arguments,
    map_text,
    resume_id,
)
from cowork.translate.matcher import GuestToHost
from cowork.translate.sessionmap import MappedMount, SessionMap

V = "/sessions/otter"
TREE = "/t/tree"
MOUNTS = {
    "proj": "/h/proj",
    "p": "/srv/p",
    "pp": "/srv/pp",
    "q": '/srv/q"',
    "a(1)": "/srv/a(1)",
    ".skills": "/h/skills",
}
TO_HOST = GuestToHost(SessionMap("otter", TREE, [MappedMount(name, host) for name, host in MOUNTS.items()]))


def mapped(line: str) -> str:
    return shlex.join(map_arguments(shlex.split(line), TO_HOST))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{V} {V}/mnt/proj/x", f"{TREE} /h/proj/x"), (f"--add-dir={V}/mnt/proj", "--add-dir=/h/proj"),
        (f"--add-dir {V}/mnt/p {V}/mnt/skills/ /x {V}/y -p", f"--add-dir /srv/p /h/skills /x {TREE}/y -p"),
        (f"--plugin-dir={V}/mnt/p/a/../b", "--plugin-dir=/srv/p/b"),
        (f"--plugin-dir {V}/x", f"--plugin-dir {TREE}/x"),
        (f"--add-dir {V}/mnt/proj/./x/../y", "--add-dir /h/proj/y"), (f"a:{V}/b", f"a:{TREE}/b"),
        (f"{V}/mnt/p:{V}/mnt/pp", "/srv/p:/srv/pp"), (f"--add-dir {V}/mnt/p,{V}/mnt/pp", "--add-dir /srv/p,/srv/pp"),
        ("/sessions/otters/x -x", "/sessions/otters/x -x"), ("--file=/sessions/fox/x", "--file=/sessions/fox/x"),
        ("--add-dir /sessions/fox/mnt/p --verbose", "--verbose"), ("--add-dir=/sessions/fox/mnt/p -p", "-p"),
        ("--add-dir /sessions/fox/a /b /sessions/fox/c", "--add-dir /b"), ("--plugin-dir //sessions/fox/a x", "x"),
        (f"--add-dir {V}/mnt/proj/../../etc -p", "-p"), ("--add-dir -p", "--add-dir -p"), ("--add-dir", "--add-dir"),
        ("--plugin-dir /a /sessions/fox/b", "--plugin-dir /a /sessions/fox/b"), ("--add-dir ''", "--add-dir ''"),
        ("-- --add-dir /sessions/fox/a", "-- --add-dir /sessions/fox/a"), (f"-- {V}", f"-- {TREE}"),
        (f"--resume {V} {V}", f"--resume {V} {TREE}"), (f"-r {V}", f"-r {V}"), (f"--resume={V}", f"--resume={V}"),
        (f"--mcp-config {V}/a {V}/b -p {V}", f"--mcp-config {V}/a {V}/b -p {TREE}"),
        (f"--mcp-config={V}/a", f"--mcp-config={V}/a"),
        ("", ""), ("-", "-"), ("--add-dir - /sessions/fox/a", "--add-dir -"),
    ],
)  # fmt: skip
def test_paths_in_arguments(line: str, expected: str) -> None:
    assert mapped(line) == expected


@pytest.mark.parametrize("flag", ["--allowedTools", "--allowed-tools", "--disallowedTools", "--disallowed-tools"])
@pytest.mark.parametrize(
    ("given_list", "expected"),
    [
        (f"Edit(/{V}/mnt/proj/**)", "Edit(//h/proj/**)"), (f"Edit({V}/mnt/proj/**),Read", "Edit(/h/proj/**),Read"),
        (f"Edit(/{V}/mnt/p/a,b/**),Read(/{V}/x)", f"Edit(//srv/p/a,b/**),Read(/{TREE}/x)"),
        (f"Edit(/{V}/mnt/a(1)/**), Bash(git log:*)", "Edit(//srv/a(1)/**),Bash(git log:*)"),
        (f"Edit(/{V}/mnt/p/(a,(b))/**)", "Edit(//srv/p/(a,(b))/**)"), (f"Bash(cat {V}/mnt/p/x)", "Bash(cat /srv/p/x)"),
        ("Edit(//sessions/fox/x,y/**),Read", "Read"), ("Edit(//sessions/fox/**)", None), ("", ""), (" , ", " , "),
        ("Read,  Edit", "Read,  Edit"), ("Edit(//sessions/fox/**) Edit(/sessions/fox/(a) b/**)", None),
        (f"Edit(/{V}/mnt/proj/../../x)", None), ("Bash(cat /sessions/fox/x)", "Bash(cat /sessions/fox/x)"),
        ("a),Edit(//sessions/fox/x)", "a)"), ("Edit(//sessions/fox/x", "Edit(//sessions/fox/x"),
        (f"a),Edit(/{V}/mnt/p)", "a),Edit(//srv/p)"),
    ],
)  # fmt: skip
def test_paths_in_tool_lists(flag: str, given_list: str, expected: str | None) -> None:
    rest = [] if expected is None else [flag, expected]
    assert map_arguments(["-p", flag, given_list, "--x"], TO_HOST) == ["-p", *rest, "--x"]
    joined = [] if expected is None else [f"{flag}={expected}"]
    assert map_arguments([f"{flag}={given_list}", "x"], TO_HOST) == [*joined, "x"]
    both = [flag, "First", *([] if expected is None else [expected])]
    assert map_arguments([flag, "First", given_list], TO_HOST) == both


def test_json_stays_json() -> None:
    value = json.dumps({"x": f"{V}/mnt/q/a", "y": [f"see {V}/mnt/pp."]})
    wanted = {"x": '/srv/q"/a', "y": ["see /srv/pp."]}
    plain, joined = map_arguments(["--settings", value, f"--agents={value}"], TO_HOST)[1:]
    assert json.loads(plain) == wanted
    assert json.loads(joined.removeprefix("--agents=")) == wanted
    assert map_text(f"{V}/mnt/q/a", TO_HOST) == '/srv/q"/a'
    assert map_text("{" + f"{V}/mnt/q/a", TO_HOST) == '{/srv/q"/a'
    assert map_text("[" * 100_000 + f" {V}/x", TO_HOST).endswith(f" {TREE}/x")
    assert map_text(f"--a b={V}/mnt/p", TO_HOST) == "--a b=/srv/p"


def test_text_with_bytes_that_are_no_characters() -> None:
    assert map_text(f"\udcff {V}/x\udcff", TO_HOST) == f"\udcff {TREE}/x\udcff"


def test_a_real_folder_below_sessions_is_no_guest_path() -> None:
    to_host = GuestToHost(SessionMap("otter", TREE, [MappedMount("s", "/sessions/real")]))
    assert map_arguments(["--add-dir", "/sessions/real/x", "/sessions/fox"], to_host) == [
        "--add-dir",
        "/sessions/real/x",
    ]


ARGUMENTS = st.sampled_from(
    ["--add-dir", "--mcp-config", "--resume", "-r", "--", "-p", "--disallowedTools", "--allowed-tools=A(b,c),D",
    "A, B", "",
     "--append-system-prompt", "--verbose", "/x", "--resume=", "--add-dir=", "mcp__cowork__other", "{}", "-"]
)  # fmt: skip


@given(st.lists(ARGUMENTS, max_size=8))
@settings(derandomize=True, deadline=None, max_examples=500, database=None)
def test_arguments_without_guest_paths_stay(args: list[str]) -> None:
    before = list(args)
    assert map_arguments(args, TO_HOST) == args
    assert allowed_disallowed_tools(args, {}) == args
    assert brief(args, {}, "/out") == args
    assert args == before


VM_LIST = ",".join(sorted(VM_TOOLS))


@pytest.mark.parametrize("flag", ["--disallowedTools", "--disallowed-tools"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([VM_LIST], []), (["AskUserQuestion,mcp__cowork__present_files"], []),
        (["AskUserQuestion, WebFetch"], ["WebFetch"]),
        (["AskUserQuestion", "Bash(rm *)"], ["Bash(rm *)"]), (["WebFetch,  Bash(a, b)"], ["WebFetch,  Bash(a, b)"]),
        (["AskUserQuestion(x),present_files"], ["AskUserQuestion(x),present_files"]), ([""], [""]), ([], []),
        (["mcp__cowork__present_files_too", "mcp__cowork__present_files WebFetch(a b)"],
         ["mcp__cowork__present_files_too", "WebFetch(a b)"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tags", [None, "", "lam_session_type:chat", "lam_session_type:agent, other:x"])
def test_disallowed_tools(flag: str, values: list[str], expected: list[str], tags: str | None) -> None:
    env = {"CLAUDE_CODE_TAGS": tags}
    wanted = [flag, *expected] if expected or not values else []
    assert allowed_disallowed_tools(["-p", flag, *values, "--v"], env) == ["-p", *wanted, "--v"]
    for value in values:
        args = allowed_disallowed_tools([f"{flag}={value}", "--a", f"{flag}={value}", flag, "AskUserQuestion"], env)
        kept = [entry for entry in expected if len(values) == 1]
        if len(values) == 1:
            assert args == [*(f"{flag}={e}" for e in kept), "--a", *(f"{flag}={e}" for e in kept)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("lam_session_type:scheduled", ["--disallowedTools", "AskUserQuestion,Bash"]),
        ("x:y,lam_session_type:scheduled", ["--disallowedTools", "AskUserQuestion,Bash"]),
        ("lam_session_type:dispatch_child", ["--disallowedTools", "Bash"]),
        ("radar", None), ("lam_session_type:radar", None), ("lam_session_type:chat,cowork-radar", None),
        ("something:else", None), ("lam_session_type:chat,lam_session_type:new", None),
    ],
)  # fmt: skip
def test_the_kind_of_session(tags: str, expected: list[str] | None) -> None:
    args = ["--disallowedTools", "AskUserQuestion,mcp__cowork__present_files,Bash"]
    assert allowed_disallowed_tools(args, {"CLAUDE_CODE_TAGS": tags}) == (args if expected is None else expected)


def test_other_tool_flags_are_left_alone() -> None:
    args = [
        "--allowedTools",
        "AskUserQuestion",
        "--tools",
        "AskUserQuestion",
        "--",
        "--disallowedTools",
        "AskUserQuestion",
    ]
    assert allowed_disallowed_tools(args, {}) == args


BRIEF = {"CLAUDE_CODE_BRIEF": "1"}


@pytest.mark.parametrize("value", ["0", "", "true", "11", None])
def test_no_brief_without_the_variable(value: str | None) -> None:
    args = ["-p", "--append-system-prompt", "x"]
    assert brief(args, {"CLAUDE_CODE_BRIEF": value}, "/out") == args


@pytest.mark.parametrize(
    ("args", "texts", "rest"),
    [
        (["-p"], [], ["-p"]), (["--brief", "-p", "--brief"], [], ["-p"]), ([], [], []),
        (["--append-system-prompt", "mine", "-p"], ["mine"], ["-p"]),
        (["--append-system-prompt=mine=x"], ["mine=x"], []),
        (["--append-system-prompt", "a", "--v", "--append-system-prompt=b", "--append-system-prompt", "-c"],
        ["a", "b", "-c"],
         ["--v"]),
        (["--append-system-prompt"], [], []), (["--append-system-prompt="], [], []), (["--brief=x"], [], ["--brief=x"]),
        (["--append-system-prompt-file", "f"], [], ["--append-system-prompt-file", "f"]),
        (["--add-dir", "a", "--", "--brief"], [], ["--add-dir", "a", "--", "--brief"]),
    ],
)  # fmt: skip
def test_brief(args: list[str], texts: list[str], rest: list[str]) -> None:
    edited = brief(args, BRIEF, None)
    assert edited[:2] == ["--brief", "--append-system-prompt"]
    *clients, ours = edited[2].split("\n\n")
    assert clients == texts
    assert all(word in ours for word in ("attachments", "SendUserMessage", "present_files", "computer://"))
    assert "/sessions" not in ours
    assert edited[3:] == rest
    assert "/home/ana/out" in brief(args, BRIEF, "/home/ana/out")[2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--resume s1", "s1"), ("--resume=s1", "s1"), ("-r s1", "s1"), ("-p --resume a --resume b", "a"),
        ("-r a --resume=b", "a"),
        ("--resume", None), ("-p", None), ("", None), ("--resume --verbose", None), ("--resume --verbose -r b", None),
        ("--resume=-x", None), ("--resume ../x", None), ("--resume a/b", None), ("--resume ..", None),
        ("--resume .", None),
        (r"--resume 'a\b'", None), ("--resume=", None), ("--resume ''", None), ("--resume $'a'", "$a"),
        ("--resumed s1", None),
        ("--resume 'a\nb'", None), ("-- --resume s1", None), ("-r=s1", None), ("--resume ...", "..."),
    ],
)  # fmt: skip
def test_resume_id(line: str, expected: str | None) -> None:
    assert resume_id(shlex.split(line)) == expected
