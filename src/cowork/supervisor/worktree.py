"""A git worktree for a session: a folder and a branch of its own beside those that the user works with.

A worktree is removed only if nothing is lost with it, and whatever cannot be found out counts as a loss. Git is asked
with the worktree's administrative folder named, never by way of the ``.git`` file in the worktree: a session may have
put another one there, and the programs that its settings name would run. Sources: git-worktree(1),
gitrepository-layout(5).
"""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from cowork import config
from cowork.errors import ConfigError
from cowork.sessions.record import WorktreeRecord as Worktree
from cowork.supervisor import git

if TYPE_CHECKING:
    from pathlib import Path

NAMED = 3
"""Files that a reason names."""
_STATUS = ("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=dirty")
"""Submodules are not entered: git would heed their settings."""
_STATES = {
    "rebase-merge": "a rebase", "rebase-apply": "a rebase", "sequencer": "a series of picks", "BISECT_LOG": "a bisect",
}  # fmt: skip
"""Files of the administrative folder that say what is under way."""
_HEADS = {"MERGE_HEAD": "a merge", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert"}
"""Names of commits that say it; not every format of references has files for them."""
_SUBMODULE = "160000"
"""Mode of a folder that is a submodule."""
_log = logging.getLogger(__name__)


class _Found(NamedTuple):
    """What is left of a worktree.

    ``there``: its folder is. ``entry``: the repository's administrative folder for it, if git knows of it. ``tip``:
    where its branch points, if there is one. ``shared``: the branch is checked out in another worktree, so it stays.
    """

    there: bool
    entry: str | None
    tip: str | None
    shared: bool


class _File(NamedTuple):
    """A file that git knows. ``mark``: see ``git ls-files -v``; ``mode``: octal."""

    mark: str
    mode: str
    name: str


def uncommitted(folder: str) -> bool:
    """Whether the repository of ``folder`` has changed or untracked files, which a worktree of it would not have.

    Raises:
        ConfigError: it is in no repository, or git cannot tell.
    """
    folder = os.path.abspath(folder)
    try:
        inside = git.line(folder, "rev-parse", "--is-inside-work-tree") == "true"
        return inside and bool(git.run(folder, *_STATUS))
    except git.Refused as e:
        _explain(e, folder)


def create(folder: str, place: Path, branch: str) -> tuple[Worktree, str]:
    """Make a worktree at ``place`` on a new branch, from HEAD of the repository that ``folder`` lies in.

    ``place`` must not exist; folders missing above it are made, 0700 like itself. Returns the worktree, and the folder
    in it that stands for ``folder``: the one of the same name, or the uppermost if HEAD has none. Git's hooks do not
    run. When it fails, nothing of it is left.

    Raises:
        ConfigError: there is no repository or no commit, the branch or the place is taken, or git cannot do it.
    """
    folder = os.path.realpath(folder)
    tree, inner = _plan(folder, place, branch)
    made = _make_folders(tree.path)
    try:
        _make_branch(folder, tree)
        _check_out(folder, tree)
    except BaseException:
        _unmake(made)
        raise
    inside = os.path.join(tree.path, inner).rstrip("/")
    # HEAD may have a link where the user has a folder that is not committed, and it may lead anywhere.
    return tree, inside if os.path.isdir(inside) and os.path.realpath(inside) == inside else tree.path


def what_would_be_lost(tree: Worktree) -> list[str]:
    """Why the worktree and its branch cannot be removed without losing something, a short line each.

    Empty when nothing would be lost. Never raises: that git cannot tell is a reason. With the folder gone already, it
    is about what the repository still has: the branch, a detached HEAD.
    """
    try:
        found = _find(tree)
        return _losses(tree, found) + _branch_losses(tree, found)
    except (git.Refused, OSError, ValueError) as e:
        return [str(e)]


def remove(tree: Worktree, *, discard: bool = False) -> list[str]:
    """Remove the worktree and its branch if nothing is lost by it; ``discard``: in any case.

    Returns why it is kept, or what could not be removed; empty when it is gone. Where the folder is gone already, git
    is made to forget it, and the branch stays if it has commits that are nowhere else. A branch that is checked out in
    another worktree always stays. Never raises.
    """
    try:
        if discard:
            _clear(tree.path)
        if not _exists(tree.path) and not _exists(tree.repository):
            return []
        found = _find(tree)
        losses, branch = ([], []) if discard else (_losses(tree, found), _branch_losses(tree, found))
        if losses or (branch and found.there):
            return losses + branch
        if found.entry is not None:
            # Without --force git looks for changed and untracked files once more; twice removes a locked one.
            git.at(tree.repository, "worktree", "remove", *(["--force"] * 2 if discard else []), tree.path)
        if not branch:
            _remove_branch(tree, found)
    except (git.Refused, OSError, ValueError) as e:
        return [str(e)]
    return []


def _plan(folder: str, place: Path, branch: str) -> tuple[Worktree, str]:
    """The worktree that is to be made, and where ``folder`` lies below its repository's uppermost folder."""
    path = os.path.join(os.path.realpath(place.parent), place.name)
    try:
        repository = os.path.realpath(os.path.join(folder, git.line(folder, "rev-parse", "--git-common-dir")))
        inner = git.line(folder, "rev-parse", "--show-prefix")
        base = git.commit(folder, "HEAD")
    except git.Refused as e:
        _explain(e, folder)
    if base is None:
        raise ConfigError(
            f"the repository of {folder} has no commit to begin with", hint="make one: git commit --allow-empty"
        )
    if not _may_be_branch(folder, branch):
        raise ConfigError(f"{config.shown(branch)} is no name for a branch", hint="git check-ref-format --help")
    tree = Worktree(path=path, branch=branch, repository=repository, base=base)
    for name in (path, branch, repository, inner):
        if not _is_text(name):
            raise ConfigError(f"{config.shown(name)} is not UTF-8", hint="rename it, or leave out --worktree")
    if os.path.lexists(path):
        raise ConfigError(f"{path} is there already", hint="remove it, or name another place")
    if _entry(tree) is not None:
        raise ConfigError(f"git has a worktree at {path}, which is missing", hint=f"git -C {folder} worktree prune")
    return tree, inner


def _may_be_branch(folder: str, name: str) -> bool:
    try:
        return git.line(folder, "check-ref-format", "--branch", name) == name  # of @{-1} it tells what that stands for
    except git.Refused:
        return False


def _make_folders(path: str) -> list[str]:
    """Make a folder and what is missing above it, 0700 each; returns those that were made, the uppermost first."""
    missing = [path]
    while not os.path.lexists(parent := os.path.dirname(missing[-1])):
        missing.append(parent)
    made: list[str] = []
    try:
        for folder in reversed(missing):
            try:
                os.mkdir(folder, 0o700)
                made.append(folder)
            except FileExistsError:
                if folder == path:
                    raise
                # Another session that starts has made it in between; it serves both.
    except OSError as e:
        _unmake(made)
        raise ConfigError(f"{folder} cannot be made: {e.strerror}", hint="look at the folder above it") from e
    return made


def _unmake(made: list[str]) -> None:
    for folder in reversed(made):
        try:
            os.rmdir(folder)
        except OSError:
            pass  # another session uses it by now, or it is gone with the worktree


def _make_branch(folder: str, tree: Worktree) -> None:
    """Make the branch and nothing else: whoever gets past this knows that it was not there and is ours."""
    try:
        # The empty last argument: only if there is no such reference yet.
        git.run(folder, "update-ref", "-m", "branch: Created from HEAD", _reference(tree), tree.base, "")
    except git.Refused as e:
        taken = _taken(folder, tree)
        problem = f"there is a branch {tree.branch} already" if taken else f"no branch {tree.branch} can be made: {e}"
        raise ConfigError(problem, hint="choose another name, or remove that branch") from None


def _taken(folder: str, tree: Worktree) -> bool:
    try:
        return git.commit(folder, _reference(tree)) is not None
    except git.Refused:
        return False


def _check_out(folder: str, tree: Worktree) -> None:
    """Make the worktree in its empty folder; if that fails, all that is there of it goes, and the branch, too."""
    try:
        git.run(folder, "worktree", "add", "--", tree.path, tree.branch)
    except BaseException as e:
        if left := remove(tree, discard=True):
            _log.warning("not all of the worktree %s is gone: %s", tree.path, "; ".join(left))
        if isinstance(e, git.Refused):
            raise ConfigError(
                f"no worktree can be made: {e}", hint=f"try: git -C {folder} worktree add FOLDER"
            ) from None
        raise


def _explain(refusal: git.Refused, folder: str) -> NoReturn:
    """Say why ``folder`` cannot be asked about."""
    if refusal.status is None:
        raise ConfigError(str(refusal), hint="install git, or leave out --worktree") from None
    if not os.path.isdir(folder):
        raise ConfigError(f"{folder} is no folder", hint="name one that a git repository has") from None
    if "not a git repository" in str(refusal):
        raise ConfigError(f"{folder} is in no git repository", hint="git init, or leave out --worktree") from None
    raise ConfigError(f"the repository of {folder} cannot be read: {refusal}", hint=f"git -C {folder} status") from None


def _find(tree: Worktree) -> _Found:
    there, entry = _exists(tree.path), _entry(tree)
    if there:
        # Git finds its way by itself here, with all its tests (whose folder is it?), and has to end up in our place.
        found = [git.line(tree.path, "rev-parse", question) for question in ("--absolute-git-dir", "--git-common-dir")]
        git_dir, repository = (os.path.realpath(os.path.join(tree.path, path)) for path in found)
        if entry is None or git_dir != os.path.realpath(entry) or repository != os.path.realpath(tree.repository):
            raise git.Refused(f"{config.shown(tree.path)} is no worktree of {config.shown(tree.repository)} any more")
    else:
        # The setting forbids to come across a bare repository by chance; this one was chosen.
        asked = ("-c", "safe.bareRepository=all", "rev-parse", "--absolute-git-dir")
        if os.path.realpath(git.line(tree.repository, *asked)) != os.path.realpath(tree.repository):
            raise git.Refused(f"{config.shown(tree.repository)} is no repository any more")
    return _Found(there, entry, git.commit_at(tree.repository, _reference(tree)), _is_shared(tree))


def _entry(tree: Worktree) -> str | None:
    """The administrative folder of the worktree, in which the repository has its HEAD and its index."""
    try:
        entries = [entry.path for entry in os.scandir(os.path.join(tree.repository, "worktrees"))]
    except (FileNotFoundError, NotADirectoryError):
        return None
    for entry in entries:
        try:
            with open(os.path.join(entry, "gitdir"), "rb") as stream:
                told = os.fsdecode(stream.read().rstrip(b"\n"))
        except OSError:
            continue
        # Relative to the entry if the user wants it so (worktree.useRelativePaths).
        if os.path.normpath(os.path.join(entry, told)) == os.path.join(tree.path, ".git"):
            return entry
    return None


def _is_shared(tree: Worktree) -> bool:
    ours = b"worktree " + os.fsencode(tree.path) + b"\n"
    wanted = b"branch " + os.fsencode(_reference(tree))
    blocks = git.at(tree.repository, "worktree", "list", "--porcelain").split(b"\n\n")
    return any(wanted in block.split(b"\n") for block in blocks if not block.startswith(ours))


def _losses(tree: Worktree, found: _Found) -> list[str]:
    """What goes with the worktree, apart from its branch. The repository may have something of one that is gone."""
    if (entry := found.entry) is None:
        return []
    known = _known_files(tree, entry) if found.there else []
    return [
        *_lock(entry),
        *_under_way(entry),
        *_commits_of_head(tree, entry),
        *(_files(tree, entry) if found.there else []),
        *_hidden(tree, known),
        *_submodules(tree, entry, known),
    ]


def _lock(entry: str) -> list[str]:
    try:
        with open(os.path.join(entry, "locked"), "rb") as stream:
            why = os.fsdecode(stream.read()).strip()
    except FileNotFoundError:
        return []
    return [f"it is locked: {config.shown(why)}" if why else "it is locked"]


def _under_way(entry: str) -> list[str]:
    found = [what for name, what in _STATES.items() if os.path.lexists(os.path.join(entry, name))]
    found += [what for name, what in _HEADS.items() if git.commit_at(entry, name) is not None]
    return [f"{what} is under way" for what in dict.fromkeys(found)]


def _commits_of_head(tree: Worktree, entry: str) -> list[str]:
    """Commits that HEAD alone leads to. On a branch it has none, whichever that is."""
    count = _only_here(tree, git.commit_at(entry, "HEAD"))
    return [f"{_commits(count)} that only its detached HEAD has"] if count else []


def _branch_losses(tree: Worktree, found: _Found) -> list[str]:
    if found.shared:
        return []
    count = _only_here(tree, found.tip, f"--exclude={tree.branch}")
    return [f"{_commits(count)} that no branch but {tree.branch} has"] if count else []


def _only_here(tree: Worktree, commit: str | None, *without: str) -> int:
    """How many commits lead to ``commit`` that no branch, tag or branch of a remote leads to.

    The one that the worktree began with was there before, so it is none of ours.
    """
    if commit is None or commit == tree.base:
        return 0
    others = ("--not", *without, "--branches", "--tags", "--remotes", "--")
    return int(git.at(tree.repository, "rev-list", "--count", commit, *others))


def _files(tree: Worktree, entry: str) -> list[str]:
    """Files that HEAD does not have as they are."""
    kinds: dict[str, list[str]] = {"changed": [], "untracked": [], "ignored": []}
    for line in git.records(git.at(entry, *_STATUS, "--ignored", work_tree=tree.path)):
        kinds[{"??": "untracked", "!!": "ignored"}.get(line[:2], "changed")].append(line[3:])
    return [reason for kind, names in kinds.items() for reason in _named(kind, names)]


def _hidden(tree: Worktree, known: list[_File]) -> list[str]:
    """Files with a mark that says not to look whether they have changed.

    A sparse checkout marks files, too, but those are not there.
    """
    marked = (file.name for file in known if file.mark == "S" or file.mark.islower())
    return _named("not looked at by git (skip-worktree, assume-unchanged)", [n for n in marked if _has(tree, n)])


def _submodules(tree: Worktree, entry: str, known: list[_File]) -> list[str]:
    """Submodules whose repositories are in the worktree, or in its administrative folder."""
    names = [file.name for file in known if file.mode == _SUBMODULE and _has(tree, f"{file.name}/.git")]
    try:
        names = names or os.listdir(os.path.join(entry, "modules"))
    except FileNotFoundError:
        pass
    return _named("submodules with repositories of their own", names)


def _known_files(tree: Worktree, entry: str) -> list[_File]:
    listed = git.records(git.at(entry, "ls-files", "-s", "-v", "-z", work_tree=tree.path))
    parts = (line.partition("\t") for line in listed)
    return [_File(mark=what[0], mode=what[2:8], name=name) for what, _, name in parts]


def _has(tree: Worktree, name: str) -> bool:
    return os.path.lexists(os.path.join(tree.path, name))


def _remove_branch(tree: Worktree, found: _Found) -> None:
    """Remove the branch, provided that it points to where it pointed when it was looked at."""
    if found.tip is None or found.shared:
        return
    # Without --no-deref a branch that only stands for another would take that one along.
    git.at(tree.repository, "update-ref", "--no-deref", "-d", _reference(tree), found.tip)
    try:
        git.at(tree.repository, "config", "--remove-section", f"branch.{tree.branch}")
    except git.Refused:
        pass  # most have no settings


def _clear(path: str) -> None:
    """Remove a folder with all that is in it, if it is there."""
    if not _exists(path):
        return
    try:
        try:
            shutil.rmtree(path)
        except PermissionError:
            _make_writable(path)
            shutil.rmtree(path)
    except OSError as e:
        raise git.Refused(f"{config.shown(path)} cannot be removed: {e.strerror or e}") from None


def _make_writable(path: str) -> None:
    """Let files be removed from every folder. Some programs take that right away (Go, in its cache of modules)."""
    os.chmod(path, 0o700)
    for folder, below, _ in os.walk(path):
        for name in below:
            child = os.path.join(folder, name)
            if not os.path.islink(child):
                os.chmod(child, 0o700)  # in time: the walk enters it only afterwards


def _exists(path: str) -> bool:
    """Whether there is anything at ``path``; an error that leaves it open is raised."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _reference(tree: Worktree) -> str:
    return f"refs/heads/{tree.branch}"


def _named(what: str, names: list[str]) -> list[str]:
    """A reason that names a few; none if there are no names."""
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"{what}: {', '.join(config.shown(name) for name in names[:NAMED])}{more}"]


def _commits(count: int) -> str:
    return "1 commit" if count == 1 else f"{count} commits"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
