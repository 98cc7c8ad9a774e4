"""The bubblewrap backend: the process has the guest's paths, the folders it was given, and a network of its own.

``prepare`` only looks: at the user's folders, at the configuration. What it decides is carried out by the holder
(holder/sandbox.py), which also compares what came out of it with what was meant before the program runs.
"""

from __future__ import annotations

import functools
import logging
import os
import pwd
from typing import TYPE_CHECKING, NamedTuple

from cowork.backends import project, workdir
from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest
from cowork.backends.bwrap import command, network, plan, probe, program, seccomp, system, usermounts
from cowork.backends.bwrap.recipe import Recipe
from cowork.backends.environment import TOKEN, child_environment
from cowork.backends.mounts import resolve_mounts
from cowork.backends.plugindirs import climb
from cowork.backends.programs import find_program
from cowork.config import Watched
from cowork.errors import RpcError
from cowork.translate.arguments import allowed_disallowed_tools, brief
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.translate.workdir import workspaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cowork.backends.bwrap.usermounts import UserMounts
    from cowork.config import Config

INHERITED = frozenset({
    "TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "NO_COLOR", "FORCE_COLOR", "PATH", TOKEN,
})  # fmt: skip
"""What of the daemon's own environment a session gets, and ``LC_*``: nothing that leads to the desktop or to a key."""

_log = logging.getLogger(__name__)


class BwrapBackend(Backend):
    """See the module. ``environ``: the daemon's environment, which says where the configuration is."""

    name = "bwrap"
    isolation = "bubblewrap"
    honours = frozenset({"allowedDomains", "oneShot", "mountSkeletonHome", "ro"})

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._config = Watched(self._environ)

    def probe(self) -> Availability:
        """Run a program in the very sandbox that sessions get, and have it say what it sees."""
        return probe.probe(self._environ)

    def prepare(self, request: SpawnRequest) -> Prepared:
        """See ``Backend.prepare``."""
        config = self._config.current()
        bwrap = program.find(self._environ.get("PATH", ""))
        folders = _look(request, config, self._environ)
        session, planned = folders.session, folders.planned
        executable, env = _program(request)
        named = request.allowed_domains is not None
        tighter = [rules for file in folders.projects.values() for rules in file.rule_sets(named=named)]
        net = network.policy(request.allowed_domains, config.network, tighter, env)
        cwd = _working_directory(request, session, env)

        recipe = base_recipe(bwrap, terminal=request.terminal, without=folders.users.disabled)
        path = _add_folders(recipe, request, folders, executable, protect=config.sandbox.protect)
        env = {**env, **_own_variables(session, cwd, path(env.get("PATH", ""))), **network.variables(net)}
        for variable, value in env.items():
            recipe.add("--setenv", variable, value)
        recipe.add("--chdir", cwd)
        recipe.listen = network.listeners(net)
        recipe.proxy = network.proxy_settings(net, config.network, request.inherited)
        for note in planned.notes:
            _log.warning("session %s: %s", request.name, note)
        limits = functools.reduce(project.tighten, folders.projects.values(), config.limits)
        return Prepared(
            argv=[executable, *_arguments(request, session)], executable=executable, env=env, cwd=cwd,
            failed_mounts=[name for name in request.mounts if name in folders.failed], session=session,
            translated=False, sandbox=recipe.sandbox(), network=net.summary, weaker=planned.notes,
            memory=limits.memory, tasks=limits.tasks,
        )  # fmt: skip

    def live_mount(
        self, session: SessionMap, mount: MappedMount, *, home: str, ours: tuple[str, ...]
    ) -> dict[str, object]:  # fmt: skip
        """See ``Backend.live_mount``."""
        if "/" in mount.name:
            raise RpcError(f"mount {mount.name}: a nested folder can be mounted when the session starts, not later")
        config = self._config.current()
        # Not the home folder, whatever is allowed: what is ours in it could not be hidden in the same moment.
        if problem := plan.refusal(mount.host, plan.Limits(home, ours)):
            raise RpcError(f"mount {mount.name}: {problem}")
        wanted = plan.live(mount, f"{session.root}/mnt", home=home, protect=config.sandbox.protect)
        return dict(wanted._asdict())


class _Folders(NamedTuple):
    """What the session was given: extra mounts, its own, the names of those that do not hold, project files."""

    home: str
    users: UserMounts
    planned: plan.Planned
    failed: set[str]
    session: SessionMap
    projects: dict[MappedMount, project.Project]


def _look(request: SpawnRequest, config: Config, environ: Mapping[str, str]) -> _Folders:
    """Find out which folders the session gets, and log what it does not get.

    Raises:
        RpcError: a project file cannot be understood.
    """
    home = os.path.realpath(request.home)
    users = usermounts.collect(config, environ, home)
    for refusal in users.refused:
        _log.warning("extra mount %s is left out: %s (%s)", refusal.entry, refusal.rule, refusal.fix)
    found = resolve_mounts(request.mounts, home=home, files=True)
    planned = plan.choose(found.mapped, plan.Limits(home, request.ours, config.sandbox.allow_home))
    for name, why in planned.failed.items():
        _log.warning("mount %.100r is not there: %s", name, why)
    session = SessionMap(request.name, os.path.realpath(request.tree), planned.mounts)
    projects = {mount: project.load(mount.host) for mount in workspaces(session, workdir.real_folder)}
    for mount, file in projects.items():
        project.insist(file, mount.host)
    for refusal in (refusal for file in projects.values() for refusal in file.refused):
        _log.warning("project file: %s is not honoured: %s (%s)", refusal.entry, refusal.rule, refusal.fix)
    return _Folders(home, users, planned, {*found.failed, *planned.failed}, session, projects)


def _program(request: SpawnRequest) -> tuple[str, dict[str, str]]:
    """The program on the host, and the environment that the client wants for it.

    Raises:
        RpcError: it is not there, or what interprets it is not.
    """
    wanted = {name: value for name, value in request.env.items() if name != "HOME"}
    env = child_environment(inherited(request.inherited), wanted, token=request.token)
    executable = find_program(
        request.command, path=f"{env.get('PATH', '')}:{request.inherited.get('PATH', '')}",
        home=str(request.home), sdk=request.sdk,
    )  # fmt: skip
    if (gone := command.missing_interpreter(executable)) is not None:
        raise RpcError(f"{executable}: its interpreter {gone} is not there, or cannot be executed")
    return executable, env


def _arguments(request: SpawnRequest, session: SessionMap) -> list[str]:
    args = allowed_disallowed_tools(_climb(request.args, session), request.env)
    has_outputs = any(mount.name == "outputs" for mount in session.mounts)
    return brief(args, request.env, f"{session.root}/mnt/outputs" if has_outputs else None)


def _add_folders(
    recipe: Recipe, request: SpawnRequest, folders: _Folders, executable: str, *, protect: bool
) -> Callable[[str], str]:  # fmt: skip
    """Add everything of the user's to the recipe; what makes a PATH of the host one of the inside is returned."""
    users, planned, session = folders.users, folders.planned, folders.session
    seen = [mount.src for mount in (*users.ro, *users.rw) if mount.src == mount.dst]
    planned.notes.extend(_add_user_mounts(recipe, folders, request.ours, protect=protect))
    search = request.inherited.get("PATH", "")
    more = command.show(recipe, executable, home=folders.home, path=search, seen=seen, ours=request.ours)
    _add_home(recipe, request, session)
    plan.add_mounts(recipe, planned, f"{session.root}/mnt", home=folders.home, protect=protect, ours=request.ours)
    for mount, file in folders.projects.items():
        notes = plan.add_read_only(recipe, mount.host, f"{session.root}/mnt/{mount.name}", file.read_only)
        planned.notes.extend(f"{mount.name}/{note}" for note in notes)
    # What a session wrote there would be gone with it; a clear error is better.
    recipe.add("--remount-ro", f"{session.root}/mnt", "--remount-ro", "/")
    return lambda path: command.inner_path(path, seen, more)


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the daemon's environment a sandbox may see."""
    return {k: v for k, v in environ.items() if k in INHERITED or k.startswith("LC_")}


def base_recipe(bwrap: program.Program, *, terminal: bool, without: list[str]) -> Recipe:
    """The sandbox without any folder of the user's: namespaces, no rights, the system's parts, private places."""
    recipe = Recipe(bwrap.path, bwrap.features)
    recipe.add("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net")
    recipe.add_known("--unshare-cgroup-try")
    recipe.add_known("--disable-userns")
    recipe.add("--cap-drop", "ALL", "--die-with-parent", "--hostname", "cowork", "--clearenv")
    if not terminal:
        # With a terminal, which is the session's own and nobody else's, job control needs it to stay in its session.
        recipe.add("--new-session")
    recipe.add("--seccomp", recipe.content(seccomp.filter_for(os.uname().machine)))
    recipe.add(
        "--tmpfs", "/run", "--perms", "0700", "--dir", f"/run/user/{os.getuid()}", "--symlink", "/run", "/var/run"
    )
    for part in system.parts(without=without):
        if part.kind == "copy":
            recipe.copy(part.source, part.place)
        else:
            recipe.add("--symlink" if part.kind == "link" else "--ro-bind", part.source, part.place)
    recipe.add("--proc", "/proc", "--dev", "/dev")
    for place in ("/tmp", "/var/tmp"):
        recipe.add("--perms", "1777", "--tmpfs", place)
    return recipe


def _add_user_mounts(recipe: Recipe, folders: _Folders, ours: Sequence[str], *, protect: bool) -> list[str]:
    """Those of the configuration, parents first; returns what cannot be guarded in them, and why."""
    notes: list[str] = []
    every = [(mount, False) for mount in folders.users.ro] + [(mount, True) for mount in folders.users.rw]
    for mount, writable in sorted(every, key=lambda entry: entry[0].dst.count("/")):
        recipe.bind(mount.src, mount.dst, writable=writable)
        plan.hide(recipe, mount.src, mount.dst, ours)
        if writable and protect and os.path.isdir(mount.src):
            found = plan.add_guards(recipe, mount.src, mount.dst, home=folders.home)
            notes += [f"{mount.dst}/{note}" for note in found]
    return notes


def _add_home(recipe: Recipe, request: SpawnRequest, session: SessionMap) -> None:
    """``/sessions/<name>``, which is the home folder, too: kept between spawns, or thrown away."""
    skeleton = _skeleton() if request.skeleton_home else {}
    if request.one_shot:
        recipe.add("--perms", "0700", "--tmpfs", session.root)
        for name, content in skeleton.items():
            recipe.add("--file", recipe.content(content), f"{session.root}/{name}")
    else:
        _make_tree(session.tree, skeleton)
        recipe.bind(session.tree, session.root, writable=True)
    recipe.add("--tmpfs", f"{session.root}/mnt")
    user = pwd.getpwuid(os.getuid()).pw_name
    passwd, group = system.accounts(user, os.getuid(), os.getgid(), session.root)
    for place, content in (
        ("/etc/passwd", passwd), ("/etc/group", group), ("/etc/hosts", system.HOSTS),
        ("/etc/resolv.conf", system.RESOLV), ("/etc/nsswitch.conf", system.NSSWITCH),
    ):  # fmt: skip
        recipe.file(place, content)


def _make_tree(tree: str, skeleton: dict[str, bytes]) -> None:
    """Have the tree hold a folder ``mnt``, and the start files that it has not."""
    mnt = os.path.join(tree, "mnt")
    if os.path.islink(mnt) or os.path.isfile(mnt):  # the session's doing
        os.unlink(mnt)
    os.makedirs(mnt, mode=0o700, exist_ok=True)
    for name, content in skeleton.items():
        try:
            with open(os.path.join(tree, name), "xb") as f:
                f.write(content)
        except FileExistsError:
            pass


def _skeleton() -> dict[str, bytes]:
    """The start files that this system gives to new users."""
    files: dict[str, bytes] = {}
    try:
        for entry in os.scandir("/etc/skel"):
            if entry.is_file(follow_symlinks=False) and entry.stat().st_size < 65536:
                with open(entry.path, "rb") as f:
                    files[entry.name] = f.read()
    except OSError:
        pass
    return files


def _own_variables(session: SessionMap, cwd: str, path: str) -> dict[str, str]:
    return {
        "HOME": session.root, "PATH": path, "PWD": cwd, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}",
        "SHELL": "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh",
    }  # fmt: skip


def _climb(args: list[str], session: SessionMap) -> list[str]:
    """Plugin folders as their plugins' roots: looked for on the host, named as the guest names them."""
    on_host = [_map_value(argument, session.to_host) for argument in args]
    climbed = climb(on_host, session)
    return [
        given if mapped == after else _map_value(after, session.to_guest)
        for given, mapped, after in zip(args, on_host, climbed, strict=True)
    ]


def _map_value(argument: str, to_other: Callable[[str], str | None]) -> str:
    flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    mapped = to_other(value) if value.startswith("/") else None
    return argument if mapped is None else f"{flag}{equals}{mapped}"


def _working_directory(request: SpawnRequest, session: SessionMap, env: Mapping[str, str]) -> str:
    """Where the session works, as a guest path, with its conversation where the CLI looks for it from there."""
    config = session.to_host(env.get("CLAUDE_CONFIG_DIR", "")) or ""
    config = next((m.host for m in session.mounts if m.name == ".claude"), config)
    chosen = workdir.choose(request, session, config, session.to_guest)
    guest = session.to_guest(chosen.path)
    if guest is None and (chosen.path in ("/", "/tmp") or system.is_visible(chosen.path)):
        guest = chosen.path  # there inside as well
    if guest is None or not os.path.isdir(chosen.path):
        raise RpcError(f"working directory {chosen.path}: not one of the folders that the session was given")
    _log.debug("session %s works in %s: %s", session.name, guest, chosen.reason)
    workdir.heal(request, config, guest)
    return guest
