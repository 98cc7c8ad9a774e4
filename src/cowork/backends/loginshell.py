"""What the user's login shell would add to the environment: services start with less (NixOS, nvm, ~/.bashrc).

The shell is asked once, with a fixed text, in a session of its own without a terminal, and for a few seconds at
most. Nothing that a client sends ever gets near it (faults G16, G34).
"""

from __future__ import annotations

import logging
import os
import pwd
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 5.0
"""Seconds after which a start file that does not end is given up."""
WANTED = (
    "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "XDG_SESSION_TYPE", "XDG_CURRENT_DESKTOP",
    "HYPRLAND_INSTANCE_SIGNATURE", "SWAYSOCK", "SSH_AUTH_SOCK", "NIX_PROFILES", "NIX_SSL_CERT_FILE", "NVM_DIR",
)  # fmt: skip
"""Variables taken from the shell where the daemon's environment has none; PATH is lengthened."""
_MARK = b"--cowork-environment--\n"
_SCRIPT = f"printf '%s' '{_MARK.decode()}'; command env -0"

_log = logging.getLogger(__name__)


def ask(environ: Mapping[str, str], *, patience: float = PATIENCE) -> dict[str, str]:
    """The environment of an interactive login shell of this user; empty if it does not tell in time."""
    shell = environ.get("SHELL") or _login_shell()
    if not os.path.isabs(shell) or not os.access(shell, os.X_OK):
        return {}
    try:
        process = subprocess.Popen(
            [shell, "-l", "-i", "-c", _SCRIPT], env={**environ, "TERM": "dumb"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
    except OSError as e:
        _log.warning("%s cannot be asked for the login environment: %s", shell, e.strerror)
        return {}
    try:
        said, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as e:
        _log.warning(
            "%s does not come to an end within %g s (look at its start files); going on without", shell, patience
        )
        said = e.stdout or b""  # it may have told everything, and something in the background goes on
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    return parse(said)


def parse(said: bytes) -> dict[str, str]:
    """Variables behind the mark; what start files have printed before it is left out."""
    _, mark, listing = said.rpartition(_MARK)
    if not mark:
        return {}
    whole = listing.split(b"\0")[:-1]  # behind the last NUL: what was cut off, or what a logout file prints
    pairs = (entry.partition(b"=") for entry in whole if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def merge(own: Mapping[str, str], login: Mapping[str, str]) -> dict[str, str]:
    """``own`` with what it lacks of ``WANTED``, and with the folders of the shell's PATH behind those of its own."""
    out = dict(own)
    for name in WANTED:
        if name in login and not out.get(name):
            out[name] = login[name]
    folders = [*own.get("PATH", "").split(":"), *login.get("PATH", "").split(":")]
    path = ":".join(dict.fromkeys(f for f in folders if f))
    if path:
        out["PATH"] = path
    return out


def _login_shell() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return ""
