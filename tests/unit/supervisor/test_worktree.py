"""Worktrees: where they are made, what speaks against removing one, and that nothing is lost with it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from cowork.errors import ConfigError
from cowork.sessions.record import WorktreeRecord
from cowork.supervisor import git as git_module
from cowork.supervisor import worktree
from cowork.supervisor.worktree import create, remove, uncommitted, what_would_be_lost
from tests.support.holding import short_folder

BRANCH = "cowork/fix-abc"
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Tester"), ("EMAIL", "tester@example.org"), ("DATE", "2026-01-01T00:00:00Z"))
}


def git(folder: Path | str, *arguments: str) -> str:
    """Run git in a folder; what it prints, without the last newline. Submodules may come from a folder."""
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.removesuffix("\n")


def commit(folder: Path | str, name: str, content: str = "new\n") -> str:
    """Commit a file; the commit."""
    Path(folder, name).write_text(content)
    git(folder, "add", "--", name)
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "HEAD")


def new_repository(path: Path) -> Path:
    """A repository with a file, a file in a folder, and a rule that ignores *.log and build/."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    (path / "sub" / "deep").mkdir(parents=True)
    (path / "sub" / "deep" / "b.txt").write_text("b\n")
    (path / ".gitignore").write_text("*.log\nbuild/\n")
    (path / "a.txt").write_text("a\n")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "first")
    return path


def branches(repository: Path | str) -> set[str]:
    return set(git(repository, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split("\n"))


def has_branch(repository: Path | str, branch: str = BRANCH) -> bool:
    return branch in branches(repository)


def entries(repository: Path) -> list[str]:
    """Names of the administrative folders for linked worktrees."""
    folder = repository / ".git" / "worktrees"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def snapshot(*folders: Path) -> dict[str, tuple[int, bytes]]:
    """Type and content of everything in some folders."""
    seen: dict[str, tuple[int, bytes]] = {}
    for folder in folders:
        for path in sorted([folder, *folder.rglob("*")]):
            kind = stat.S_IFMT(path.lstat().st_mode)
            seen[str(path)] = (kind, path.read_bytes() if stat.S_ISREG(kind) else b"")
    return seen


class Session(NamedTuple):
    """A repository, and the worktree that was made of it for a session."""

    repository: Path
    tree: WorktreeRecord
    path: Path

    @property
    def entry(self) -> Path:
        return Path(git(self.path, "rev-parse", "--absolute-git-dir"))


@pytest.fixture(autouse=True)
def _own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    own = {"HOME": str(tmp_path / "home"), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for name, value in (own | IDENTITY).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repo")


@pytest.fixture
def session(repository: Path, tmp_path: Path) -> Session:
    path = tmp_path / "trees" / "one"
    tree, _ = create(str(repository), path, BRANCH)
    return Session(repository, tree, path)


def assert_kept(session: Session, *, reasons: list[str] | None = None) -> list[str]:
    """It is kept, with these reasons, and nothing at all is changed by that; returns the reasons."""
    before = snapshot(session.repository, session.path)
    told = what_would_be_lost(session.tree)
    assert told
    if reasons is not None:
        assert told == reasons
    assert remove(session.tree) == told
    assert snapshot(session.repository, session.path) == before
    return told


def assert_gone(session: Session) -> None:
    assert not session.path.exists()
    assert entries(session.repository) == []
    assert not has_branch(session.repository)
    assert git(session.repository, "fsck", "--connectivity-only", "--no-dangling") == ""


# Making one


def test_a_worktree_has_a_branch_of_its_own_from_head(repository: Path, tmp_path: Path) -> None:
    place = tmp_path / "trees" / "id" / "one"
    tree, folder = create(str(repository), place, BRANCH)
    head = git(repository, "rev-parse", "HEAD")
    assert tree == WorktreeRecord(path=str(place), branch=BRANCH, repository=str(repository / ".git"), base=head)
    assert folder == str(place)
    assert git(place, "symbolic-ref", "HEAD") == f"refs/heads/{BRANCH}"
    assert git(place, "rev-parse", "HEAD") == head
    assert (place / "sub" / "deep" / "b.txt").read_text() == "b\n"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place, place.parent, place.parent.parent)] == [0o700] * 3
    assert git(place, "status", "--porcelain") == git(repository, "status", "--porcelain") == ""
    assert git(repository, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert msgspec.json.decode(msgspec.json.encode(tree), type=WorktreeRecord) == tree


@pytest.mark.parametrize("name", ["with spaces", "größe-日本", "two\nlines", "-dash", "per%cent*[x]"])
def test_names_of_any_kind(name: str, tmp_path: Path) -> None:
    repository = new_repository(tmp_path / name)
    (repository / name).mkdir()
    commit(repository, f"{name}/inner.txt")
    place = tmp_path / f"trees of {name}" / name
    tree, folder = create(str(repository / name), place, "cowork/größe")
    assert (tree.path, tree.repository, folder) == (str(place), str(repository / ".git"), str(place / name))
    assert (place / name / "inner.txt").exists()
    (place / name / "more").touch()
    assert len(what_would_be_lost(tree)) == 1
    (place / name / "more").unlink()
    assert remove(tree) == []
    assert not place.exists()
    assert not has_branch(repository, "cowork/größe")


def test_a_folder_in_the_repository(repository: Path, tmp_path: Path) -> None:
    place = tmp_path / "one"
    assert create(str(repository / "sub" / "deep"), place, BRANCH)[1] == str(place / "sub" / "deep")


def test_a_folder_that_head_does_not_have(repository: Path, tmp_path: Path) -> None:
    (repository / "notes").mkdir()
    assert create(str(repository / "notes"), tmp_path / "one", BRANCH)[1] == str(tmp_path / "one")


def test_a_folder_that_is_a_link_to_elsewhere_in_head(repository: Path, tmp_path: Path) -> None:
    (repository / "linked").symlink_to(tmp_path)
    git(repository, "add", "linked")
    git(repository, "commit", "-q", "-m", "link")
    (repository / "linked").unlink()
    (repository / "linked").mkdir()
    place = tmp_path / "one"
    assert create(str(repository / "linked"), place, BRANCH)[1] == str(place)
    assert (place / "linked").is_symlink()


def test_a_folder_reached_by_a_link_and_a_place_below_one(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository / "sub")
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    tree, folder = create(str(tmp_path / "link" / "deep"), tmp_path / "alias" / "one", BRANCH)
    assert (tree.path, tree.repository) == (str(tmp_path / "real" / "one"), str(repository / ".git"))
    assert folder == str(tmp_path / "real" / "one" / "sub" / "deep")
    assert remove(tree) == []


def test_relative_paths(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (repository / "new").touch()
    assert uncommitted("repo")
    assert create("repo/sub", Path("one"), BRANCH)[1] == str(tmp_path / "one" / "sub")


def test_a_folder_in_a_linked_worktree_begins_with_its_head(repository: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", "-b", "feature", str(linked))
    head = commit(linked, "c.txt")
    tree, folder = create(str(linked / "sub"), tmp_path / "one", BRANCH)
    assert (tree.base, tree.repository) == (head, str(repository / ".git"))
    assert folder == str(tmp_path / "one" / "sub")
    assert remove(tree) == []
    assert entries(repository) == ["linked"]
    assert has_branch(repository, "feature")


def test_a_folder_in_a_submodule(repository: Path, tmp_path: Path) -> None:
    outer = new_repository(tmp_path / "outer")
    git(outer, "submodule", "--quiet", "add", str(repository), "module")
    git(outer, "commit", "-q", "-m", "submodule")
    place = tmp_path / "one"
    tree, folder = create(str(outer / "module" / "sub"), place, BRANCH)
    assert (tree.repository, folder) == (str(outer / ".git" / "modules" / "module"), str(place / "sub"))
    assert what_would_be_lost(tree) == []
    commit(place, "c.txt")
    shutil.rmtree(outer / "module")  # the repository's settings name it as the work tree
    assert what_would_be_lost(tree) == [f"1 commit that no branch but {BRANCH} has"]
    git(tree.repository, "--work-tree=.", "branch", "other", BRANCH)
    assert remove(tree) == []
    assert not place.exists()
    assert git(tree.repository, "--work-tree=.", "for-each-ref", f"refs/heads/{BRANCH}") == ""


def test_a_bare_repository_with_commits(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    tree, folder = create(str(bare), tmp_path / "one", BRANCH)
    assert (tree.repository, folder) == (str(bare), str(tmp_path / "one"))
    assert not uncommitted(str(bare))
    assert what_would_be_lost(tree) == []
    # A user who wants bare repositories to be named would otherwise keep the branch for ever.
    (tmp_path / "settings").write_text("[safe]\nbareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    shutil.rmtree(tree.path)
    assert remove(tree) == []
    assert git(tmp_path, f"--git-dir={bare}", "for-each-ref", f"refs/heads/{BRANCH}") == ""


def test_what_is_not_committed_stays_where_it_is(repository: Path, tmp_path: Path) -> None:
    (repository / "a.txt").write_text("changed\n")
    (repository / "new.txt").touch()
    assert uncommitted(str(repository / "sub"))
    create(str(repository), tmp_path / "one", BRANCH)
    assert (tmp_path / "one" / "a.txt").read_text() == "a\n"
    assert not (tmp_path / "one" / "new.txt").exists()
    assert (repository / "a.txt").read_text() == "changed\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: None, False),
        (lambda r: (r / "x.log").touch(), False),
        (lambda r: (r / "a.txt").write_text("x"), True),
        (lambda r: (r / "a.txt").unlink(), True),
        (lambda r: (r / "new").touch(), True),
        (lambda r: git(r, "rm", "-q", "--cached", "a.txt"), True),
    ],
    ids=["clean", "ignored", "changed", "deleted", "untracked", "staged"],
)
def test_uncommitted(change: Callable[[Path], object], expected: bool, repository: Path) -> None:
    git(repository, "config", "status.showUntrackedFiles", "no")
    change(repository)
    assert uncommitted(str(repository / "sub")) is expected
    assert not uncommitted(str(repository / ".git"))


def test_the_callers_variables_do_not_count(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = new_repository(tmp_path / "other")
    index = (other / ".git" / "index").read_bytes()
    for name in git_module.LOCAL:
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert not uncommitted(str(repository))
    tree, _ = create(str(repository), tmp_path / "one", BRANCH)
    (tmp_path / "one" / "new").touch()
    kept = remove(tree)
    (tmp_path / "one" / "new").unlink()
    assert (tree.repository, kept, remove(tree)) == (str(repository / ".git"), ['untracked: "new"'], [])
    assert (other / ".git" / "index").read_bytes() == index


def test_neither_hooks_nor_a_monitor_run(repository: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\necho $0 >> '{ran}'\n")
    script.chmod(0o700)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (repository / ".git" / "hooks" / name).symlink_to(script)
    git(repository, "config", "core.fsmonitor", str(script))
    git(repository, "status")
    assert ran.exists()  # so they would have run
    ran.unlink()
    tree, _ = create(str(repository), tmp_path / "one", BRANCH)
    assert not uncommitted(str(repository))
    assert remove(tree) == []
    assert not ran.exists()


# Making none


def assert_nothing_made(repository: Path, tmp_path: Path, before: set[Path]) -> None:
    assert set(tmp_path.iterdir()) == before
    assert entries(repository) == []
    assert git(repository, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


@pytest.mark.parametrize("bare", [False, True])
def test_a_repository_without_a_commit(bare: bool, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", *(["--bare"] if bare else []), "empty")
    with pytest.raises(ConfigError, match="empty has no commit") as caught:
        create(str(tmp_path / "empty"), tmp_path / "trees" / "one", BRANCH)
    assert caught.value.hint
    assert not (tmp_path / "trees").exists()


@pytest.mark.parametrize(
    ("folder", "message"), [("home", "home is in no git repository"), ("gone", "gone is no folder")]
)
def test_no_repository(folder: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        create(str(tmp_path / folder), tmp_path / "trees" / "one", BRANCH)
    assert caught.value.hint
    with pytest.raises(ConfigError, match=message):
        uncommitted(str(tmp_path / folder))
    assert not (tmp_path / "trees").exists()


def test_a_repository_of_somebody_else(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ConfigError, match=r"repo cannot be read: git: detected dubious ownership") as caught:
        create(str(repository), tmp_path / "trees" / "one", BRANCH)
    assert caught.value.hint
    assert not (tmp_path / "trees").exists()


def test_no_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match="git is not installed") as caught:
        create(str(repository), tmp_path / "trees" / "one", BRANCH)
    assert caught.value.hint is not None
    assert "install git" in caught.value.hint
    assert not (tmp_path / "trees").exists()


@pytest.mark.parametrize(
    "branch",
    ["", "a b", "-x", "--orphan", "HEAD", "@{-1}", "a..b", "x.lock", "a\nb", "/a", "a/", "a:b", "*", "\udcff"],
)
def test_names_that_no_branch_may_have(branch: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-q", "-b", "before")
    git(repository, "checkout", "-q", "main")  # so that there is a branch before this one, @{-1}
    git(repository, "branch", "-q", "-D", "before")
    before = set(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"is no name for a branch|is not UTF-8") as caught:
        create(str(repository), tmp_path / "trees" / "one", branch)
    assert caught.value.hint
    assert_nothing_made(repository, tmp_path, before)


@pytest.mark.parametrize(
    ("there", "message"),
    [(BRANCH, f"there is a branch {BRANCH} already"), ("cowork", "can be made"), (f"{BRANCH}/x", "can be made")],
)
def test_a_branch_that_is_taken(there: str, message: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "branch", there)
    before = snapshot(repository)
    with pytest.raises(ConfigError, match=message) as caught:
        create(str(repository), tmp_path / "trees" / "one", BRANCH)
    assert caught.value.hint
    assert not (tmp_path / "trees").exists()
    assert snapshot(repository) == before


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_a_place_that_is_taken(kind: str, repository: Path, tmp_path: Path) -> None:
    place = tmp_path / "one"
    if kind == "link":
        place.symlink_to("nowhere")
    elif kind == "file":
        place.touch()
    else:
        place.mkdir()
    before = set(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="one is there already"):
        create(str(repository), place, BRANCH)
    assert_nothing_made(repository, tmp_path, before)


def test_a_place_that_cannot_be_made(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = set(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"file/trees cannot be made: Not a directory"):
        create(str(repository), tmp_path / "file" / "trees" / "one", BRANCH)
    assert_nothing_made(repository, tmp_path, before)


def test_a_place_of_which_git_misses_a_worktree(session: Session) -> None:
    commit(session.path, "c.txt")
    shutil.rmtree(session.path)
    before = snapshot(session.repository)
    with pytest.raises(ConfigError, match="which is missing"):
        create(str(session.repository), session.path, "another")
    assert snapshot(session.repository) == before


def test_a_path_that_cannot_be_written_down(repository: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r'\\udcff" is not UTF-8'):
        create(str(repository), tmp_path / "trees" / "\udcff", BRANCH)
    assert_nothing_made(repository, tmp_path, before)


def with_filter(repository: Path, command: str) -> None:
    """Files *.bin go through a command when they are checked out; there is one."""
    (repository / ".gitattributes").write_text("*.bin filter=own\n")
    git(repository, "add", ".gitattributes")
    commit(repository, "z.bin")
    git(repository, "config", "filter.own.required", "true")
    git(repository, "config", "filter.own.smudge", command)


def test_a_failure_half_way_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    with_filter(repository, "false")
    before = set(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"no worktree can be made: git: z\.bin: smudge filter own failed") as caught:
        create(str(repository), tmp_path / "trees" / "id" / "one", BRANCH)
    assert caught.value.hint
    assert_nothing_made(repository, tmp_path, before)


def test_a_folder_above_that_others_use_stays(repository: Path, tmp_path: Path) -> None:
    with_filter(repository, "false")
    (tmp_path / "trees").mkdir()
    with pytest.raises(ConfigError):
        create(str(repository), tmp_path / "trees" / "one", BRANCH)
    assert list((tmp_path / "trees").iterdir()) == []


class _Interrupted(BaseException):
    pass


def test_an_interruption_half_way_leaves_nothing_and_nobody(repository: Path, tmp_path: Path) -> None:
    reached = tmp_path / "home" / "reached"
    with_filter(repository, f"echo $$ > '{reached}.new' && mv '{reached}.new' '{reached}' && exec sleep 60")
    before = set(tmp_path.iterdir())

    def interrupt(_signal: int, _frame: object) -> None:
        raise _Interrupted

    def wait() -> None:
        for _ in range(3000):
            if reached.exists():
                break
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, interrupt)
    waiting = threading.Thread(target=wait)
    try:
        waiting.start()
        with pytest.raises(_Interrupted):
            create(str(repository), tmp_path / "trees" / "one", BRANCH)
    finally:
        waiting.join()
        signal.signal(signal.SIGUSR1, old)
    assert_nothing_made(repository, tmp_path, before)
    for _ in range(500):  # whoever inherits it has to reap it first
        if not alive(int(reached.read_text())):
            break
        time.sleep(0.01)
    assert not alive(int(reached.read_text()))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Removing one


def test_nothing_lost(session: Session) -> None:
    assert what_would_be_lost(session.tree) == []
    assert remove(session.tree) == []
    assert_gone(session)
    assert remove(session.tree) == []


def test_to_look_writes_nothing(session: Session) -> None:
    for folder in (session.repository, session.path):
        os.utime(folder / "a.txt", (1, 1))  # git would note in its index that it has looked at the content
    before = snapshot(session.repository, session.path)
    assert not uncommitted(str(session.repository))
    assert what_would_be_lost(session.tree) == []
    assert snapshot(session.repository, session.path) == before


def test_the_branchs_settings_go_with_it(session: Session) -> None:
    git(session.repository, "config", f"branch.{BRANCH}.remote", "origin")
    git(session.repository, "config", "branch.main.remote", "origin")
    assert remove(session.tree) == []
    assert git(session.repository, "config", "--get-regexp", "^branch") == "branch.main.remote origin"


def stage(path: Path) -> None:
    (path / "a.txt").write_text("staged\n")
    git(path, "add", "a.txt")


def intended(path: Path) -> None:
    (path / "n").touch()
    git(path, "add", "--intent-to-add", "n")


def stage_only(path: Path) -> None:
    """What is staged is in the index alone."""
    stage(path)
    (path / "a.txt").write_text("a\n")


def mark(path: Path, option: str) -> None:
    git(path, "update-index", option, "a.txt")
    (path / "a.txt").write_text("not to be seen\n")


def nested(path: Path) -> None:
    (path / "inner").mkdir()
    git(path / "inner", "init", "-q")


def many(path: Path) -> None:
    (path / "build").mkdir()
    (path / "build" / "out").touch()
    for name in ("w.log", "x.log", "y.log", "z.log"):
        (path / name).touch()


def odd_names(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path) + b"/\xff\n")).touch()
    (path / "größe → x").touch()


def orphan(path: Path) -> None:
    git(path, "checkout", "-q", "--orphan", "fresh")


def unmerged(path: Path) -> str:
    """A branch whose a.txt is not that of HEAD; its commit. HEAD's branch has got a commit of its own as well."""
    git(path, "checkout", "-q", "-b", "theirs")
    theirs = commit(path, "a.txt", "theirs\n")
    git(path, "checkout", "-q", BRANCH)
    commit(path, "a.txt", "ours\n")
    git(path, "branch", "ours")  # the commit is no loss
    return theirs


def attempt(path: Path, *arguments: str) -> None:
    """Run git although it fails, because of a conflict."""
    with pytest.raises(subprocess.CalledProcessError):
        git(path, *arguments)


def merge(path: Path) -> None:
    attempt(path, "merge", unmerged(path))


def rebase(path: Path) -> None:
    attempt(path, "rebase", unmerged(path))


def am(path: Path) -> None:
    patch = git(path, "format-patch", "-1", "--stdout", unmerged(path))
    (path.parent / "patch").write_text(patch + "\n")
    attempt(path, "am", str(path.parent / "patch"))


def cherry_pick(path: Path) -> None:
    attempt(path, "cherry-pick", unmerged(path))


def several_picks(path: Path) -> None:
    theirs = unmerged(path)
    attempt(path, "cherry-pick", theirs, "main")
    git(path, "reset", "-q", "--hard")  # ends the one, and the others are still to come


def revert(path: Path) -> None:
    unmerged(path)
    first = git(path, "rev-parse", "HEAD")
    commit(path, "a.txt", "again\n")
    git(path, "branch", "-f", "ours")
    attempt(path, "revert", first)


def bisect(path: Path) -> None:
    git(path, "bisect", "start")


def submodule(path: Path) -> None:
    other = new_repository(path.parent / "other")
    git(path, "submodule", "--quiet", "add", str(other), "module")
    git(path, "commit", "-q", "-m", "submodule")
    git(path, "branch", "elsewhere")


def submodule_without_files(path: Path) -> None:
    submodule(path)
    git(path, "submodule", "--quiet", "deinit", "-f", "module")


HIDDEN = "not looked at by git (skip-worktree, assume-unchanged)"
SUBMODULES = "submodules with repositories of their own"
HINDRANCES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "changed": (lambda p: (p / "a.txt").write_text("x"), ['changed: "a.txt"']),
    "mode": (lambda p: (p / "a.txt").chmod(0o755), ['changed: "a.txt"']),
    "deleted": (lambda p: (p / "sub" / "deep" / "b.txt").unlink(), ['changed: "sub/deep/b.txt"']),
    "staged": (stage, ['changed: "a.txt"']),
    "staged-only": (stage_only, ['changed: "a.txt"']),
    "renamed": (lambda p: git(p, "mv", "a.txt", "c.txt"), ['changed: "a.txt", "c.txt"']),
    "intended": (intended, ['changed: "n"']),
    "untracked": (lambda p: (p / "n").touch(), ['untracked: "n"']),
    "untracked-link": (lambda p: (p / "n").symlink_to("nowhere"), ['untracked: "n"']),
    "nested": (nested, ['untracked: "inner/"']),
    "ignored": (lambda p: (p / "x.log").touch(), ['ignored: "x.log"']),
    "many-ignored": (many, ['ignored: "build/", "w.log", "x.log" and 2 more']),
    "odd-names": (odd_names, ['untracked: "größe → x", "\\udcff\\n"']),
    "assumed": (lambda p: mark(p, "--assume-unchanged"), [f'{HIDDEN}: "a.txt"']),
    "skipped": (lambda p: mark(p, "--skip-worktree"), [f'{HIDDEN}: "a.txt"']),
    "commit": (lambda p: commit(p, "c.txt"), [f"1 commit that no branch but {BRANCH} has"]),
    "commits": (
        lambda p: (commit(p, "c.txt"), commit(p, "d.txt")),
        [f"2 commits that no branch but {BRANCH} has"],
    ),
    "left-behind": (
        lambda p: (commit(p, "c.txt"), git(p, "checkout", "-q", "-b", "other", "main")),
        [f"1 commit that no branch but {BRANCH} has"],
    ),
    "detached": (
        lambda p: (git(p, "checkout", "-q", "--detach"), commit(p, "c.txt")),
        ["1 commit that only its detached HEAD has"],
    ),
    "detached-ahead": (
        lambda p: (commit(p, "c.txt"), git(p, "checkout", "-q", "--detach"), commit(p, "d.txt"), commit(p, "e.txt")),
        ["2 commits that only its detached HEAD has", f"1 commit that no branch but {BRANCH} has"],
    ),
    "detached-without-branch": (
        lambda p: (git(p, "checkout", "-q", "--detach"), git(p, "branch", "-D", BRANCH), commit(p, "c.txt")),
        ["1 commit that only its detached HEAD has"],
    ),
    "orphan": (orphan, ['changed: ".gitignore", "a.txt", "sub/deep/b.txt"']),
    "merge": (merge, ["a merge is under way", 'changed: "a.txt"']),
    "rebase": (rebase, ["a rebase is under way", 'changed: "a.txt"']),
    "am": (am, ["a rebase is under way"]),
    "cherry-pick": (cherry_pick, ["a cherry-pick is under way", 'changed: "a.txt"']),
    "picks": (several_picks, ["a series of picks is under way"]),
    "revert": (revert, ["a revert is under way", 'changed: "a.txt"']),
    "bisect": (bisect, ["a bisect is under way"]),
    "locked": (lambda p: git(p, "worktree", "lock", str(p)), ["it is locked"]),
    "locked-why": (
        lambda p: git(p, "worktree", "lock", "--reason", "on a\nstick", str(p)),
        ['it is locked: "on a\\nstick"'],
    ),
    "submodule": (submodule, [f'{SUBMODULES}: "module"']),
    "submodule-repository": (submodule_without_files, [f'{SUBMODULES}: "module"']),
}


@pytest.mark.parametrize("kind", HINDRANCES)
def test_each_reason_keeps_it_as_it_is(kind: str, session: Session) -> None:
    hinder, reasons = HINDRANCES[kind]
    hinder(session.path)
    assert_kept(session, reasons=reasons)


@pytest.mark.parametrize("kind", HINDRANCES)
def test_discarded_it_goes_all_the_same(kind: str, session: Session) -> None:
    HINDRANCES[kind][0](session.path)
    others = branches(session.repository) - {BRANCH}
    assert remove(session.tree, discard=True) == []
    assert not session.path.exists()
    assert entries(session.repository) == []
    assert branches(session.repository) == others


def test_a_users_settings_do_not_hide_anything(session: Session) -> None:
    git(session.repository, "config", "status.showUntrackedFiles", "no")
    git(session.repository, "config", "diff.ignoreSubmodules", "all")
    (session.path / "n").touch()
    assert_kept(session, reasons=['untracked: "n"'])


def test_a_submodule_at_another_commit_is_a_change(session: Session) -> None:
    submodule(session.path)
    commit(session.path / "module", "c.txt")
    git(session.repository, "config", "diff.ignoreSubmodules", "all")
    assert_kept(session, reasons=['changed: "module"', f'{SUBMODULES}: "module"'])


def test_a_submodule_that_is_not_initialised_is_no_reason(repository: Path, tmp_path: Path) -> None:
    other = new_repository(tmp_path / "other")
    git(repository, "submodule", "--quiet", "add", str(other), "module")
    git(repository, "commit", "-q", "-m", "submodule")
    tree, _ = create(str(repository), tmp_path / "one", BRANCH)
    assert remove(tree) == []
    assert not (tmp_path / "one").exists()


def test_a_sparse_checkout_hides_nothing(session: Session) -> None:
    git(session.path, "sparse-checkout", "set", "--no-cone", "/*", "!/sub/")
    assert not (session.path / "sub").exists()
    assert what_would_be_lost(session.tree) == []
    assert remove(session.tree) == []
    assert_gone(session)


@pytest.mark.parametrize(
    "keep",
    [
        ("branch", "other", BRANCH),
        ("tag", "v1", BRANCH),
        ("tag", "-a", "-m", "one", "v1", BRANCH),
        ("update-ref", "refs/remotes/origin/x", BRANCH),
    ],
    ids=["branch", "tag", "annotated", "remote"],
)
def test_commits_that_are_elsewhere_are_no_loss(keep: tuple[str, ...], session: Session) -> None:
    made = commit(session.path, "c.txt")
    git(session.repository, *keep)
    assert what_would_be_lost(session.tree) == []
    assert remove(session.tree) == []
    assert_gone(session)
    assert made in git(session.repository, "rev-list", "--all").split()


def test_another_branch_that_head_is_on_stays(session: Session) -> None:
    git(session.path, "checkout", "-q", "-b", "feature")
    made = commit(session.path, "c.txt")
    assert remove(session.tree) == []
    assert_gone(session)
    assert git(session.repository, "rev-parse", "feature") == made


def test_a_detached_head_on_a_branch_is_no_loss(session: Session) -> None:
    git(session.path, "checkout", "-q", "--detach")
    commit(session.path, "c.txt")
    git(session.path, "branch", "feature")
    assert remove(session.tree) == []
    assert_gone(session)


def test_a_branch_that_was_removed_is_no_hindrance(session: Session) -> None:
    git(session.path, "branch", "-m", BRANCH, "renamed")
    commit(session.path, "c.txt")
    assert remove(session.tree) == []
    assert_gone(session)
    assert has_branch(session.repository, "renamed")


def test_the_commit_it_began_with_was_there_before(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    commit(repository, "c.txt")
    tree, _ = create(str(repository), tmp_path / "one", BRANCH)
    assert remove(tree) == []
    assert not has_branch(repository)


def test_a_branch_that_another_worktree_is_on_stays(session: Session, tmp_path: Path) -> None:
    made = commit(session.path, "c.txt")
    git(session.repository, "worktree", "add", "-q", "-f", str(tmp_path / "other"), BRANCH)
    assert what_would_be_lost(session.tree) == []
    assert remove(session.tree) == []
    assert not session.path.exists()
    assert entries(session.repository) == ["other"]
    assert git(tmp_path / "other", "rev-parse", "HEAD") == made
    assert remove(session.tree, discard=True) == []
    assert git(tmp_path / "other", "rev-parse", "HEAD") == made


def test_a_branch_that_the_user_is_on_stays_when_the_worktree_is_discarded(session: Session) -> None:
    git(session.path, "checkout", "-q", "--detach")
    git(session.repository, "checkout", "-q", BRANCH)
    assert remove(session.tree, discard=True) == []
    assert has_branch(session.repository)
    assert git(session.repository, "status", "--porcelain") == ""


def test_a_branch_that_stands_for_another_goes_alone(session: Session) -> None:
    git(session.path, "checkout", "-q", "--detach")
    git(session.repository, "symbolic-ref", f"refs/heads/{BRANCH}", "refs/heads/main")
    assert remove(session.tree) == []
    assert git(session.repository, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_branch_that_moves_meanwhile_stays(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    look = worktree._branch_losses
    moved: list[str] = []

    def and_then_commit(tree: WorktreeRecord, found: worktree._Found) -> list[str]:
        reasons = look(tree, found)
        if not moved:
            moved.append(commit(session.path, "c.txt"))
        return reasons

    monkeypatch.setattr(worktree, "_branch_losses", and_then_commit)
    assert BRANCH in remove(session.tree)[0]
    assert git(session.repository, "rev-parse", BRANCH) == moved[0]
    assert remove(session.tree) == []  # the worktree is gone, and the branch is the user's by now
    assert git(session.repository, "rev-parse", BRANCH) == moved[0]


def test_a_file_that_comes_meanwhile_stays(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    look = worktree._losses

    def and_then_write(tree: WorktreeRecord, found: worktree._Found) -> list[str]:
        reasons = look(tree, found)
        (session.path / "n").touch()
        return reasons

    git(session.repository, "config", "status.showUntrackedFiles", "no")
    monkeypatch.setattr(worktree, "_losses", and_then_write)
    assert "contains modified or untracked files" in remove(session.tree)[0]
    assert (session.path / "n").exists()
    assert has_branch(session.repository)


# What is gone already, or cannot be told


def test_a_worktree_that_is_gone_is_forgotten_and_no_other(session: Session, tmp_path: Path) -> None:
    other, _ = create(str(session.repository), tmp_path / "other", "other")
    shutil.rmtree(session.path)
    shutil.rmtree(other.path)
    assert what_would_be_lost(session.tree) == []
    assert remove(session.tree) == []
    assert entries(session.repository) == ["other"]
    assert not has_branch(session.repository)
    assert has_branch(session.repository, "other")


def test_of_one_that_is_gone_the_branch_stays_if_its_commits_are_nowhere_else(session: Session) -> None:
    made = commit(session.path, "c.txt")
    shutil.rmtree(session.path)
    assert what_would_be_lost(session.tree) == [f"1 commit that no branch but {BRANCH} has"]
    assert remove(session.tree) == []
    assert entries(session.repository) == []
    assert git(session.repository, "rev-parse", BRANCH) == made
    assert remove(session.tree, discard=True) == []
    assert_gone(session)


@pytest.mark.parametrize("kind", ["detached", "locked", "submodule", "rebase"])
def test_of_one_that_is_gone_git_keeps_what_it_alone_has(kind: str, session: Session) -> None:
    hinder, reasons = HINDRANCES[kind]
    hinder(session.path)
    shutil.rmtree(session.path)
    before = snapshot(session.repository)
    expected = [reason for reason in reasons if not reason.startswith("changed")]
    assert what_would_be_lost(session.tree) == expected
    assert remove(session.tree) == expected
    assert snapshot(session.repository) == before
    assert remove(session.tree, discard=True) == []
    assert_gone(session)


def test_one_that_git_has_forgotten(session: Session) -> None:
    shutil.rmtree(session.path)
    git(session.repository, "worktree", "prune")
    assert remove(session.tree) == []
    assert_gone(session)


def test_one_that_was_moved_counts_as_gone(session: Session, tmp_path: Path) -> None:
    git(session.repository, "worktree", "move", str(session.path), str(tmp_path / "moved"))
    assert remove(session.tree) == []
    assert git(tmp_path / "moved", "symbolic-ref", "HEAD") == f"refs/heads/{BRANCH}"
    assert git(tmp_path / "moved", "status", "--porcelain") == ""


def test_an_entry_with_a_relative_path_is_found(session: Session) -> None:
    entry = session.entry
    (entry / "gitdir").write_text(os.path.relpath(session.path / ".git", entry) + "\n")
    # This git may be too old to follow it, but not to lose it: it has to be known whose it is.
    assert worktree._entry(session.tree) == str(entry)


def replace(session: Session, make: Callable[[Path], None]) -> None:
    shutil.rmtree(session.path)
    make(session.path)


def damage_head(session: Session) -> None:
    (session.entry / "HEAD").write_text("nonsense\n")


def damage_index(session: Session) -> None:
    (session.entry / "index").write_bytes(b"DIRC nonsense")


def damage_commit(session: Session) -> None:
    made = commit(session.path, "c.txt")
    (session.repository / ".git" / "objects" / made[:2] / made[2:]).unlink()


def other_git_file(session: Session) -> None:
    """As if somebody had put another repository's there, whose settings name programs."""
    evil = new_repository(session.path.parent / "evil")
    ran = session.path.parent / "ran"
    git(evil, "config", "filter.x.clean", f"touch '{ran}'")
    (session.path / ".gitattributes").write_text("* filter=x\n")
    (session.path / ".git").write_text(f"gitdir: {evil}/.git\n")


def other_common_folder(session: Session) -> None:
    """As above, by way of the administrative folder."""
    evil = new_repository(session.path.parent / "evil")
    git(evil, "config", "filter.x.clean", f"touch '{session.path.parent / 'ran'}'")
    git(evil, "fetch", "-q", str(session.repository), f"{BRANCH}:{BRANCH}")
    (session.path / ".gitattributes").write_text("* filter=x\n")
    (session.path / "a.txt").write_text("b\n")
    (session.entry / "commondir").write_text(f"{evil}/.git\n")


DAMAGES: dict[str, tuple[Callable[[Session], object], str]] = {
    "head": (damage_head, "git: not a git repository"),
    "index": (damage_index, "git: "),
    "commit": (damage_commit, "git: bad object"),
    "repository": (lambda s: (s.repository / ".git" / "HEAD").unlink(), "git: not a git repository"),
    "repository-gone": (lambda s: shutil.rmtree(s.repository / ".git"), "git: not a git repository"),
    "git-file-gone": (lambda s: (s.path / ".git").unlink(), "git: not a git repository"),
    "git-file": (other_git_file, "is no worktree of"),
    "commondir": (other_common_folder, "is no worktree of"),
    "pruned": (lambda s: shutil.rmtree(s.entry), "git: not a git repository"),
    "other-entry": (lambda s: (s.entry / "gitdir").write_text("/elsewhere/.git\n"), "is no worktree of"),
    "emptied": (lambda s: replace(s, Path.mkdir), "git: not a git repository"),
    "file": (lambda s: replace(s, Path.touch), "git: cannot change to"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_git_cannot_tell_is_a_reason(kind: str, session: Session) -> None:
    damage, reason = DAMAGES[kind]
    damage(session)
    told = assert_kept(session)
    assert len(told) == 1
    assert reason in told[0]
    assert told[0].isprintable()
    assert not (session.path.parent / "ran").exists()


def test_a_repository_around_the_missing_one_is_not_taken_for_it(session: Session, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    commit(tmp_path, "around.txt")
    git(tmp_path, "branch", BRANCH)
    shutil.rmtree(session.path)
    (session.repository / ".git" / "HEAD").unlink()
    told = what_would_be_lost(session.tree)
    assert len(told) == 1
    assert "is no repository any more" in told[0]
    assert remove(session.tree) == remove(session.tree, discard=True) == told
    assert has_branch(tmp_path)


def test_a_worktree_of_somebody_else(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    told = assert_kept(session)
    assert len(told) == 1
    assert told[0].startswith("git: detected dubious ownership")
    shutil.rmtree(session.path)
    assert remove(session.tree)[0].startswith("git: detected dubious ownership")
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    assert has_branch(session.repository)


def test_git_is_missing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nonexistent")
        assert_kept(session, reasons=["git is not installed"])
    assert remove(session.tree) == []


def test_a_record_that_makes_no_sense_raises_nothing(tmp_path: Path) -> None:
    tree = WorktreeRecord(path=f"{tmp_path}/\0", branch="\0", repository=f"{tmp_path}/\0", base="")
    assert what_would_be_lost(tree) == ["embedded null byte"]
    assert remove(tree) == ["embedded null byte"]


def test_folder_and_repository_gone(session: Session) -> None:
    shutil.rmtree(session.path)
    shutil.rmtree(session.repository)
    assert what_would_be_lost(session.tree)[0].startswith("git: cannot change to")
    assert remove(session.tree) == []


@pytest.mark.parametrize("kind", ["repository-gone", "git-file-gone", "git-file", "index", "emptied", "commit"])
def test_discarded_it_goes_in_any_state(kind: str, session: Session) -> None:
    DAMAGES[kind][0](session)
    assert remove(session.tree, discard=True) == []
    assert not session.path.exists()
    if kind != "repository-gone":
        assert entries(session.repository) == []
        assert not has_branch(session.repository)


def test_what_cannot_be_discarded_is_told(session: Session) -> None:
    shutil.rmtree(session.path)
    session.path.symlink_to(session.repository)
    told = remove(session.tree, discard=True)
    assert len(told) == 1
    assert "cannot be removed" in told[0]
    assert (session.repository / "a.txt").exists()
    assert has_branch(session.repository)


def test_folders_that_may_not_be_written_to_are_discarded() -> None:
    user = os.geteuid()
    with short_folder() as folder:
        folder.chmod(0o777)
        tree = WorktreeRecord(path=str(folder / "one"), branch=BRANCH, repository=str(folder / "gone"), base="")
        if user == 0:
            os.seteuid(65534)  # root may write to any folder
        try:
            outside = folder / "outside"
            outside.mkdir(mode=0o500)
            module = folder / "one" / "cache" / "module@v1"
            (module / "unreadable").mkdir(parents=True)
            (module / "go.mod").touch()
            (module / "link").symlink_to(outside)
            (module / "unreadable").chmod(0)
            for closed in (module, module.parent, folder / "one"):
                closed.chmod(0o500)
            assert remove(tree, discard=True) == []
            assert list(folder.iterdir()) == [outside]
            assert stat.S_IMODE(outside.stat().st_mode) == 0o500
        finally:
            os.seteuid(user)
