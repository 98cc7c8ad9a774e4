"""The host backend: the process runs as the user, with the user's files and network. No isolation, and it says so.

Guest paths do not exist here, so they are translated wherever they occur: in the working directory, the environment,
the arguments, and later in what is written to and read from the session (service/).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from cowork.backends import project, workdir
from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest
from cowork.backends.environment import child_environment
from cowork.backends.mounts import link_mounts, resolve_mounts
from cowork.backends.plugindirs import climb
from cowork.backends.programs import find_program
from cowork.config import Watched
from cowork.errors import RpcError
from cowork.translate.arguments import allowed_disallowed_tools, brief, map_arguments, map_text
from cowork.translate.matcher import GuestToHost
from cowork.translate.paths import GUEST_ROOT
from cowork.translate.sessionmap import SessionMap
from cowork.translate.workdir import workspaces

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)


class HostBackend(Backend):
    """See the module."""

    name = "host"
    isolation = "none"

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._config = Watched(os.environ if environ is None else environ)

    def probe(self) -> Availability:
        """The host is always there."""
        return Availability(works=True)

    def prepare(self, request: SpawnRequest) -> Prepared:
        """See ``Backend.prepare``."""
        home = os.path.realpath(request.home)
        mounts = resolve_mounts(request.mounts, home=home)
        link_mounts(request.tree, mounts.mapped)
        session = SessionMap(request.name, os.path.realpath(request.tree), mounts.mapped)
        self._check_allowed(session)
        to_host = GuestToHost(session)
        wanted = map_environment(request.env, to_host)
        cwd = _working_directory(request, session, wanted)
        env = child_environment(request.inherited, wanted, token=request.token, cwd=cwd)
        outputs = next((m.host for m in session.mounts if m.name == "outputs"), None)
        args = allowed_disallowed_tools(climb(map_arguments(request.args, to_host), session), request.env)
        args = brief(args, request.env, outputs)
        executable = find_program(request.command, path=env.get("PATH", ""), home=str(request.home), sdk=request.sdk)
        if any(mount.mode == "ro" for mount in session.mounts):
            _log.warning(
                "session %s: read-only mounts can be written to, the host backend isolates nothing", session.name
            )
        limits = self._config.current().limits
        return Prepared(
            argv=[executable if request.command.startswith("/") else request.command, *args], executable=executable,
            env=env, cwd=cwd, failed_mounts=mounts.failed, session=session,
            memory=limits.memory, tasks=limits.tasks,
        )  # fmt: skip

    def _check_allowed(self, session: SessionMap) -> None:
        """Both files may have been changed since the daemon chose this backend."""
        where = "config.toml" if self._config.current().isolation == "required" else ""
        for mount in workspaces(session, workdir.real_folder):
            file = project.load(mount.host)
            project.insist(file, mount.host)
            if file.required:
                where = f"{mount.host}/{project.FILE}"
        if where:
            raise RpcError(
                f'{where} says isolation = "required", and the host backend isolates nothing',
                hint="start the daemon with --backend bwrap",
            )


def map_environment(env: Mapping[str, str | None], to_host: GuestToHost) -> dict[str, str | None]:
    """The requested variables with host paths. One that names another session's guest path is unset: the CLI would
    take it for a folder that it may make (fault N24)."""
    out: dict[str, str | None] = {}
    for name, value in env.items():
        mapped = value if value is None else map_text(value, to_host)
        foreign = mapped is not None and mapped.startswith(f"{GUEST_ROOT}/") and name != "CLAUDE_CODE_TAGS"
        if foreign:
            _log.warning("variable %s names a path of another session; left out", name)
        out[name] = None if foreign else mapped
    return out


def _working_directory(request: SpawnRequest, session: SessionMap, env: Mapping[str, str | None]) -> str:
    """Where the session works, with its conversation where the CLI looks for it from there."""
    config = _config_folder(request, session, env)
    chosen = workdir.choose(request, session, config)
    if not os.path.isdir(chosen.path):
        raise RpcError(f"working directory {chosen.path}: no such directory")
    _log.debug("session %s works in %s: %s", session.name, chosen.path, chosen.reason)
    workdir.heal(request, config, os.path.realpath(chosen.path))
    return chosen.path


def _config_folder(request: SpawnRequest, session: SessionMap, env: Mapping[str, str | None]) -> str:
    """The CLI's configuration folder: the mount ``.claude`` if it has a path, or what the client says; or nothing."""
    named = ".claude" in request.mounts and request.mounts[".claude"].path
    mounted = next((m.host for m in session.mounts if named and m.name == ".claude"), None)
    return mounted or env.get("CLAUDE_CONFIG_DIR") or ""
