"""What is written to a stream-json session, one line of JSON each.

Source: the CLI's stream-json input as the Agent SDK writes it; ``uuid`` comes back in the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

INITIALIZE = "cowork-initialize"
"""Request id of ``initialize``."""
STREAM_JSON = (
    "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose",
    "--permission-prompt-tool", "stdio", "--replay-user-messages",
)  # fmt: skip
"""Arguments of a ``claude`` that is held: it asks here for permissions, and says again what it was told."""


def initialize() -> bytes:
    """Ask for a sign that it is ready: it says nothing by itself before the first message."""
    return _line({"type": "control_request", "request_id": INITIALIZE, "request": {"subtype": "initialize"}})


def user(text: str, uuid: str) -> bytes:
    """A message of the user's. Bytes of a command line that are no UTF-8 become U+FFFD."""
    content = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _line({"type": "user", "message": {"role": "user", "content": content}, "uuid": uuid})


def interrupt(request: str) -> bytes:
    """Break off the turn; the session goes on."""
    return _line({"type": "control_request", "request_id": request, "request": {"subtype": "interrupt"}})


def answer(request: str, response: Mapping[str, object]) -> bytes:
    """Answer a control request."""
    inner = {"subtype": "success", "request_id": request, "response": response}
    return _line({"type": "control_response", "response": inner})


def refuse(request: str, error: str) -> bytes:
    """Answer a control request with an error."""
    inner = {"subtype": "error", "request_id": request, "error": error}
    return _line({"type": "control_response", "response": inner})


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"
