"""Running git: with nothing of the caller's repository, no hooks, and nobody asked; its refusals as errors."""

from __future__ import annotations

import os
import signal
import subprocess

from cowork import config

LOCAL = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
"""Variables that speak of the caller's repository: those of ``git rev-parse --local-env-vars``, and three like them."""
_FIXED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
_SETTINGS = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "status.showUntrackedFiles=normal",
)  # fmt: skip
"""Settings for every call. The last one is for the look that ``git worktree remove`` itself takes."""
_PATIENCE = 2.0
"""Seconds that git gets to tidy up when we are interrupted."""


class Refused(Exception):
    """Git or the file system says no; the text is one printable line. ``status``: git's, None if it did not run."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def commit(folder: str, name: str, *options: str) -> str | None:
    """The commit that a name of the repository stands for, None if there is no such name."""
    try:
        return line(folder, *options, "rev-parse", "--quiet", "--verify", name)
    except Refused as e:
        if e.status == 1:
            return None
        raise


def commit_at(git_dir: str, name: str) -> str | None:
    """The same, with the git directory itself named."""
    return commit(git_dir, name, *_named_directly(git_dir, git_dir))


def at(git_dir: str, *arguments: str, work_tree: str | None = None) -> bytes:
    """Run git on this git directory, whatever the files around it say."""
    work_tree = work_tree or git_dir
    return run(work_tree, *_named_directly(git_dir, work_tree), *arguments)


def _named_directly(git_dir: str, work_tree: str) -> tuple[str, str]:
    # Both: the settings of a submodule's repository name a work tree that need not be there any more.
    return f"--git-dir={git_dir}", f"--work-tree={work_tree}"


def line(folder: str, *arguments: str) -> str:
    """What git answers on one line; a name in it may contain further ones."""
    return os.fsdecode(run(folder, *arguments).removesuffix(b"\n"))


def run(folder: str, *arguments: str) -> bytes:
    """Run git in ``folder`` and return what it prints.

    In a session (setsid) of its own it has no terminal to ask at, and all of it ends when we are interrupted.

    Raises:
        Refused: it cannot be run, or fails.
    """
    env = {name: value for name, value in os.environ.items() if name not in LOCAL} | _FIXED
    try:
        process = subprocess.Popen(
            ["git", "-C", folder, *_SETTINGS, *arguments], env=env, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise Refused("git is not installed") from None
    except OSError as e:
        raise Refused(f"git cannot be run: {e.strerror}") from None
    with process:
        try:
            printed, errors = process.communicate()
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        raise Refused(f"git: {_last_words(errors) or f'ends with {process.returncode}'}", process.returncode)
    return printed


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it has started. At SIGTERM it removes its lock files."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _last_words(errors: bytes) -> str:
    """The line of its messages with which git gives up, fit to be shown."""
    lines = [line for line in errors.decode("utf-8", "backslashreplace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines
    return config.shown(telling[-1].removeprefix("fatal: ").removeprefix("error: "))[1:-1] if telling else ""


def records(printed: bytes) -> list[str]:
    """What git prints with ``-z``, cut at the NULs."""
    return [os.fsdecode(record) for record in printed.split(b"\0") if record]
