"""The real Claude Code CLI without an account: where it is, what it may see, and a conversation with it.

A ``Conversation`` does not care what carries its lines: a child of the test (``Child``) or a process of the daemon
(``over_daemon``)::

    with Child([binary, *STREAM], environment, cwd) as child:
        talk = Conversation(child.send, child.messages())
        talk.initialize()
        result = talk.turn("hello")
        assert child.end() == 0
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

import pytest

from tests.support.client import TIMEOUT, Client, Message

FETCH = Path(__file__).resolve().parents[2] / "tools" / "fetch-claude"
FETCH_SECONDS = 1200
CANNOT_BE_HAD = 3

STREAM = ("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
"""Arguments for a conversation."""

MARKS = [pytest.mark.contract, pytest.mark.timeout(60, func_only=True)]
"""For ``pytestmark`` of a module whose fixtures call ``claude_binary``, as a first fetch takes its time."""


# -- the program


def claude_binary() -> Path:
    """The CLI: that of $COWORK_TEST_CLAUDE, else the pinned one; without it the test is skipped, in CI it fails."""
    found = _find()
    if isinstance(found, Path):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(found, pytrace=False)
    pytest.skip(found)


@functools.cache
def _find() -> Path | str:
    """The program, or why there is none."""
    if named := os.environ.get("COWORK_TEST_CLAUDE"):
        assert os.access(named, os.X_OK), f"COWORK_TEST_CLAUDE: {named} is not a program"
        return Path(named).resolve()
    fetched = subprocess.run([FETCH], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS)
    if fetched.returncode == CANNOT_BE_HAD:
        return f"no Claude Code CLI: {fetched.stderr.splitlines()[-1]}"
    assert fetched.returncode == 0, fetched.stderr
    return Path(fetched.stdout.strip())


def cli_environment(home: Path, api_url: str, tmp: Path) -> dict[str, str]:
    """All that a CLI may see: nothing of whoever runs the tests but PATH, and no host but the mock.

    ``tmp`` has to be short, because the CLI makes sockets in it.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8",
        "CLAUDE_CONFIG_DIR": str(home / ".claude"), "CLAUDE_CODE_TMPDIR": str(tmp),
        "ANTHROPIC_BASE_URL": api_url, "ANTHROPIC_API_KEY": "sk-ant-dummy-000", "CLAUDE_CODE_MAX_RETRIES": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
    }  # fmt: skip


def path_hash(path: str) -> int:
    """The signed 32-bit number that tells long paths with the same beginning apart."""
    unsigned = functools.reduce(lambda sum, unit: (sum * 31 + unit) & 0xFFFFFFFF, _utf16(path), 0)
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]


# -- the conversation


class Ended(Exception):
    """The CLI's output is over and what a test waits for was not in it."""


class Refused(Exception):
    """A control request was answered with an error."""


class Conversation:
    """Stream-json over anything that takes lines and yields messages; ``received`` has all that came, in order.

    The deadline is the carrier's: ``lines`` has to raise when nothing comes.
    """

    def __init__(self, send: Callable[[str], object], lines: Iterator[Message]) -> None:
        self.received: list[Message] = []
        self._send = send
        self._lines = lines
        self._unread: deque[Message] = deque()

    # -- out

    def send(self, message: Message) -> None:
        """Any message."""
        self._send(json.dumps(message, separators=(",", ":")) + "\n")

    def user(self, text: str, uuid: str | None = None, **fields: object) -> str:
        """A prompt; the uuid by which its result is known. ``priority`` may be among the fields."""
        uuid = uuid or new_uuid()
        self.send({"type": "user", "message": {"role": "user", "content": text}, "uuid": uuid, **fields})
        return uuid

    def answer_control(self, request: Message, response: Message) -> None:
        """Answer a control request of the CLI."""
        inner = {"subtype": "success", "request_id": request["request_id"], "response": response}
        self.send({"type": "control_response", "response": inner})

    def refuse_control(self, request: Message, error: str) -> None:
        """Answer a control request of the CLI with an error."""
        inner = {"subtype": "error", "request_id": request["request_id"], "error": error}
        self.send({"type": "control_response", "response": inner})

    def allow(self, request: Message, **changed: object) -> None:
        """Permit what a ``can_use_tool`` asks for, with changes to the tool's input."""
        wanted = request["request"]["input"]
        self.answer_control(request, {"behavior": "allow", "updatedInput": {**wanted, **changed}})

    def deny(self, request: Message, message: str) -> None:
        """Forbid what a ``can_use_tool`` asks for."""
        self.answer_control(request, {"behavior": "deny", "message": message})

    # -- in

    def until(self, wanted: str | Callable[[Message], object], **fields: object) -> Message:
        """The next message of this type (or that satisfies the predicate) with these fields; others are passed over.

        Raises:
            Ended: it does not come.
        """
        while True:
            message = self._unread.popleft() if self._unread else self._receive()
            fits = message.get("type") == wanted if isinstance(wanted, str) else wanted(message)
            if fits and all(message.get(key) == value for key, value in fields.items()):
                return message

    def rest(self) -> list[Message]:
        """All messages up to the end."""
        left = [*self._unread]
        self._unread.clear()
        try:
            while True:
                left.append(self._receive())
        except Ended:
            return left

    def _receive(self) -> Message:
        message = next(self._lines, None)
        if message is None:
            raise Ended(f"after {self.received[-3:]}")
        self.received.append(message)
        return message

    # -- both

    def control(self, subtype: str, **fields: object) -> Message:
        """A control request's answer; messages that come before it stay unread.

        Raises:
            Refused: it is an error.
        """
        request_id = new_uuid()
        self.send({"type": "control_request", "request_id": request_id, "request": {"subtype": subtype, **fields}})
        while True:
            message = self._receive()
            if message["type"] == "control_response" and message["response"]["request_id"] == request_id:
                break
            self._unread.append(message)
        response: Message = message["response"]
        if response["subtype"] != "success":
            raise Refused(response.get("error"))
        return response.get("response") or {}

    def initialize(self, **fields: object) -> Message:
        """Tell the CLI who is there; the answer means that it is ready."""
        return self.control("initialize", **fields)

    def interrupt(self) -> Message:
        """Break off the turn."""
        return self.control("interrupt")

    def turn(self, text: str) -> Message:
        """A prompt and its result."""
        return self.result(self.user(text))

    def result(self, uuid: str) -> Message:
        """The result of a prompt."""
        return self.until("result", user_message_uuid=uuid)

    def can_use_tool(self) -> Message:
        """The next request for a permission."""
        return self.until(lambda m: m["type"] == "control_request" and m["request"]["subtype"] == "can_use_tool")


def new_uuid() -> str:
    """A new one, as text."""
    return str(uuid.uuid4())


def parse_lines(chunks: Iterable[str]) -> Iterator[Message]:
    """The messages in a text that comes in pieces; what is not a message raises."""
    begun: list[str] = []
    for chunk in chunks:
        first, *more = chunk.split("\n")
        begun.append(first)
        for part in more:
            if line := "".join(begun):
                yield json.loads(line)
            begun = [part]
    assert "".join(begun) == "", f"a line cut short: {begun}"


# -- what carries it


def over_daemon(client: Client, id: str) -> Conversation:
    """With a process of the daemon, over a connection that is subscribed and serves nothing else meanwhile."""

    def chunks() -> Iterator[str]:
        while (event := client.event())["type"] != "exit" or event["id"] != id:
            if event["type"] == "stdout" and event["id"] == id:
                yield event["data"]

    return Conversation(lambda line: client.ask("writeStdin", {"id": id, "data": line}), parse_lines(chunks()))


class Child:
    """A CLI that is the test's own child, in a process group of its own that ends with it."""

    def __init__(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            bufsize=0, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin = self.process.stdin
        self._stdout = self.process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(TIMEOUT)
        self._stdin.close()
        self._stdout.close()
        self._errors.close()

    def talk(self) -> Conversation:
        """A conversation with it."""
        return Conversation(self.send, self.messages())

    def send(self, line: str) -> None:
        """Write to its stdin."""
        data = memoryview(line.encode())
        while data:
            data = data[self._stdin.write(data) or 0 :]

    def messages(self) -> Iterator[Message]:
        """What it prints on stdout."""
        return parse_lines(self._chunks())

    def _chunks(self) -> Iterator[str]:
        # Cut at line ends, so that no character is split.
        begun: list[bytes] = []
        while data := self._read():
            lines, end, rest = data.rpartition(b"\n")
            if end:
                yield b"".join([*begun, lines, end]).decode()
                begun = []
            begun.append(rest)
        yield b"".join(begun).decode()

    def _read(self) -> bytes:
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        assert poll.poll(TIMEOUT * 1000), f"the CLI is silent; stderr: {self.stderr()}"
        return self._stdout.read(1 << 20)

    def stderr(self) -> str:
        """What it has said there so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def end(self) -> int:
        """Close its stdin and read its output to the end; its exit status."""
        self._stdin.close()
        while self._read():
            pass
        return self.process.wait(TIMEOUT)
