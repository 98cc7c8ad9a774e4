"""Removing sessions: what runs stays, and so does what somebody may still want."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork import paths
from cowork.errors import PolicyError
from cowork.holder.page import SIZE, Page
from cowork.service.slots import advance, all_told, mark_exit, open_on
from cowork.sessions.directory import SessionDirectory, tree_size
from cowork.sessions.record import ExitRecord, SessionRecord, new_id
from cowork.supervisor import removal
from cowork.supervisor.launch import Wanted, start
from cowork.supervisor.overview import view
from cowork.supervisor.removal import Removed, leftovers, prunable, remove, sweep, usage
from tests.support import stream as s
from tests.support.daemon import RunningDaemon, wait_for
from tests.support.holding import Held, alive, child, short_folder, wait_gone
from tests.support.supervised import Home


def ended(home: Home, **fields: object) -> SessionDirectory:
    """A session that has ended well, a moment ago unless it is said otherwise."""
    directory = SessionDirectory(home.sessions, new_id())
    asked = {"kind": "shell", "name": "test", "created": time.time()} | fields
    exit = asked.pop("exit", ExitRecord(ended=time.time(), exit_code=0))
    directory.create(SessionRecord(id=directory.id, **asked)).close()  # type: ignore[arg-type]
    assert isinstance(exit, ExitRecord)
    directory.write_exit(exit)
    return directory


# -- what runs


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("state", ["starting", "working", "blocked", "idle"])
def test_what_runs_is_not_removed(home: Home, state: str, discard: bool) -> None:
    lines = {"starting": [], "working": [s.init()], "blocked": [s.asks(command="x")], "idle": [s.init(), s.result()]}
    held = home.scripted(*lines[state])
    assert home.seen(held).state == state
    with pytest.raises(PolicyError, match=f"session {held.directory.id} runs") as caught:
        remove(home.where, held.directory, discard=discard)
    assert caught.value.hint == f"cowork kill {held.directory.id}, or rm --force"
    assert home.seen(held).state == state


@pytest.mark.parametrize("record", ["{", '{"version":99,"id":"x","kind":"shell","name":"n"}'])
def test_what_runs_is_not_removed_though_its_record_cannot_be_read(home: Home, record: str) -> None:
    """By a newer release, say, whose session it is."""
    held = home.start(["/bin/cat"])
    held.client.status()
    (held.directory.path / "session.json").write_text(record)
    assert home.seen(held).state == "unreadable"
    with pytest.raises(PolicyError, match="runs"):
        remove(home.where, held.directory)
    held.client.close_stdin()
    held.wait()
    assert remove(home.where, held.directory).id == held.directory.id
    assert not held.directory.path.exists()


# -- what has ended


def test_what_has_ended_is_removed_with_its_home(home: Home) -> None:
    held = home.start(["/bin/sh", "-c", "echo hello"])
    held.wait()
    private = home.where.homes / held.directory.id
    private.mkdir(parents=True)
    (private / "file").write_text("x" * 1000)
    records = held.directory.size()
    assert usage(home.where, held.directory, home.seen(held)) == (records, 1000, 0)
    assert remove(home.where, held.directory) == Removed(held.directory.id, records + 1000)
    assert not held.directory.path.exists()
    assert not private.exists()


def test_what_is_left_of_a_session_that_cannot_be_read_goes(home: Home) -> None:
    directory = ended(home)
    (directory.path / "session.json").write_text("{")
    (home.where.homes / directory.id).mkdir(parents=True)
    (home.where.homes / directory.id / "file").write_text("x" * 1000)
    (home.where.trees / "other").mkdir(parents=True)
    (home.where.trees / "other" / "file").write_text("x" * 5000)
    records = directory.size()
    assert usage(home.where, directory, view(directory, home.runtime).overview).home == 1000
    assert remove(home.where, directory).freed == records + 1000
    assert not (home.where.homes / directory.id).exists()
    assert (home.where.trees / "other" / "file").exists()


def test_one_of_the_shell_whose_holder_was_killed_is_ended_first(home: Home) -> None:
    held = home.start(["/bin/sleep", "60"])
    held.kill_holder()
    remove(home.where, held.directory)
    wait_gone(held.pid)
    assert not held.directory.path.exists()


# -- worktrees


def git(folder: str | Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def worker(home: Home) -> Held:
    """A session in a worktree, which has ended."""
    git(home.cwd, "init", "-q", "-b", "main")
    (home.cwd / "file").write_text("x\n")
    git(home.cwd, "add", ".")
    git(home.cwd, "commit", "-q", "-m", "one")
    held = home.adopted(start(home.where, Wanted(str(home.cwd), command=("cat",), worktree=True), home.environ))
    held.client.close_stdin()
    held.wait()
    return held


def tree_of(held: Held) -> Path:
    tree = held.directory.record().worktree
    assert tree is not None
    return Path(tree.path)


def branches(home: Home) -> list[str]:
    return git(home.cwd, "branch", "--format=%(refname:short)").split()


def test_a_worktree_in_which_nothing_was_done_goes_with_its_session(home: Home, worker: Held) -> None:
    tree, records = tree_of(worker), worker.directory.size()
    size = tree_size(tree)
    assert size > 0
    assert usage(home.where, worker.directory, home.seen(worker)) == (records, 0, size)
    assert remove(home.where, worker.directory) == Removed(worker.directory.id, records + size)
    assert branches(home) == ["main"]
    assert list(home.where.worktrees.iterdir()) == []


@pytest.mark.parametrize("discard", [False, True])
def test_a_worktree_with_work_in_it_is_kept_unless_it_is_to_be_discarded(
    home: Home, worker: Held, discard: bool
) -> None:
    tree, records = tree_of(worker), worker.directory.size()
    (tree / "new").write_text("work\n")
    size = tree_size(tree)
    found = remove(home.where, worker.directory, discard=discard)
    assert not worker.directory.path.exists()
    assert tree.exists() is not discard
    if discard:
        assert found == Removed(worker.directory.id, records + size)
        assert branches(home) == ["main"]
    else:
        assert (found.freed, found.kept, len(found.reasons)) == (records, str(tree), 1)
        assert '"new"' in found.reasons[0]
        assert len(branches(home)) == 2


def test_a_worktree_that_is_gone_already_is_no_trouble(home: Home, worker: Held) -> None:
    subprocess.run(["rm", "-r", str(tree_of(worker))], check=True)
    assert remove(home.where, worker.directory).kept == ""
    assert branches(home) == ["main"]


# -- what Claude Desktop has not seen


@pytest.fixture
def desktops(home: Home) -> SessionDirectory:
    return ended(home, kind="cowork", name="brave-otter")


def refused(home: Home, directory: SessionDirectory) -> bool:
    try:
        remove(home.where, directory)
    except PolicyError as e:
        said = e
    else:
        return False
    assert said.message.startswith(f"Claude Desktop has not been told yet how session {directory.id} ended")
    assert said.hint == "start Claude Desktop, or rm --discard"
    return directory.path.exists()


def test_an_end_that_nobody_was_told_is_kept(home: Home, desktops: SessionDirectory) -> None:
    assert refused(home, desktops)
    page = Page(desktops.readers)
    open_on(page, 1, new_session=True)
    advance(page, 1, 100, 100)
    assert refused(home, desktops), "of its output everything, but not the end"
    open_on(page, 2, new_session=True)
    mark_exit(page, 1)
    assert refused(home, desktops), "there is another one"
    page.set_state(2, 0)  # whose place was given up (Delivery.sweep)
    page.close()
    assert not refused(home, desktops)
    assert not desktops.path.exists()


def test_who_comes_later_has_been_told_what_anybody_was(home: Home, desktops: SessionDirectory) -> None:
    page = Page(desktops.readers)
    open_on(page, 1, new_session=True)
    mark_exit(page, 1)
    open_on(page, 9, new_session=False)
    page.close()
    assert not refused(home, desktops)


def test_what_nobody_was_told_goes_when_that_is_wanted(home: Home, desktops: SessionDirectory) -> None:
    tree = home.where.trees / "brave-otter"
    tree.mkdir(parents=True)
    (tree / "file").write_text("x" * 1000)
    records = desktops.size()
    assert usage(home.where, desktops, view(desktops, home.runtime).overview) == (records, 1000, 0)
    assert remove(home.where, desktops, discard=True) == Removed(desktops.id, records)
    assert (tree / "file").exists(), "which is Claude Desktop's to delete"


@pytest.mark.parametrize("content", [None, b"", b"\0" * (SIZE - 1)])
def test_without_a_page_nobody_waits_for_anything(
    home: Home, desktops: SessionDirectory, content: bytes | None
) -> None:
    desktops.readers.unlink()
    if content is not None:
        desktops.readers.write_bytes(content)
    assert not refused(home, desktops)


def test_what_is_left_of_one_that_nobody_holds_is_ended_before_its_record_goes(home: Home) -> None:
    """The daemon would have buried it; now nobody could know any more what that process is."""
    held = home.start(["/bin/sleep", "60"], record={"kind": "cowork"})
    held.kill_holder()
    assert refused(home, held.directory)
    assert alive(held.pid)
    remove(home.where, held.directory, discard=True)
    wait_gone(held.pid)
    assert not held.directory.path.exists()


def test_what_the_daemon_has_told_may_go(daemon: RunningDaemon) -> None:
    where = paths.resolve(daemon.environment)
    with daemon.client() as client:
        client.ask("spawn", {"id": "p1", "name": "otter", "command": "/bin/sh", "args": ["-c", "echo hello"]})
        (folder,) = daemon.sessions()
        directory = SessionDirectory(where.sessions, folder.name)
        wait_for(lambda: directory.exit() is not None)
        with pytest.raises(PolicyError, match="has not been told yet"):
            remove(where, directory)
        client.subscribe()
        client.until_exit("p1")
        wait_for(lambda: removal._told(directory), "the daemon notes what a client has been told")
    assert remove(where, directory).id == directory.id
    assert daemon.sessions() == []


actions = st.lists(
    st.tuples(st.sampled_from(["opens", "opens later", "told", "given up"]), st.integers(1, 4)), max_size=12
)


@given(actions)
def test_whatever_the_daemon_does_both_agree_on_who_was_told(steps: list[tuple[str, int]]) -> None:
    with short_folder() as folder:
        directory = SessionDirectory(folder, "abcdefghijkl")
        page = directory.create(SessionRecord(id="abcdefghijkl", kind="cowork", name="x"))
        used: set[int] = set()
        for what, slot in steps:
            if what.startswith("opens"):
                open_on(page, slot, new_session=what == "opens")
                used.add(slot)
            elif what == "told" and slot in used:
                mark_exit(page, slot)
            elif what == "given up":
                page.set_state(slot, 0)
                used.discard(slot)
            assert removal._told(directory) == all_told(page, iter(used))
        page.close()


# -- many


def test_what_has_ended_long_enough_ago_is_pruned_the_oldest_first(home: Home) -> None:
    now = time.time()

    def at(age: float, created: float, code: int = 0) -> dict[str, object]:
        return {"created": created, "exit": ExitRecord(ended=now - age, exit_code=code)}

    young, old = ended(home, **at(10, 3.0)), ended(home, **at(1000, 2.0))
    failed, oldest = ended(home, **at(1000, 1.0, 1)), ended(home, **at(2000, 0.0))
    ended(home, kind="cowork", **at(5000, 0.0))
    (ended(home, **at(5000, 0.0)).path / "session.json").write_text("{")
    running = home.start(["/bin/cat"])
    every = [young, old, failed, oldest, running.directory, SessionDirectory(home.sessions, "abcdefghijkl")]

    def found(older_than: float, *states: str) -> list[str]:
        pairs = prunable(home.where, every, older_than=older_than, states=frozenset(states))
        assert all(directory.id == one.id for directory, one in pairs)
        return [directory.id for directory, _ in pairs]

    assert found(0, "done", "failed", "stopped") == [oldest.id, failed.id, old.id, young.id]
    assert found(60, "done", "failed") == [oldest.id, failed.id, old.id]
    assert found(1500, "done", "failed") == [oldest.id]
    assert found(60, "failed") == [failed.id]
    assert found(0, "stopped") == []


def test_one_whose_end_has_no_date_is_as_old_as_its_last_word(home: Home) -> None:
    directory = ended(home, created=time.time() - 500, exit=ExitRecord(exit_code=0))
    assert prunable(home.where, [directory], older_than=400, states=frozenset({"done"}))
    assert not prunable(home.where, [directory], older_than=600, states=frozenset({"done"}))


def test_directories_without_a_record_are_left_over_after_a_while(home: Home) -> None:
    old = time.time() - removal.LEFTOVER_AGE - 10
    made = {name: home.sessions / name for name in ("aaaaaaaaaaaa", "aaaaaaaaaaab", "aaaaaaaaaaac", ".hidden")}
    for path in made.values():
        path.mkdir()
        (path / "file").write_text("x" * 100)
    (made["aaaaaaaaaaac"] / "session.json").write_text("{")
    (home.sessions / "file").write_text("x")
    (home.sessions / "link").symlink_to(home.cwd)
    for name in ("aaaaaaaaaaab", "aaaaaaaaaaac", ".hidden", "file"):
        os.utime(home.sessions / name, (old, old))
    found = leftovers(home.where)
    assert sorted(path.name for path in found) == [".hidden", "aaaaaaaaaaab"]
    assert [sweep(path) for path in found] == [100, 100]
    assert leftovers(home.where) == []
    assert made["aaaaaaaaaaaa"].exists()
    assert sweep(made["aaaaaaaaaaab"]) == 0, "somebody else was faster"


def test_nowhere_yet(home: Home) -> None:
    home.sessions.rmdir()
    assert leftovers(home.where) == []


def test_one_that_ended_by_itself_is_removed_at_once(home: Home) -> None:
    held = home.start(child("exits_at_once", 3))
    held.client.wait()
    remove(home.where, held.directory)
    assert not held.directory.path.exists()
