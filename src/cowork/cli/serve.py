"""``cowork serve``: the daemon, in the foreground. Launchers wait for it, so it loads no more than it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cowork import __version__, flags, paths
from cowork.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = ("socket", "backend", "dialect", "ready-fd", "bundles-dir", "log-max-len")
SWITCHES = ("debug", "check", "version", "help", "h", "no-default-socket", "log-full-lines")
USAGE = """\
Usage: cowork serve [OPTIONS]

  Serve Claude Desktop's Cowork sessions in the foreground.

Options:
  --socket PATH        listen here; may be given several times
                       (default: cowork-vm-service.sock in $XDG_RUNTIME_DIR)
  --no-default-socket  listen only where helpers ask for it
  --backend NAME       auto, bwrap or host (native means host); default $COWORK_VM_BACKEND,
                       else auto: the strongest that works here
  --dialect NAME       helper (clients 3.x) or service (clients 2.x) for all sockets;
                       default by the socket's name
  --debug              log requests, without secrets
  --check              tell what would be done, and whether it can be, then end
  --version            print the version and end
  --help               this text

Single dashes and NAME=VALUE work, too: -socket PATH, -backend=host, -debug.
"""


def main(arguments: Sequence[str]) -> int:
    """Parse, then serve; the exit status.

    Raises:
        CoworkError: nothing was started.
    """
    given = flags.parse(arguments, values=VALUES, switches=SWITCHES)
    if "help" in given or "h" in given:
        sys.stdout.write(USAGE)
        return 0
    if "version" in given:
        sys.stdout.write(f"cowork {__version__}\n")
        return 0
    where = paths.resolve()
    sockets = [Path(value) for value in given.get("socket", [])]
    if not sockets and "no-default-socket" not in given:
        sockets = [where.default_service_socket]
    dialect = given.get("dialect", [None])[-1]
    if dialect not in (None, "helper", "service"):
        raise ConfigError(f"unknown dialect {dialect!r}", hint="helper or service")

    from cowork.backends.choose import choose

    # An empty variable counts as unset: launchers export it like that.
    wanted = given.get("backend", [os.environ.get("COWORK_VM_BACKEND") or "auto"])[-1].lower()
    backend, reasons = choose(wanted)
    if "check" in given:
        return check(where, sockets, backend.name, backend.isolation, reasons)

    from cowork.service import daemon

    options = daemon.Options(
        backend=backend, sockets=sockets, dialect=dialect, debug="debug" in given, reasons=tuple(reasons),
        ready_fd=_ready_fd(given.get("ready-fd", [])),
    )  # fmt: skip
    return daemon.run(where, options)


def check(where: paths.Paths, sockets: list[Path], backend: str, isolation: str, reasons: Sequence[str] = ()) -> int:
    """Say what ``serve`` would use, after the same checks.

    Raises:
        CoworkError: it could not start.
    """
    from cowork.linux import unixsocket

    for path in sockets:
        unixsocket.check_path(path)
        unixsocket.check_parent(path)
    lines = [
        f"backend    {backend} (isolation: {isolation})",
        *(f"           not {reason}" for reason in reasons),
        f"state      {where.state}",
        f"runtime    {where.runtime}",
    ]
    lines += [f"socket     {path}" for path in sockets]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _ready_fd(values: list[str]) -> int | None:
    if not values:
        return None
    try:
        return int(values[-1])
    except ValueError:
        raise ConfigError(f"--ready-fd is a number, not {values[-1]!r}") from None


def __getattr__(name: str) -> object:
    """``command`` for the group's help and for completion; click is not loaded for the daemon itself."""
    if name != "command":
        raise AttributeError(name)
    import click

    @click.command("serve", add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> int:
        """Serve Claude Desktop's Cowork sessions in the foreground."""
        return main(arguments)

    return command
