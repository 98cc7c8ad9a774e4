"""The child's environment, computed by one function for every backend (spawn-pipeline A.7, B.2; faults G25-G28)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"
CREDENTIALS = (
    TOKEN, "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY",
    "ANTHROPIC_BEDROCK_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL", "ANTHROPIC_FOUNDRY_BASE_URL",
)  # fmt: skip
"""Any of these, set, means that the session has its credential; another one beside it would be wrong."""

_PROCESS_OWN = frozenset({
    # of Claude Code and Electron around us
    "CLAUDECODE", "ELECTRON_RUN_AS_NODE", "ELECTRON_NO_ASAR",
    # of systemd: they speak of our process, not of the child
    "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "MANAGERPID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC",
})  # fmt: skip
_SCRUBBED = _PROCESS_OWN | frozenset({
    # of the Python that runs the daemon
    "VIRTUAL_ENV", "PYTHONASYNCIODEBUG", "PYTHONWARNINGS", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP",
})  # fmt: skip
_SCRUBBED_PREFIXES = ("LD_", "CLAUDE_CODE_", "COWORK_VM_", "COWORK_DEMO_")


def child_environment(
    inherited: Mapping[str, str], requested: Mapping[str, str | None], *, token: str = "", cwd: str = ""
) -> dict[str, str]:
    """The whole environment of a child.

    ``inherited`` (the daemon's or the caller's) without what belongs to the process that had it; ``requested`` on
    top, where an empty or null value means that the child shall not have the variable, not even an inherited one.
    ``token`` is set unless the result holds any credential, or the client asked for the variable to be empty.
    ``TERM`` and ``PWD`` are set.
    """
    env = {k: v for k, v in inherited.items() if k not in _SCRUBBED and not k.startswith(_SCRUBBED_PREFIXES)}
    if TOKEN not in requested and inherited.get(TOKEN):
        env[TOKEN] = inherited[TOKEN]
    env.setdefault("TERM", "xterm-256color")
    for name, value in requested.items():
        if value:
            env[name] = value
        else:
            env.pop(name, None)
    if token and TOKEN not in requested and not any(env.get(name) for name in CREDENTIALS):
        env[TOKEN] = token
    if cwd:
        env["PWD"] = cwd
    return env


def callers_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a person's shell as a session of theirs gets it: all of it, but for what belongs to the
    process that asks. A Claude Code that asks for a session hands on nothing of its own, since that session is none of
    its children.
    """
    inside = "CLAUDECODE" in environ
    return {
        k: v for k, v in environ.items()
        if k not in _PROCESS_OWN and (k == TOKEN or not (inside and k.startswith("CLAUDE_CODE_")))
    }  # fmt: skip
