"""Ways out of the sandbox by way of the host: files that a session makes or changes and that run there later.

See ``test_sandbox_escapes``, whose table continues here.
"""

from __future__ import annotations

import functools
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.escape import (
    MNT,
    TARGETS,
    Escape,
    Mode,
    Scene,
    Tried,
    check,
    fill,
    incomplete,
    params,
    without_guards,
)

pytestmark = [pytest.mark.bwrap, pytest.mark.integration, pytest.mark.usefixtures("ordinary")]


# -- what would run on the host later

_VERBS = """
def parent(path):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
def create(path):
    parent(path)
    if path.endswith("hooks"):
        os.makedirs(path, exist_ok=True)
        path += "/pre-commit"
    open(path, "w").write("x")
def link(path):
    parent(path)
    os.symlink("/bin/sh", path)
def rename_to(path):
    parent(path)
    open("mine", "w").write("x")
    os.rename("mine", path)
def write(path):
    open(path + "/more" if os.path.isdir(path) else path, "a").write("x")
def remove(path):
    if os.path.isdir(path):
        os.unlink(path + "/pre-commit")
        os.rmdir(path)
    else:
        os.unlink(path)
def rename_away(path):
    os.rename(path, "away-" + path.replace("/", "-"))
def replace(path):
    rename_away(path)
    create(path)
def make_writable(path):
    os.chmod(path, 0o777)
def move_folder(path):
    folder = path.split("/")[0]
    os.rename(folder, "moved-" + path.replace("/", "-"))
    create(path)
    import shutil
    shutil.rmtree(folder)
    os.rename("moved-" + path.replace("/", "-"), folder)
def replace_folder(path):
    import shutil
    folder = path.split("/")[0]
    os.rename(folder, "moved")
    os.symlink("moved", folder)
    os.unlink(folder)
    os.rename("moved", folder)
start = os.getcwd()
for state, verb, folder, paths in json.loads(sys.argv[1]):
    os.chdir(f"{start}/../{folder}")
    for path in paths:
        attempt(f"{state}: {verb} {path}", globals()[verb], path)
"""
_ABSENT = ("create", "link", "rename_to")
_THERE = ("write", "remove", "rename_away", "replace", "make_writable")
_FOLDERS = ("move_folder", "replace_folder")


def _content(folder: Path) -> dict[str, object]:
    """Everything in a folder, byte for byte."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "mine":
            continue  # which a session may make
        mode = path.lstat().st_mode
        what = path.read_bytes() if stat.S_ISREG(mode) else os.readlink(path) if stat.S_ISLNK(mode) else None
        found[str(path.relative_to(folder))] = (stat.filemode(mode), what)
    return found


def _deny_targets(made: Scene) -> Tried:
    plan: list[tuple[str, str, str, tuple[str, ...]]] = []
    for state, verbs in (("bare", _ABSENT), ("partial", _ABSENT), ("full", _THERE)):
        plan += [(state, verb, f"{state}-{verb}", TARGETS) for verb in verbs]
    plan += [("full", verb, f"full-{verb}", tuple(t for t in TARGETS if "/" in t)) for verb in _FOLDERS]
    for state, _, folder, _ in plan:
        fill(made.jail.home / folder, state)
    before = {folder: _content(made.jail.home / folder) for _, _, folder, _ in plan}
    mounts = {"proj": made.jail.workspace, **{folder: made.jail.home / folder for folder in before}}
    tried = made.python(_VERBS, json.dumps(plan), mounts=mounts)
    for state, verb, folder, _ in plan:
        if verb not in _FOLDERS:
            same = before[folder] == _content(made.jail.home / folder)
            tried[f"{state}: changes it by {verb}"] = "as before" if same else ""
    return tried


_HOME_THERE = (".profile", ".gitconfig", ".ssh/authorized_keys", ".config/git/config", ".config/fish/config.fish")
_HOME_ABSENT = (".bashrc", ".bash_profile", ".bash_login", ".zshrc", ".zshenv", ".zprofile")
_HOME_FOLDERS = (".config/git/config", ".ssh/authorized_keys")


def _start_files(made: Scene) -> Tried:
    made.jail.configure("[sandbox]\nallow-home = true\n")
    home = made.jail.home
    for path in _HOME_THERE:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text("# the user's\n")
    before = _content(home)
    folder = "." if made.mode == "outside" else "home"
    plan = [
        ("there", "write", folder, _HOME_THERE), ("there", "make_writable", folder, _HOME_THERE),
        ("there", "replace", folder, _HOME_THERE), ("there", "move_folder", folder, _HOME_FOLDERS),
        ("absent", "create", folder, _HOME_ABSENT),
    ]  # fmt: skip
    tried = made.python(_VERBS, json.dumps(plan), mounts={"home": home}, cwd=f"{MNT}/home")
    tried["changes it"] = "as before" if _content(home) == before else ""
    return tried


def _absent_start_files(made: Scene) -> Tried:
    """Start files of other programs than shells, where the user has none."""
    made.jail.configure("[sandbox]\nallow-home = true\n")
    folder = "." if made.mode == "outside" else "home"
    paths = (".gitconfig", ".ssh/authorized_keys", ".config/git/config", ".config/autostart/x.desktop", ".xprofile")
    plan = [("absent", "create", folder, paths)]
    return made.python(_VERBS, json.dumps(plan), mounts={"home": made.jail.home}, cwd=f"{MNT}/home")


def _nested(made: Scene) -> Tried:
    """A folder of several projects is mounted, and hooks are written into one of them."""
    fill(made.jail.workspace / "project", "full")
    plan = [("nested", "write", "proj/project", TARGETS)]
    return made.python(_VERBS, json.dumps(plan))


def _hidden(made: Scene) -> Tried:
    """A folder whose name begins with a dot, as those with people's settings do."""
    fill(made.jail.home / ".dotfiles", "full")
    plan = [("hidden", "write", ".dotfiles", TARGETS)]
    mounts = {"proj": made.jail.workspace, ".dotfiles": made.jail.home / ".dotfiles"}
    return made.python(_VERBS, json.dumps(plan), mounts=mounts)


# -- git

_GIT_ENV = {
    "PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "LC_ALL": "C",
}  # fmt: skip
_GIT = """
import shutil, subprocess
marker = sys.argv[1]
run = f"touch {marker}; false"
def git(*words):
    env = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/tmp",
           "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", *words], check=True, env=env, capture_output=True)
def hook(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write(f"#!/bin/sh\\ntouch {marker}\\n")
    os.chmod(path, 0o755)
def config(path):
    open(path, "a").write(f'[core]\\n\\tfsmonitor = "{run}"\\n')
def repository(folder):
    git("init", "-q", "--bare", "made")
    for name in ("objects", "refs", "HEAD"):
        os.rename(f"made/{name}", f"{folder}/{name}")
    shutil.rmtree("made")
"""
_GIT_WAYS = {
    "fsmonitor": "config('.git/config')",
    "git-config": "git('config', 'core.fsmonitor', run)",
    "hooks-path": "git('config', 'core.hooksPath', 'mine'); hook('mine/pre-commit')",
    "hook": "hook('.git/hooks/pre-commit')",
    "index-hook": "hook('.git/hooks/post-index-change')",
    "moved": "os.rename('.git', 'x'); shutil.copytree('x', '.git'); config('.git/config')",
    "new-repository": "shutil.rmtree('.git', ignore_errors=True); git('init', '-q'); config('.git/config')",
    "gitfile": """
shutil.move('.git', 'x'); config('x/config'); open('.git', 'w').write('gitdir: x')
""",
    "commondir": """
os.mkdir('evil')
for name in ('objects', 'refs'): shutil.copytree('.git/' + name, 'evil/' + name)
shutil.copy('.git/HEAD', 'evil/HEAD')
config('evil/config')
open('.git/commondir', 'w').write('../evil')
""",
    "config-worktree": "config('.git/config.worktree')",
    "bare-repository": """
repository('.')
settings = ('repositoryformatversion = 0', 'bare = false', 'worktree = .', f'fsmonitor = "{run}"')
open('config', 'w').write('[core]\\n' + ''.join(f'\\t{line}\\n' for line in settings))
""",
    "gitlink": """
os.mkdir('sub'); os.chdir('sub')
git('init', '-q'); git('commit', '-q', '--allow-empty', '-m', 'x'); config('.git/config')
head = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=True).stdout.strip()
os.chdir('..')
git('update-index', '--add', '--cacheinfo', f'160000,{head},sub')
""",
}


def _git(name: str, made: Scene) -> Tried:
    """A session arranges for something, and then the user asks git on the host."""
    workspace, marker = made.jail.workspace, made.jail.elsewhere / "marker"
    env = {**_GIT_ENV, "HOME": str(made.jail.home)}

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=workspace, env=env, capture_output=True, check=False)

    if name != "bare-repository":
        git("init", "-q")
        (workspace / "file").write_text("x\n")
        git("add", "file")
        git("commit", "-q", "-m", "x")
    if name == "config-worktree":
        git("config", "extensions.worktreeConfig", "true")  # as git sparse-checkout does
    made.python(_GIT + f"attempt('arrange', exec, {_GIT_WAYS[name]!r}, globals())", marker)
    assert not marker.exists()
    (workspace / "file").write_text("y\n")
    git("status")
    git("commit", "-q", "-a", "-m", "y")
    return {"runs on the host": "" if marker.exists() else "nothing was run"}


def _gitfile(made: Scene) -> Tried:
    """A worktree: its .git is a file that says where the rest is."""
    repository, workspace = made.jail.elsewhere / "repo", made.jail.workspace
    env = {**_GIT_ENV, "HOME": str(made.jail.home)}
    marker = made.jail.elsewhere / "marker"

    def git(*words: str, cwd: Path) -> None:
        subprocess.run(["git", *words], cwd=cwd, env=env, capture_output=True, check=False)

    repository.mkdir()
    git("init", "-q", cwd=repository)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=repository)
    git("worktree", "add", "-q", "--force", str(workspace), cwd=repository)
    assert (workspace / ".git").is_file()
    script = """
git("init", "-q", "--bare", "x")
config("x/config")
git("-C", "x", "config", "core.bare", "false")
attempt("rewrite", lambda: open(".git", "w").write("gitdir: x") and None)
def replace():
    open("new", "w").write("gitdir: x")
    os.rename("new", ".git")
attempt("replace", replace)
"""
    tried = made.python(_GIT + script, marker)
    git("status", cwd=workspace)
    return {**tried, "runs on the host": "" if marker.exists() else "nothing was run"}


MATRIX: dict[str, list[Escape]] = {
    "Missing deny target is created by the agent": [
        Escape("deny-targets", _deny_targets, without_guards),
        Escape("start-files", _start_files, without_guards),
        Escape("start-files-absent", _absent_start_files, without_guards),
        Escape("nested-repositories", _nested, without_guards),
        Escape("hidden-folder", _hidden, without_guards),
    ],
    "git as an exec vector": [
        *(Escape(f"git-{name}", functools.partial(_git, name), without_guards) for name in _GIT_WAYS),
        Escape("git-worktree", _gitfile, without_guards),
    ],
}  # fmt: skip
"""Continues the table of ``test_sandbox_escapes``."""

HOLES = {
    "git-gitlink": "a repository that a session makes below the folder is looked into by git status above it",
}
"""Escapes that work at present. Each is expected to, and a test fails as soon as one does not."""


@pytest.mark.parametrize(("escape", "mode"), params(MATRIX, HOLES))
def test_escape(escape: Escape, mode: Mode) -> None:
    check(escape, mode)


def test_every_row_has_its_three_parts() -> None:
    assert not incomplete(MATRIX)
    assert set(HOLES) <= {escape.name for escapes in MATRIX.values() for escape in escapes}
