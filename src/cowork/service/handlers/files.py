"""Files and disks: reading, mounting, the SDK, the sizes and the removal of sessions' trees."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cowork.backends.mounts import check_name as check_mount_name
from cowork.backends.mounts import link_mounts, resolve_mounts
from cowork.backends.programs import is_program
from cowork.errors import InvalidParams, NotFound, RpcError
from cowork.service.reading import read_contained
from cowork.sessions.record import MountRecord
from cowork.translate.paths import resolve_subpath
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.wire import replies
from cowork.wire.requests import Mount

if TYPE_CHECKING:
    from cowork.service.answer import Handler
    from cowork.service.connection import Connection
    from cowork.service.process import Process
    from cowork.service.service import Service
    from cowork.wire import requests as r


async def mount_path(service: Service, caller: Connection, p: r.MountPath) -> replies.MountPath:
    """Add a folder to a live session; its guest path.

    Raises:
        NotFound: no such process, or no such folder.
        RpcError: the session's backend cannot.
    """
    process = service.processes.get(p.process_id)
    translation = process.translation
    if translation is None:
        raise RpcError("mountPath: nothing is known of this session's folders")
    if problem := check_mount_name(p.mount_name):
        raise InvalidParams(f"Invalid params: mountName: {problem}", field="mountName")
    asked = {p.mount_name: Mount(path=p.subpath, mode=p.mode)}
    home = service.real_home
    found = resolve_mounts(asked, home=home, files=translation.real_inside)
    if not found.mapped:
        raise NotFound(f"{p.subpath}: no such folder")
    if translation.real_inside:
        await _mount_in_sandbox(service, process, translation.session, found.mapped[0], home)
    translation.add_mount(found.mapped[0])
    if not translation.real_inside:
        link_mounts(Path(translation.session.tree), tuple(translation.session.mounts))
    service.processes.remember(translation.session)
    process.record.mounts = [MountRecord(*mount) for mount in translation.session.mounts]
    process.directory.write_record(process.record)
    return replies.MountPath(f"{translation.session.root}/mnt/{p.mount_name}")


async def _mount_in_sandbox(
    service: Service, process: Process, session: SessionMap, mount: MappedMount, home: str
) -> None:  # fmt: skip
    asked = service.backend.live_mount(session, mount, home=home, ours=service.ours)
    if asked is None:
        raise RpcError("mountPath: the daemon's backend is not the session's; it is there at the next spawn")
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    process.mount(asked, lambda error: None if told.done() else told.set_result(error))
    if error := await told:
        raise RpcError(
            f"mount {mount.name}: this system cannot add a folder to a sandbox that runs: {error}",
            hint="it is there at the next spawn",
        )


async def read_file(service: Service, caller: Connection, p: r.ReadFile) -> replies.FileContent:
    """The bytes of a file that the session sees, in its tree or a mount, as base64."""
    if "\0" in p.file_path or not p.file_path:
        raise InvalidParams("Invalid params: filePath must be a path", field="filePath")
    name = session_of(service, p.process_name)
    session = service.processes.map_of(name) or SessionMap(name, str(service.trees.path(name)))
    host = session.to_host(p.file_path) or p.file_path
    if not host.startswith("/"):
        host = os.path.join(session.tree, host)
    roots = [Path(session.tree), *(Path(mount.host) for mount in session.mounts)]
    # On a thread: a slow disk must not hold up the other clients.
    return replies.FileContent(await asyncio.to_thread(read_contained, Path(host), roots))


def session_of(service: Service, process_name: str) -> str:
    """The session that ``processName`` means: the id of a process, or the session's own name.

    Raises:
        InvalidParams: it is empty or no name.
    """
    try:
        return service.processes.get(process_name).record.name
    except NotFound:
        service.trees.path(process_name)
        return process_name


def install_sdk(service: Service, caller: Connection, p: r.InstallSdk) -> None:
    """Remember the ``claude`` that the client has put on the disk.

    Raises:
        NotFound: it is not there, or not executable.
    """
    if "\0" in p.sdk_subpath or "\0" in p.version or "/" in p.version or p.version in (".", ".."):
        raise InvalidParams("Invalid params: version must be a plain name", field="version")
    folder = resolve_subpath(p.sdk_subpath, str(service.paths.home), os.path.exists)
    program = os.path.join(folder, p.version, "claude")
    if not is_program(program):
        raise NotFound(f"{program}: no such program")
    service.sdk = program


def add_approved_oauth_token(service: Service, caller: Connection, p: r.AddApprovedOauthToken) -> None:
    """Keep the token in memory for sessions that bring none."""
    service.token = p.token


async def get_sessions_disk_info(service: Service, caller: Connection, p: r.GetSessionsDiskInfo) -> replies.DisksInfo:
    """Sizes of the trees and of the file system they are on."""
    total, free = service.trees.space()
    sizes = await asyncio.to_thread(service.trees.sizes)
    return replies.DisksInfo(total, free, [replies.SessionSize(name, size) for name, size in sizes.items()])


async def delete_session_dirs(service: Service, caller: Connection, p: r.DeleteSessionDirs) -> replies.Deleted:
    """Remove the trees of sessions that do not run."""
    deleted, errors = await asyncio.to_thread(service.trees.delete, list(p.names))
    return replies.Deleted(deleted, errors)


async def prune_session_caches(service: Service, caller: Connection, p: r.PruneSessionCaches) -> replies.Pruned:
    """Remove copies that nobody needs, never a user's file."""
    if not p.include_session_tmp:
        return replies.Pruned([], [], 0, {})
    below, older = p.only_if_free_bytes_below, p.session_tmp_older_than_seconds
    return replies.Pruned(*await asyncio.to_thread(service.trees.prune, below=below, older_than=older))


HANDLERS: dict[str, Handler] = {
    "mountPath": mount_path,
    "readFile": read_file,
    "installSdk": install_sdk,
    "addApprovedOauthToken": add_approved_oauth_token,
    "getSessionsDiskInfo": get_sessions_disk_info,
    "deleteSessionDirs": delete_session_dirs,
    "pruneSessionCaches": prune_session_caches,
}
