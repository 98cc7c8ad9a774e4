"""``cowork demo``: do what Claude Desktop does, through the real socket, and show every frame."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cowork import paths
from cowork.backends.programs import find_program
from cowork.errors import CoworkError, NotRunning
from cowork.service import asking, background
from cowork.service.client import Client
from cowork.wire.events import ApiReachability, Exit, ProcessError, Stdout, VmStopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cowork.wire.events import Event

SHELL_SESSION = 'echo "hello from $(uname -s), in $PWD"; read -r line; echo "you wrote: $line"; exec sleep 60'
_WIDTH = 160


@click.command("demo")
@click.option("--start", is_flag=True, help="Start a daemon in the background if none runs.")
@click.option("--socket", "socket_path", type=click.Path(path_type=Path), help="The socket of a running daemon.")
def command(start: bool, socket_path: Path | None) -> int:
    """Show a real session through the Cowork socket, frame by frame.

    Connects as Claude Desktop does. Runs the user's claude with --version where there is one, and a small shell
    program in any case, so that it needs no account. A daemon that is in use is left alone: then the session runs
    through a second one in a temporary folder.
    """
    where = paths.resolve()
    with ExitStack() as stack:
        if socket_path is None:
            socket_path = _find_daemon(where, start=start, stack=stack)
        Demo(str(socket_path), color=sys.stdout.isatty() and not os.environ.get("NO_COLOR")).run()
    click.echo()
    click.echo("That was a real process, held by a process of its own, through the real socket. Next:")
    for line in _what_next(where):
        click.echo(f"  {line}")
    return 0


def _find_daemon(where: paths.Paths, *, start: bool, stack: ExitStack) -> Path:
    try:
        found = asking.status(where.control_socket)
    except NotRunning:
        if not start:
            raise NotRunning("no daemon is running", hint="cowork demo --start, or cowork serve") from None
        pid = background.start(where, [])
        click.echo(f"started daemon {pid}, its log is {background.log_path(where)}")
        found = asking.status(where.control_socket)
    own = [listener.path for listener in found.listeners]
    if found.machine or found.running or found.subscribers or not own:
        click.echo("the daemon is in use; the demonstration runs through a second one of its own")
        return stack.enter_context(_private_daemon())
    click.echo(f"daemon {found.pid}, backend {found.backend} (isolation: {found.isolation}), socket {own[0]}")
    for reason in found.reasons:
        click.echo(f"not {reason}")
    return Path(own[0])


@contextmanager
def _private_daemon() -> Iterator[Path]:
    """A daemon with folders of its own, gone with the context."""
    with tempfile.TemporaryDirectory(prefix="cowork-demo-") as folder:
        environ = {
            **os.environ,
            "XDG_RUNTIME_DIR": folder,
            "XDG_STATE_HOME": f"{folder}/s",
            "XDG_DATA_HOME": f"{folder}/d",
        }
        where = paths.resolve(environ)
        pid = background.start(where, [], environ)
        try:
            yield where.default_service_socket
        finally:
            pidfd = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)


class Demo:
    """The conversation: one connection for requests, one for events, as the app has them."""

    def __init__(self, path: str, *, color: bool) -> None:
        self._path = path
        self._color = color
        self._name = f"demo-{secrets.token_hex(3)}"

    def run(self) -> None:
        """From configure to stopVM.

        Raises:
            CoworkError: the daemon did not do what it should.
        """
        with Client(self._path, self._show) as requests, Client(self._path, self._show) as events:
            requests.call("configure", {"userDataName": "cowork-demo", "sessionOnly": True})
            events.call("subscribeEvents", {"userDataName": "cowork-demo"})
            requests.call("startVM", {"bundlePath": "/demo"})
            _until(events, lambda e: isinstance(e, ApiReachability))
            try:
                claude = find_program("claude", path=os.environ.get("PATH", ""), home=os.path.expanduser("~"))
            except CoworkError:
                click.echo("(no claude on this machine: only the shell program)")
            else:
                self._spawn(requests, "version", claude, ["--version"])
                _until(events, _is_end("version"))
            self._spawn(requests, "shell", "/bin/sh", ["-c", SHELL_SESSION])
            _until(events, lambda e: isinstance(e, Stdout))
            requests.call("writeStdin", {"id": "shell", "data": "a line from the demo\n"})
            _until(events, lambda e: isinstance(e, Stdout))
            requests.call("kill", {"id": "shell", "signal": "SIGTERM"})
            _until(events, _is_end("shell"))
            requests.call("stopVM")
            _until(events, lambda e: isinstance(e, VmStopped))
            requests.call("deleteSessionDirs", {"names": [self._name]})

    def _spawn(self, requests: Client, process: str, program: str, arguments: list[str]) -> None:
        params: dict[str, object] = {"id": process, "name": self._name, "command": program, "args": arguments}
        requests.call("spawn", params)

    def _show(self, direction: str, payload: bytes) -> None:
        text = payload.decode("utf-8", "replace")
        if len(text) > _WIDTH:
            text = f"{text[:_WIDTH]}… ({len(payload)} bytes)"
        is_event = text.startswith('{"type"')
        sign = "*" if is_event else direction
        if self._color:
            color = {"<": "green", ">": "cyan", "*": "yellow"}[sign]
            click.echo(f"{click.style(sign, fg=color, bold=True)} {click.style(text, fg=color)}")
        else:
            click.echo(f"{sign} {text}")


def _until(events: Client, wanted: object) -> None:
    assert callable(wanted)
    while not wanted(events.event()):
        pass


def _is_end(process: str) -> object:
    def check(event: Event) -> bool:
        if isinstance(event, ProcessError) and event.id == process:
            raise CoworkError(f"{process}: {event.message}")
        return isinstance(event, Exit) and event.id == process

    return check


def _what_next(where: paths.Paths) -> list[str]:
    program = shutil.which("cowork") or str(Path(sys.executable).with_name("cowork"))
    return [
        f"{program} status        how the daemon is",
        f"{program} ps --all      the sessions, those of the demonstration among them",
        f"{program} stop          end the daemon",
        f"Claude Desktop 2.x finds the daemon at {where.default_service_socket};",
        f"3.x starts {program}-helper -socket PATH in place of its own helper",
    ]
