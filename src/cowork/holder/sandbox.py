"""Starting the child in a bubblewrap sandbox, and looking at the sandbox before the program runs.

bubblewrap is told everything through descriptors: its options, the contents of small files, the seccomp filter, and
the folders, opened here without following a link. Its last step is to read a file that is a socket of ours (the gate).
While it waits there, everything is mounted and nothing of the program has run: now the mounts are compared with
what was meant, the sockets that listen inside are made, and the proxy is started. Then the gate opens.

Sources: bwrap(1); unix(7) for the gate: a full socket becomes writable when bubblewrap has read what was in it.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import socket
import struct
import time
from typing import Any, NamedTuple

from cowork.holder import beneath, child, companion, files, mounting, namespace, tree
from cowork.holder.covers import Covers
from cowork.holder.inside import Inside
from cowork.holder.spec import Cover, Sandbox, StartSpec
from cowork.proxy.settings import Listener, Settings

FIRST = 100
"""Descriptors for bubblewrap begin here: below are the holder's own."""
GATE, ARGUMENTS, STATUS = FIRST, FIRST + 1, FIRST + 2
FREE = FIRST + 3
"""The first number for a file or folder of the recipe."""
GATE_OPTIONS = ["--file", str(GATE), "/run/.cowork"]
"""The last thing that bubblewrap does before the program."""
PATIENCE = 20.0
"""Seconds that bubblewrap may take on a loaded machine."""
_FULL = 4000
"""Bytes of a datagram that leave no room for a second one in the smallest send buffer (socket(7): 2048 doubled)."""


class Running(NamedTuple):
    """What belongs to a started sandbox besides its child."""

    inside: Inside
    proxy: companion.Companion | None
    covers: Covers
    status: int
    """bubblewrap writes here when the program has ended, and would be killed if nobody could read it."""

    def mount(self, asked: dict[str, Any], folder: str) -> str:
        """Show one more folder; what went wrong, or nothing. ``asked``: body of MOUNT; ``folder``: the session's."""
        try:
            self.covers.add([Cover(*entry) for entry in asked["covers"]])
            files.write_json(os.path.join(folder, "covers.json"), self.covers.wanted, sync=False)
            guards = [(path, writable) for path, writable in asked["guards"]]
            wanted = mounting.LiveMount(asked["host"], asked["above"], asked["name"], asked["writable"], guards)
            mounting.mount_inside(self.inside.init, wanted)
        except OSError as e:
            return f"{e.filename or asked['host']}: {e.strerror}"
        except namespace.NamespaceError as e:
            return str(e)
        return ""

    def end(self) -> None:
        """The program has ended: nothing else of the sandbox is wanted any more."""
        self.inside.end()
        if self.proxy is not None:
            self.proxy.end()

    def close(self) -> None:
        """The session has ended."""
        os.close(self.status)
        if self.proxy is not None:
            self.proxy.stop()
        self.covers.remove()
        self.inside.close()


def start(spec: StartSpec, cgroup: str | None) -> tuple[child.Child, Running]:
    """Start ``spec.argv`` in ``spec.sandbox``; returns when the program has been let go.

    Raises:
        StartError: nothing of it runs, now or later. bubblewrap's own words are in the text.
    """
    sandbox = spec.sandbox
    assert sandbox is not None
    covers = Covers(sandbox.covers)
    theirs: list[int] = []
    ours: list[int] = []
    made: child.Child | None = None
    first = -1
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        # One descriptor for each folder and each placeholder: with many mounts more than the usual 1024.
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual[1], usual[1]))
        _reserve(sandbox, theirs)
        covers.make()
        gate = _open_gate(ours)
        status = _open_status(ours)
        _open_files(sandbox)
        made = child.start(_outer(spec, sandbox), cgroup)
        init = _first_process(status, made)
        try:
            first = os.pidfd_open(init)
        except ProcessLookupError:
            raise _failure(made) from None  # it has given up already
        # The folders are compared with what was opened, so they are still open.
        inside, proxy = _prepare(spec, sandbox, made, init, gate)
        for pid in (made.pid, inside.init):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    except BaseException as e:
        if made is not None:
            abandon(made, first)
        _close(ours)
        covers.remove()
        if isinstance(e, OSError):
            text = f"{e.filename or 'sandbox'}: {e.strerror}"
            raise child.StartError("sandbox", e.errno or 0, text) from e
        raise
    finally:
        _close([*theirs, first] if first >= 0 else theirs)
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    _let_pass(gate)
    inside.find()
    return made, Running(inside, proxy, covers, status)


def _outer(spec: StartSpec, sandbox: Sandbox) -> StartSpec:
    argv = ["bwrap", "--args", str(ARGUMENTS), "--", *spec.argv]
    return spec._replace(argv=argv, executable=sandbox.program, cwd="/", env={})


# -- descriptors


def _reserve(sandbox: Sandbox, theirs: list[int]) -> None:
    """Take the numbers that bubblewrap knows its descriptors by, so that nothing else that is opened gets them."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number in (
        GATE,
        ARGUMENTS,
        STATUS,
        *sandbox.files,
        *sandbox.copies,
        *(folder.fd for folder in sandbox.folders),
    ):
        os.dup2(null, number, inheritable=False)
        theirs.append(number)
    os.close(null)


def _open_gate(ours: list[int]) -> int:
    """A pair of datagram sockets with something to read at bubblewrap's end; our end is returned.

    An empty datagram is the end of the file that bubblewrap reads. The death of this process is not, as it would be
    with a pipe: then the read fails after a while, and bubblewrap gives up.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # so that one datagram fills it; the kernel has a minimum
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(2 * PATIENCE), 0))
    here.send(b"\n" * _FULL)
    _hand_over(there.detach(), GATE)
    ours.append(here.detach())
    return ours[-1]


def _let_pass(gate: int) -> None:
    with socket.socket(fileno=gate) as sock:
        sock.send(b"")


def _open_status(ours: list[int]) -> int:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    ours.append(reading)
    _hand_over(writing, STATUS)
    return reading


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _open_files(sandbox: Sandbox) -> None:
    options = ["--json-status-fd", str(STATUS), *sandbox.options, *GATE_OPTIONS]
    _check(options)
    text = b"".join(os.fsencode(option) + b"\0" for option in options)
    _hand_over(_memory(text), ARGUMENTS)
    for fd, content in sandbox.files.items():
        _hand_over(_memory(content.encode("latin-1")), fd)
    for fd, path in sandbox.copies.items():
        _hand_over(os.open(path, os.O_RDONLY | os.O_CLOEXEC), fd)
    for folder in sandbox.folders:
        _hand_over(beneath.open_path(folder.path), folder.fd)


def _check(options: list[str]) -> None:
    """NUL ends an option, so one that has it inside would be two."""
    if any("\0" in option for option in options):
        raise child.StartError("sandbox", errno.EINVAL, "sandbox: an option has a NUL in it")


def _memory(content: bytes) -> int:
    fd = os.memfd_create("cowork", os.MFD_CLOEXEC)
    files.write_all(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _hand_over(fd: int, number: int) -> None:
    os.dup2(fd, number, inheritable=True)
    os.close(fd)


# -- at the gate


def _prepare(
    spec: StartSpec, sandbox: Sandbox, made: child.Child, init: int, gate: int
) -> tuple[Inside, companion.Companion | None]:  # fmt: skip
    errand = _listen_inside(init, sandbox)  # while bubblewrap mounts
    listening: list[Listener] = []
    proxy = None
    try:
        _wait_at_gate(gate, made)
        listening = _listening(errand, sandbox)
        _compare(init, sandbox)
        _look_for(init, spec.argv[0], "exec")
        if "--chdir" in sandbox.options:
            _look_for(init, spec.cwd, "cwd")
        if sandbox.proxy is not None:
            settings = Settings.from_json(sandbox.proxy)
            proxy = companion.Companion(settings, listening, os.path.join(spec.folder, "network.log"))
            proxy.start()
        inside = Inside(init)
    except BaseException:
        if errand is not None:
            errand.close()
        if proxy is not None:
            proxy.stop()
        _close_all(listening)
        raise
    if proxy is None:
        _close_all(listening)
    return inside, proxy


def _close_all(listening: list[Listener]) -> None:
    for listener in listening:
        listener.sock.close()


def _first_process(status: int, made: child.Child) -> int:
    """The pid of the sandbox's first process, which bubblewrap tells in one or more writes."""
    said = b""
    poll = select.poll()
    poll.register(status, select.POLLIN)
    poll.register(made.pidfd, select.POLLIN)
    end = time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0 and (ready := dict(poll.poll(left * 1000))):
        if status not in ready:
            break
        more = os.read(status, 65536)
        said += more
        try:
            return int(json.loads(said.partition(b"}")[0] + b"}")["child-pid"])
        except (ValueError, KeyError):
            if not more:
                break
    raise _failure(made)


def _wait_at_gate(gate: int, made: child.Child) -> None:
    poll = select.poll()
    poll.register(gate, select.POLLOUT)
    poll.register(made.pidfd, select.POLLIN)
    ready = dict(poll.poll(PATIENCE * 1000))
    if ready.get(gate) != select.POLLOUT or made.pidfd in ready:
        raise _failure(made)


def _compare(init: int, sandbox: Sandbox) -> None:
    """Is at every place what was opened here? A folder that was replaced in between would be another one."""
    root = _root_of(init)
    try:
        for folder in sandbox.folders:
            if not folder.place:
                continue
            try:
                there = beneath.open_path(folder.place, root)
            except OSError as e:
                raise child.StartError("sandbox", e.errno or 0, f"sandbox: {folder.place}: {e.strerror}") from e
            same = beneath.same_file(there, folder.fd)
            os.close(there)
            if not same:
                text = f"{folder.path} was replaced while the sandbox was made"
                raise child.StartError("sandbox", 0, f"sandbox: {text}; not started")
    finally:
        os.close(root)


def _look_for(init: int, path: str, what: str) -> None:
    """bubblewrap would only print that it is not there, and the session would look like one that ran."""
    root = _root_of(init)
    try:
        if not beneath.exists_in(root, path):
            text = f"{'working directory ' if what == 'cwd' else ''}{path}: not there inside the sandbox"
            raise child.StartError(what, errno.ENOENT, text)
    finally:
        os.close(root)


def _root_of(init: int) -> int:
    """What will be the program's root: bubblewrap still has it one level down."""
    try:
        return os.open(f"/proc/{init}/root/newroot", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        text = f"the sandbox cannot be looked at: {e.strerror}"
        raise child.StartError("sandbox", e.errno or 0, text) from e


def _listen_inside(init: int, sandbox: Sandbox) -> namespace.Errand | None:
    addresses = [namespace.Address(entry.protocol, entry.host, entry.port) for entry in sandbox.listen]
    return namespace.listen_inside(init, addresses) if addresses else None


def _listening(errand: namespace.Errand | None, sandbox: Sandbox) -> list[Listener]:
    if errand is None:
        return []
    try:
        made = [socket.socket(fileno=fd) for fd in errand.result()]
    except namespace.NamespaceError as e:
        raise child.StartError("sandbox", 0, f"sandbox: no sockets inside: {e}") from e
    return [Listener(sock, entry.role, entry.target) for sock, entry in zip(made, sandbox.listen, strict=True)]


# -- failures


def _failure(made: child.Child) -> child.StartError:
    """What bubblewrap said before it gave up; it speaks where the program would."""
    said = b""
    stream = made.stderr if made.stderr >= 0 else made.stdout
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    while len(said) < 4096 and poll.poll(1000):
        try:
            more = os.read(stream, 4096)
        except OSError:
            break
        if not more:
            break
        said += more
    text = said.decode("utf-8", "replace").strip().replace("\r\n", "\n").replace("\n", "; ")
    return child.StartError("sandbox", 0, text[:1000] or "bwrap: ended without a word, or does not come to an end")


def abandon(made: child.Child, first: int = -1) -> None:
    """End a sandbox and let go of it. Its first process (``first``: a pidfd) goes first: while it waits at the gate,
    bubblewrap's death would not take it along, and it may be nobody's child by now."""
    if first >= 0:
        try:
            signal.pidfd_send_signal(first, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for pid in reversed(tree.descendants(made.pid)):
        tree.kill(pid, signal.SIGKILL)
    try:
        signal.pidfd_send_signal(made.pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(made.pid, 0)
    for fd in {made.pidfd, made.stdin, made.stdout, made.stderr} - {-1}:
        os.close(fd)
