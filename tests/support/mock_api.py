"""A model that says what a test wrote: the Messages API on a free loopback port, as far as the CLI uses it.

What it answers is written in the prompt, so nothing is to be set up and any number of sessions may run side by side::

    with MockApi() as api:
        prompt = script({"tools": [{"name": "Bash", "input": {"command": "echo hi"}}]}, {"text": "done"})

Which step is taken follows from the request alone: it is the number of assistant messages after the prompt. So a
script goes on after a resume and in a fork. A prompt without a script is echoed as ``mock: <prompt>``.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypedDict, cast

from tests.support.client import TIMEOUT, Message

_OPENING = "[[mock "
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
# What the CLI itself writes in a user's name looks like this; a test's prompt must not.
_NOTE = re.compile(r"[<\[]|.*SendUserMessage", re.DOTALL)


class ApiError(TypedDict, total=False):
    """An answer that is an error; ``status`` is 500 if it is not given."""

    status: int
    type: str
    message: str


class Step(TypedDict, total=False):
    """One answer of the model; times are seconds."""

    text: str | list[str]
    """What it says; a list gives the pieces it is streamed in."""
    tools: list[dict[str, Any]]
    """Name and input of what it uses after the text; the CLI runs them and asks again."""
    delay: float
    """Before the answer begins."""
    chunk_delay: float
    """After each piece."""
    error: ApiError
    """Instead of an answer."""
    hang: float
    """The stream stays open as long before it ends properly, or until the test sets ``MockApi.released``."""


def script(*steps: Step) -> str:
    """A prompt that is answered by these steps."""
    return f"{_OPENING}{json.dumps({'steps': steps})}]]"


@dataclass
class Recorded:
    """A request that has arrived."""

    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: Message
    aborted: bool = False
    """The client hung up before it had the whole answer."""

    @property
    def is_main(self) -> bool:
        """Of a conversation; what the CLI asks by the way (names, summaries) comes without the key ``tools``."""
        return self.path == "/v1/messages" and "tools" in self.body

    @property
    def session(self) -> str | None:
        """The CLI's session."""
        return self.headers.get("x-claude-code-session-id")

    @property
    def messages(self) -> list[Message]:
        """The conversation so far."""
        return cast("list[Message]", self.body.get("messages", []))

    def tool_results(self) -> list[Message]:
        """What the tools returned, all of the conversation, in order."""
        return [block for m in self.messages for block in _blocks(m) if block.get("type") == "tool_result"]


class MockApi:
    """The server; ``problems`` says what went wrong inside it, and a test should find it empty."""

    def __init__(self, side: Callable[[Recorded], str] = lambda request: "mock side") -> None:
        self.requests: list[Recorded] = []
        self.problems: list[str] = []
        self.stopping = threading.Event()
        self.released = threading.Event()
        self._side = side
        self._changed = threading.Condition()
        self._errors: list[ApiError] = []
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="mock-api")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def main(self, session: str | None = None) -> list[Recorded]:
        """Requests of conversations, or of one session only."""
        with self._changed:
            return [r for r in self.requests if r.is_main and (session is None or r.session == session)]

    def wait_for(self, count: int, session: str | None = None) -> list[Recorded]:
        """Wait until as many requests of conversations have arrived; all of them."""
        self._wait(lambda: len(self.main(session)) >= count)
        return self.main(session)

    def wait_for_abort(self) -> Recorded:
        """Wait until a client has hung up in the middle of an answer; its request."""
        self._wait(lambda: any(r.aborted for r in self.requests))
        return next(r for r in self.requests if r.aborted)

    def fail_next(self, *errors: ApiError) -> None:
        """The next requests of conversations get these errors, whatever their scripts say."""
        self._errors.extend(errors)

    def note(self, request: Recorded, *, aborted: bool = False) -> None:
        """A request has come, or its client has gone."""
        with self._changed:
            if not aborted:
                self.requests.append(request)
            request.aborted = aborted
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, TIMEOUT), self.requests

    def step_for(self, request: Recorded) -> Step:
        """The answer to a request.

        Raises:
            ValueError: the script in the prompt is not one.
        """
        if not request.is_main:
            return {"text": self._side(request)}
        with self._changed:
            if self._errors:
                return {"error": self._errors.pop(0)}
        at, prompt = _last_prompt(request.messages)
        steps = _steps(prompt)
        if steps is None:
            return {"text": f"mock: {prompt}"}
        taken = sum(m.get("role") == "assistant" for m in request.messages[at + 1 :])
        return steps[taken] if taken < len(steps) else {"text": "mock: the script is over"}


def _blocks(message: Message) -> list[Message]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _last_prompt(messages: list[Message]) -> tuple[int, str]:
    """Place and text of the last message that a human typed; -1 and nothing if there is none."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].get("role") == "user":
            texts = [_REMINDER.sub("", b["text"]).strip() for b in _blocks(messages[at]) if b.get("type") == "text"]
            typed = [t for t in texts if t.startswith(_OPENING) or (t and not _NOTE.match(t))]
            if typed:
                return at, "\n".join(typed)
    return -1, ""


def _steps(prompt: str) -> list[Step] | None:
    """The script in a prompt."""
    _, opening, rest = prompt.rpartition(_OPENING)
    if not opening:
        return None
    found, length = json.JSONDecoder().raw_decode(rest)
    if not rest.startswith("]]", length) or not isinstance(found, dict) or not isinstance(found.get("steps"), list):
        raise ValueError(f"not a script: {opening}{rest}")
    steps: list[Step] = found["steps"]
    if wrong := {key for step in steps for key in step} - Step.__annotations__.keys():
        raise ValueError(f"a step cannot have {wrong}")
    return steps


def _answer(step: Step, request: Recorded) -> Message:
    """The whole answer as one message."""
    text = "".join(step.get("text", ""))
    tools = step.get("tools", [])
    content: list[Message] = [{"type": "text", "text": text}] if text else []
    content += [{"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", **tool} for tool in tools]
    return {
        "id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant",
        "model": request.body.get("model", "mock"), "content": content,
        "stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 10},
    }  # fmt: skip


def _events(answer: Message, step: Step) -> Iterator[Message]:
    """The answer as it is streamed, up to where it may hang."""
    usage = {**answer["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": {**answer, "content": [], "stop_reason": None, "usage": usage}}
    for index, block in enumerate(answer["content"]):
        if block["type"] == "text":
            text, empty, kind, key = step["text"], {**block, "text": ""}, "text_delta", "text"
        else:
            text, empty, kind, key = (
                json.dumps(block["input"]),
                {**block, "input": {}},
                "input_json_delta",
                "partial_json",
            )
        pieces = [text[i : i + 16] for i in range(0, len(text), 16)] if isinstance(text, str) else text
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for piece in pieces:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}}
        yield {"type": "content_block_stop", "index": index}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them
    request_queue_size = 128

    def __init__(self, api: MockApi) -> None:
        self.api = api
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all connections, so that nobody reads from them any more."""
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.api.problems.append(repr(error))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def api(self) -> MockApi:
        return cast("_Server", self.server).api

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Recorded(self.command, self.path.partition("?")[0], headers, json.loads(raw) if raw else {})
        self.api.note(request)
        try:
            self._route(request)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            self.api.note(request, aborted=True)

    do_HEAD = do_POST = do_GET

    def _route(self, request: Recorded) -> None:
        match request.method, request.path:
            case "POST", "/v1/messages":
                self._messages(request)
            case "POST", "/v1/messages/count_tokens":
                self._json(200, {"input_tokens": len(json.dumps(request.messages)) // 4 + 1})
            case (("GET" | "HEAD"), ("/" | "/api/hello")):
                self._json(200, {})
            case _:
                self._error({"status": 404, "type": "not_found_error", "message": f"no {request.path}"})

    def _messages(self, request: Recorded) -> None:
        try:
            step = self.api.step_for(request)
        except ValueError as e:
            self.api.problems.append(str(e))
            return self._error({"status": 400, "type": "invalid_request_error", "message": str(e)})
        self.api.stopping.wait(step.get("delay", 0))
        if "error" in step:
            return self._error(step["error"])
        answer = _answer(step, request)
        if not request.body.get("stream"):
            return self._json(200, answer)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in _events(answer, step):
            self._event(event)
            if event["type"] == "content_block_delta":
                self.api.stopping.wait(step.get("chunk_delay", 0))
        until = time.monotonic() + step.get("hang", 0)
        while time.monotonic() < until and not self.api.released.wait(0.1):
            self._event({"type": "ping"})
        end = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
        self._event({"type": "message_delta", "delta": end, "usage": answer["usage"]})
        self._event({"type": "message_stop"})
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: Message) -> None:
        data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _error(self, error: ApiError) -> None:
        inner = {"type": error.get("type", "api_error"), "message": error.get("message", "mock error")}
        self._json(error.get("status", 500), {"type": "error", "error": inner})

    def _json(self, status: int, body: Message) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
