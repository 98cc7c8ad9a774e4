"""Lines of stream-json in the shapes that the real CLI prints (2.1.328), with texts of our own."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

Message = dict[str, Any]
STAMP = "2026-11-20T10:00:00.500Z"
STAMP_SECONDS = 1795168800.5
BIDI = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
ALLOW = {
    "type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "touch a *"}], "behavior": "allow",
    "destination": "localSettings",
}  # fmt: skip
FOLDER = {"type": "addDirectories", "directories": ["/home/ana/proj"], "destination": "session"}
MODE = {"type": "setMode", "mode": "acceptEdits", "destination": "session"}


def line(**fields: object) -> bytes:
    """One message."""
    return json.dumps(fields, separators=(",", ":")).encode()


def ready(request: str = "cowork-initialize") -> bytes:
    """The answer to a control request, or one of ours said again."""
    return line(type="control_response", response={"subtype": "success", "request_id": request, "response": {}})


def init(session: str = "5e55", model: str = "m-1") -> bytes:
    """The beginning of a turn."""
    return line(
        type="system", subtype="init", cwd="/w", session_id=session, tools=["Bash"], model=model,
        permissionMode="default", uuid="u",
    )  # fmt: skip


def state(name: str) -> bytes:
    """What the CLI says of its own state: running, requires_action, idle."""
    return line(type="system", subtype="session_state_changed", state=name, uuid="u", session_id="5e55")


def lifecycle(uuid: str, name: str) -> bytes:
    """What becomes of a message: queued, started, completed, cancelled."""
    return line(type="command_lifecycle", command_uuid=uuid, state=name, uuid="u", session_id="5e55")


def said(text: str) -> bytes:
    """A text of the model's."""
    content = [{"type": "text", "text": text}]
    return line(type="assistant", message={"role": "assistant", "content": content}, timestamp=STAMP)


def uses(tool: str, use: str = "toolu_1", **given: object) -> bytes:
    """A tool that the model wants to use."""
    content = [{"type": "tool_use", "id": use, "name": tool, "input": given}]
    return line(type="assistant", message={"role": "assistant", "content": content}, timestamp=STAMP)


def gave(use: str = "toolu_1", text: str = "ok", *, error: bool = False) -> bytes:
    """What a tool gave back."""
    content = [{"type": "tool_result", "tool_use_id": use, "content": text, "is_error": error}]
    return line(type="user", message={"role": "user", "content": content}, timestamp=STAMP)


def typed(text: str, uuid: str = "u-1") -> bytes:
    """A message of the user's, said again."""
    return line(type="user", message={"role": "user", "content": text}, uuid=uuid, isReplay=True, timestamp=STAMP)


def asks(
    request: str = "r-1", tool: str = "Bash", use: str = "toolu_1", suggestions: object = None, **given: object
) -> bytes:  # fmt: skip
    """A permission prompt."""
    body = {
        "subtype": "can_use_tool", "tool_name": tool, "display_name": tool, "input": given, "tool_use_id": use,
        "permission_suggestions": [] if suggestions is None else suggestions,
    }  # fmt: skip
    return line(type="control_request", request_id=request, request=body)


def withdraws(request: str = "r-1") -> bytes:
    """A prompt that needs no answer any more."""
    return line(type="control_cancel_request", request_id=request)


def result(
    text: str = "done", *, uuids: tuple[str, ...] = (), error: bool = False, turns: int = 1, cost: float = 0.01,
    subtype: str = "success", **more: object,
) -> bytes:  # fmt: skip
    """The end of a turn; what it begins with is what the real one begins with."""
    return line(
        duration_api_ms=1, session_id="5e55", total_cost_usd=cost, type="result", subtype=subtype, is_error=error,
        num_turns=turns, result=text, user_message_uuids=list(uuids), **more,
    )  # fmt: skip


def tasks(*descriptions: str) -> bytes:
    """What runs in the background now."""
    found = [{"task_id": f"b{number}", "description": text} for number, text in enumerate(descriptions)]
    return line(type="system", subtype="background_tasks_changed", tasks=found)


def is_safe(words: str) -> bool:
    """Whether nothing in a text drives a terminal."""
    return not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in words) and BIDI.isdisjoint(words)
