"""The choice of the working directory."""

from __future__ import annotations

import itertools

import pytest

from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.translate.slug import project_slug
from cowork.translate.workdir import choose_workdir, workspaces

HOME = "/home/ana"
TREE = "/home/ana/trees/s"
LINKS = {"/link": "/home/ana/beta", "/h/beta": "/home/ana/beta", "/link/x": "/home/ana/work/x"}


def choose(
    names: list[str], cwd: str = "", hint: str = "", slugs: list[str] | None = None, missing: tuple[str, ...] = ()
) -> str:
    session = SessionMap("s", TREE, [MappedMount(name, f"{HOME}/{name}") for name in names])

    def resolve(path: str) -> str | None:
        path = LINKS.get(path, path)
        known = path.startswith(f"{HOME}/") and not path.startswith(f"{HOME}/no")
        return path if known and path not in missing else None

    found = choose_workdir(
        session, cwd=cwd, hint=hint, home=HOME, resolve=resolve, transcript_slugs=set(map(project_slug, slugs or []))
    )
    assert found.reason
    return found.path


@pytest.mark.parametrize("cwd", ["", "/sessions/s", "/sessions/s/", "/sessions/s/mnt/gone", TREE])
def test_without_workspace_it_is_the_tree(cwd: str) -> None:
    for names in ([], ["outputs"], ["outputs", "uploads", ".claude", ".x", "outputs/deep"]):
        assert choose(names, cwd, missing=(f"{TREE}/mnt/gone",)) == TREE


@pytest.mark.parametrize(
    ("cwd", "expected"),
    [
        ("/sessions/s/mnt/outputs", f"{HOME}/outputs"), ("/sessions/s/tmp", f"{TREE}/tmp"), (f"{HOME}/x", f"{HOME}/x"),
        ("/nonexist/zz", "/nonexist/zz"), ("/sessions/fox/a", "/sessions/fox/a"), ("rel", "rel"),
    ],
)  # fmt: skip
def test_without_workspace_the_client_decides(cwd: str, expected: str) -> None:
    assert choose(["outputs", ".claude"], cwd) == expected


@pytest.mark.parametrize("names", list(itertools.permutations(["beta", "alpha", "outputs", ".a"])))
def test_the_order_of_the_mounts_does_not_matter(names: tuple[str, ...]) -> None:
    assert choose(list(names)) == f"{HOME}/alpha"
    assert choose(list(names), hint=f"{HOME}/nope|{HOME}/outputs| {HOME}/beta |{HOME}/alpha|") == f"{HOME}/beta"


def test_names_made_of_digits_come_last() -> None:
    for names in (["zeta", "2024"], ["2024", "zeta"]):
        assert choose(names) == f"{HOME}/zeta"
        assert choose(names, hint=f"{HOME}/2024|{HOME}/zeta") == f"{HOME}/2024"


@pytest.mark.parametrize("hint", ["beta", "home/ana/beta", "/home/ana/x/../beta", "/link", "/sessions/s/mnt/beta"])
def test_how_a_hint_is_spelled(hint: str) -> None:
    assert choose(["alpha", "beta"], hint=hint) == f"{HOME}/beta"


def test_a_mount_reached_through_a_link_is_its_real_folder() -> None:
    session = SessionMap("s", TREE, [MappedMount("b", "/h/beta"), MappedMount("file", "/h/file")])
    assert workspaces(session, LINKS.get) == [MappedMount("b", "/home/ana/beta")]
    found = choose_workdir(session, cwd="", hint="/link", home=HOME, resolve=LINKS.get)
    assert found.path == "/home/ana/beta"
    assert "b is the first of CLAUDE_CODE_WORKSPACE_HOST_PATHS" in found.reason


@pytest.mark.parametrize(
    ("cwd", "expected"),
    [
        ("/sessions/s/mnt/work/sub", f"{HOME}/work/sub"), ("/sessions/s/mnt/work", f"{HOME}/work"),
        ("/sessions/s/mnt/work/none", f"{HOME}/alpha"), ("/sessions/s/mnt/outputs", f"{HOME}/alpha"),
        ("/sessions/s/mnt/workx", f"{HOME}/alpha"), ("/sessions/s", f"{HOME}/alpha"), ("/nonexist/zz", f"{HOME}/alpha"),
        (f"{HOME}/work/sub", f"{HOME}/work/sub"), ("/link/x", f"{HOME}/work/x"),
        ("/sessions/fox/mnt/work", f"{HOME}/alpha"),
    ],
)  # fmt: skip
def test_the_client_is_followed_into_a_workspace(cwd: str, expected: str) -> None:
    names = ["outputs", "alpha", "work"]
    assert choose(names, cwd, hint=f"{HOME}/alpha", missing=(f"{HOME}/work/none",)) == expected


@pytest.mark.parametrize(
    ("slugs", "expected"),
    [
        ([f"{HOME}/gamma"], "gamma"), ([f"{HOME}/gamma", f"{HOME}/alpha"], "alpha"), (["/elsewhere"], "alpha"),
        ([TREE], "trees/s"), ([f"{HOME}/outputs"], "alpha"), ([f"{HOME}/gamma", TREE], "gamma"),
    ],
)  # fmt: skip
def test_the_transcript_decides(slugs: list[str], expected: str) -> None:
    for cwd in ("", "/sessions/s/mnt/alpha"):
        if not cwd or expected != "trees/s":
            assert choose(["outputs", "gamma", "alpha"], cwd, slugs=slugs) == f"{HOME}/{expected}"


def test_the_clients_folder_is_a_candidate_before_the_others() -> None:
    slugs = [f"{HOME}/alpha", f"{HOME}/gamma/x"]
    assert choose(["gamma", "alpha"], "/sessions/s/mnt/gamma/x", slugs=slugs) == f"{HOME}/gamma/x"
    assert choose(["gamma", "alpha"], "/sessions/s/mnt/gamma/x", slugs=slugs[:1]) == f"{HOME}/alpha"


def test_the_reasons() -> None:
    session = SessionMap("s", TREE, [MappedMount("a", "/a"), MappedMount("b", "/b")])
    reasons = [
        choose_workdir(session, cwd=cwd, hint=hint, home=HOME, resolve=str, transcript_slugs=slugs).reason
        for cwd, hint, slugs in [("", "", ()), ("", "/b", ()), ("/sessions/s/mnt/b", "", ()), ("", "", ["-b"])]
    ]
    assert reasons == [
        "mount a is the first by name", "mount b is the first of CLAUDE_CODE_WORKSPACE_HOST_PATHS",
        "the client asked for it", "it has the transcript",
    ]  # fmt: skip


def test_a_session_that_has_paths_of_its_own_files_transcripts_under_them() -> None:
    session = SessionMap("s", TREE, [MappedMount("a", "/a"), MappedMount("b", "/b")])

    def chosen(*slugs: str) -> str:
        found = choose_workdir(
            session, cwd="", hint="", home=HOME, resolve=str, transcript_slugs=set(map(project_slug, slugs)),
            inside=session.to_guest,
        )  # fmt: skip
        return found.path

    assert chosen("/sessions/s/mnt/b") == "/b"
    assert chosen("/b") == "/a", "the host's path is none of its own"
    assert chosen("/sessions/s") == TREE
    assert chosen("/sessions/s/mnt/b", "/sessions/s/mnt/a") == "/a"


def test_a_folder_that_the_session_does_not_see_goes_by_the_hosts_path() -> None:
    session = SessionMap("s", TREE, [MappedMount("a", "/a")])
    found = choose_workdir(
        session, cwd="/x", hint="", home=HOME, resolve=lambda path: path if path == "/x" else None,
        transcript_slugs={project_slug("/x")}, inside=session.to_guest,
    )  # fmt: skip
    assert (found.path, found.reason) == ("/x", "it has the transcript")
