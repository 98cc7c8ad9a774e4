"""The host backend: the process runs as the user, with the user's files and network. No isolation, and it says so."""

from __future__ import annotations

import logging
import os

from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest
from cowork.backends.environment import child_environment
from cowork.backends.programs import find_program
from cowork.errors import RpcError
from cowork.translate.paths import guest_to_tree, resolve_subpath

_log = logging.getLogger(__name__)


class HostBackend(Backend):
    """See the module."""

    name = "host"
    isolation = "none"

    def probe(self) -> Availability:
        """The host is always there."""
        return Availability(works=True)

    def prepare(self, request: SpawnRequest) -> Prepared:
        """See ``Backend.prepare``."""
        cwd = _working_directory(request)
        env = child_environment(request.inherited, request.env, token=request.token, cwd=cwd)
        executable = find_program(request.command, path=env.get("PATH", ""), home=str(request.home), sdk=request.sdk)
        return Prepared(
            argv=[executable if request.command.startswith("/") else request.command, *request.args],
            executable=executable, env=env, cwd=cwd, failed_mounts=_unseen(request),
        )  # fmt: skip


def _unseen(request: SpawnRequest) -> list[str]:
    """Mounts that the process will not find in its tree. A file as source is left out without being a failure:
    clients hand every mount to the CLI as ``--add-dir``, which takes no files."""
    failed = []
    for name, mount in sorted(request.mounts.items()):
        source = resolve_subpath(mount.path, str(request.home), os.path.exists)
        if os.path.isfile(source):
            _log.info("mount %s is a file; left out on the host", name)
        else:
            failed.append(name)
    return failed


def _working_directory(request: SpawnRequest) -> str:
    """The session's tree for an empty cwd or a guest path that is not there; else the folder that was asked for."""
    if not request.cwd:
        return str(request.tree)
    inside = guest_to_tree(request.cwd, request.name, str(request.tree))
    if inside is not None:
        return inside if os.path.isdir(inside) else str(request.tree)
    if not request.cwd.startswith("/"):
        raise RpcError(f"working directory {request.cwd}: must be an absolute path")
    if not os.path.isdir(request.cwd):
        raise RpcError(f"working directory {request.cwd}: no such directory")
    return request.cwd
