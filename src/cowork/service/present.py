"""``present_files``: in the virtual machine the runtime answers this tool, so here the daemon does.

The CLI asks with a ``control_request`` on stdout; the answer goes to its stdin, and the client is told nothing
(spawn-pipeline A.12; faults G39, G73).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDLE = "present_files"
"""Output without this text holds no such request."""
_REMINDER = (
    "The user is not at this computer. Send these files with SendUserMessage, as absolute paths in its attachments: {}"
)


class _File(msgspec.Struct):
    file_path: str


class _Arguments(msgspec.Struct):
    files: list[_File] = []


class _Params(msgspec.Struct):
    name: str
    arguments: _Arguments = msgspec.field(default_factory=_Arguments)


class _Message(msgspec.Struct):
    method: str
    params: _Params
    id: msgspec.Raw = msgspec.Raw(b"null")
    jsonrpc: str = "2.0"


class _Request(msgspec.Struct):
    subtype: str
    message: _Message
    server_name: str = ""


class _ControlRequest(msgspec.Struct):
    type: str
    request_id: str
    request: _Request


def answer(
    line: str, to_host: Callable[[str], str | None], *, remote: bool, to_seen: Callable[[str], str | None] | None = None
) -> bytes | None:  # fmt: skip
    """The line for stdin that answers a line of stdout; None if that is no request of this kind.

    Exactly tool ``present_files`` of server ``cowork``, called by ``tools/call``: another server's tool of that name
    and other methods are the client's. ``to_host`` maps guest paths; ``remote``: the user is not at the computer.
    ``to_seen``: a host path as the session has it, where that is another.
    """
    if NEEDLE not in line or '"control_request"' not in line:
        return None
    try:
        asked = msgspec.json.decode(line, type=_ControlRequest)
    except (msgspec.DecodeError, RecursionError):
        return None
    request, message = asked.request, asked.request.message
    if asked.type != "control_request" or request.subtype != "mcp_message" or request.server_name != "cowork":
        return None
    if message.method != "tools/call" or message.params.name != "present_files":
        return None
    result = present([f.file_path for f in message.params.arguments.files], to_host, remote=remote, to_seen=to_seen)
    reply = {"jsonrpc": message.jsonrpc, "id": message.id, "result": result}
    response = {"subtype": "success", "request_id": asked.request_id, "response": {"mcp_response": reply}}
    return msgspec.json.encode({"type": "control_response", "response": response}) + b"\n"


def present(
    paths: list[str], to_host: Callable[[str], str | None], *, remote: bool,
    to_seen: Callable[[str], str | None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The tool's result: one text per file that is there (its host path, nothing else, since clients read each text
    as a path), and then one that names those that are not."""
    there: list[str] = []
    missing: list[str] = []
    for path in paths:
        host = to_host(path) or path
        if _is_file(host):
            there.append(host)
        else:
            missing.append(host)
    texts = list(there)
    if missing:
        texts.append("These files do not exist: " + ", ".join(missing))
    if there and remote:
        seen = there if to_seen is None else [to_seen(path) or path for path in there]
        texts.append(_REMINDER.format(", ".join(seen)))
    return {"content": [{"type": "text", "text": text} for text in texts], "isError": bool(missing)}


def _is_file(path: str) -> bool:
    try:
        return path.startswith("/") and stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
