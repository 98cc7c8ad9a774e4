"""One more folder for a sandbox that runs.

Only who has the right to mount in the host's mount namespace may copy a mount of it, and an ordinary user has it
nowhere. So one child makes namespaces of its own, in which it has that right over a copy of all mounts, and copies the
folder there; the copy, which hangs nowhere, is handed to a second child, which joins the sandbox and attaches it.
Kernels before 5.12 and systems that allow user namespaces to bubblewrap alone refuse, and that is told.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from typing import NamedTuple

from cowork.holder import beneath, namespace, syscalls
from cowork.holder.namespace import CLONE_NEWNS, CLONE_NEWUSER, NamespaceError


class LiveMount(NamedTuple):
    """``host``: the folder, a path without links; ``above``: the sandbox's folder of mounts, ``name``: its new entry.

    ``guards``: paths below it that are mounted on themselves, writable or not (backends/bwrap/guard.py).
    """

    host: str
    above: str
    name: str
    writable: bool
    guards: Sequence[tuple[str, bool]] = ()


def mount_inside(init: int, wanted: LiveMount) -> None:
    """Mount it in the sandbox whose first process is ``init``.

    Raises:
        NamespaceError: it is not there; the text says why.
        OSError: the folder is not what it was.
    """
    source = beneath.open_path(wanted.host)
    try:
        (copy,) = namespace.forked(lambda channel: _copy(channel, source, wanted), 1)
    finally:
        os.close(source)
    try:
        namespace.forked(lambda channel: _attach(init, copy, wanted))
    finally:
        os.close(copy)


def _copy(channel: socket.socket, source: int, wanted: LiveMount) -> None:
    syscalls.leave_namespaces(CLONE_NEWUSER | CLONE_NEWNS)
    # By path again, since a descriptor of before is of another namespace's mount; and so compared.
    again = beneath.open_path(wanted.host)
    if not beneath.same_file(source, again):
        raise NamespaceError(f"{wanted.host} has been replaced")
    copy = syscalls.clone_mount(again)
    syscalls.set_mount(copy, "", read_only=True if not wanted.writable else None, recursive=True)
    socket.send_fds(channel, [b"s"], [copy])


def _attach(init: int, copy: int, wanted: LiveMount) -> None:
    is_folder = stat.S_ISDIR(os.fstat(copy).st_mode)
    namespace.join(init, "mnt", CLONE_NEWNS)
    above = beneath.open_path(wanted.above)
    syscalls.set_mount(above, "", read_only=False)
    try:
        _make_entry(above, wanted.name, is_folder)
    finally:
        syscalls.set_mount(above, "", read_only=True)
    syscalls.move_mount(copy, above, wanted.name)
    for path, writable in wanted.guards:
        place = f"{wanted.above}/{wanted.name}/{path}"
        there = beneath.open_path(place)
        again = syscalls.clone_mount(there)
        syscalls.set_mount(again, "", read_only=None if writable else True, recursive=True)
        syscalls.move_mount(again, there, "")


def _make_entry(above: int, name: str, is_folder: bool) -> None:
    try:
        if is_folder:
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=above))
    except FileExistsError:
        pass  # there is a mount of that name already, or was: the new one hides it
