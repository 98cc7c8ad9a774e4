"""The stream-json that a ``claude -p`` session prints, as a transcript that people read.

::

    session 5c1e…, model claude-opus-5-5, in /home/ana/proj, permission mode default

    > write a file

    I will touch it.

    * Bash: touch a
    ? Bash wants to run: touch a
      option 1: allow Bash(touch a *) from now on (localSettings)
      | (Bash completed with no output)

    -- done in 1.7 s, 2 turns, $0.0221

The CLI adds message types and fields with nearly every release, and a session may print anything: what is not
understood is left out, a wrong type counts as absent, and nothing that is shown can drive the reader's terminal.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from cowork.supervisor.wording import asked, cut, flat, harmless, indent, items, members, string, summary
from cowork.wire.text import decode_output, repair_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    Members: TypeAlias = dict[str, object]
    Look: TypeAlias = dict[str, Any]

_WIDTH = 100
"""Columns where nobody says how many there are."""
_PREVIEW = 4
"""Most lines shown of what a tool returned."""
_SILENT = (
    b'{"type":"stream_event"',
    b'{"type":"command_lifecycle"',
    b'{"type":"control_response"',
    b'{"type":"keep_alive"',
)
"""How lines begin that are never shown. With partial messages nearly every line does, so it is not even decoded."""
_BRIEF_TOOL = "SendUserMessage"
"""In brief mode the model speaks to the user through this tool."""
_NOTES = ("system-reminder", "task-notification")
"""Elements in a text that the CLI has put there for the model."""
_INTERRUPTED = "[Request interrupted by user"

_PLAIN: Look = {}
_DIM: Look = {"dim": True}
_PROMPT: Look = {"bold": True}
_TOOL: Look = {"fg": "cyan"}
_QUESTION: Look = {"fg": "yellow"}
_GOOD: Look = {"fg": "green"}
_BAD: Look = {"fg": "red"}


_decoder: msgspec.json.Decoder[Members] = msgspec.json.Decoder()


class _Block(NamedTuple):
    """Lines that are printed together."""

    text: str
    look: Look = _PLAIN
    apart: bool = False
    """Whether an empty line separates it from what is before and behind it."""
    once: bool = False
    """Whether it is said once however often it comes in succession."""


_THINKING = _Block("(thinking)", _DIM, once=True)


class Transcript:
    """The transcript of one session. ``width``: columns that one-line summaries are shortened to, 100 if None.

    It remembers only what was said last, so any number of lines may be left out at the start.
    """

    def __init__(self, *, color: bool, width: int | None = None) -> None:
        self._color = color
        self._width = _WIDTH if width is None else width
        self._decode_stderr = getincrementaldecoder("utf-8")("replace").decode
        self._circumstances = ""
        self._said = ""
        """What the assistant said last in this turn."""
        self._delivered: set[str] = set()
        """Calls of the brief tool whose results, which tell nothing, have yet to come."""
        self._last: _Block | None = None
        self._midline = False

    def feed(self, line: bytes) -> str:
        """What is to be printed for one line of stdout, which comes without its newline.

        Empty, or ends with a newline. What is no JSON object is shown as the text it is. Never raises.
        """
        if line.startswith(_SILENT):
            return ""
        message = _decode(line)
        if message is None:
            return self._place(_Block(decode_output(line.removesuffix(b"\r"))))
        return "".join(map(self._place, self._blocks(message)))

    def stderr(self, text: bytes) -> str:
        """What is to be printed for a piece of stderr, which may end within a line or a character. Never raises."""
        shown = harmless(self._decode_stderr(text))
        if shown:
            self._midline = not shown.endswith("\n")
            self._last = _Block("")
        return self._paint(shown, _DIM)

    def _place(self, block: _Block) -> str:
        """A block with what separates it from the one before. All that ``feed`` returns is made harmless here."""
        last = self._last
        if block.once and block == last:
            return ""
        lead = "\n" * self._midline
        if last is not None and (last.apart or block.apart):
            lead += "\n"
        self._midline = False
        self._last = block
        return f"{lead}{self._paint(harmless(block.text), block.look)}\n"

    def _paint(self, text: str, look: Look) -> str:
        """Line by line, since a pager forgets colours at the end of a line."""
        if not self._color or not look:
            return text
        return "\n".join(line and click.style(line, **look) for line in text.split("\n"))

    def _blocks(self, message: Members) -> Iterable[_Block]:
        if not message.get("parent_tool_use_id"):
            return self._shown(message, self._width, nested=False)
        inner = self._shown(message, self._width - 2, nested=True)
        return (block._replace(text=indent(f"  {block.text}")) for block in inner)

    def _shown(self, message: Members, width: int, *, nested: bool) -> Iterable[_Block]:
        match message.get("type"):
            case "assistant":
                return self._assistant(message, width, nested=nested)
            case "user":
                return self._user(message, width)
            case "control_request":
                return _asked(members(message.get("request")), width)
            case "control_cancel_request":
                return [_Block("(the question is withdrawn)", _DIM)]
            case "system":
                return self._system(message)
            case "result":
                return self._result(message)
        return []

    def _assistant(self, message: Members, width: int, *, nested: bool) -> Iterator[_Block]:
        for block in _content(members(message.get("message")).get("content")):
            match block.get("type"):
                case "text":
                    yield from self._say(block.get("text"), nested=nested)
                case "tool_use" if block.get("name") == _BRIEF_TOOL:
                    self._delivered.add(string(block.get("id")))
                    yield from self._say(members(block.get("input")).get("message"), nested=nested)
                case "tool_use" | "server_tool_use" | "mcp_tool_use":
                    yield _Block(f"* {summary(string(block.get('name')), block.get('input'), width - 2)}", _TOOL)
                case "thinking" | "redacted_thinking":
                    yield _THINKING

    def _say(self, value: object, *, nested: bool) -> Iterator[_Block]:
        text = string(value).strip("\r\n")
        if text.strip():
            if not nested:
                self._said = text
            yield _Block(text, apart=True)

    def _user(self, message: Members, width: int) -> Iterator[_Block]:
        blocks = _content(members(message.get("message")).get("content"))
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for result in results:
            yield from self._tool_result(result, width)
        if results or message.get("isSynthetic") is True:
            return
        typed = _without_notes(_words(blocks)).strip()
        if typed.startswith(_INTERRUPTED) and message.get("isReplay") is not True:
            yield _Block("(interrupted by the user)", _DIM)
        elif typed:
            yield _Block(f"> {indent(typed)}", _PROMPT, apart=True)

    def _tool_result(self, result: Members, width: int) -> Iterator[_Block]:
        call, failed = string(result.get("tool_use_id")), result.get("is_error") is True
        if call in self._delivered:
            self._delivered.discard(call)
            if not failed:
                return
        if lines := _preview(_words(_content(result.get("content"))), width - 4, failed=failed):
            yield _Block("\n".join(f"  | {line}".rstrip() for line in lines), _BAD if failed else _DIM)

    def _system(self, message: Members) -> Iterator[_Block]:
        if message.get("subtype") != "init":
            if note := _note(message):
                yield _Block(cut(flat(note), self._width), _DIM)
            return
        names = (("session", "session_id"), ("model", "model"), ("in", "cwd"), ("permission mode", "permissionMode"))
        told = ", ".join(f"{name} {flat(value)}" for name, key in names if (value := string(message.get(key))))
        # The CLI sends this again at the start of every turn.
        if told and told != self._circumstances:
            self._circumstances = told
            yield _Block(told, _DIM, apart=True)

    def _result(self, message: Members) -> Iterator[_Block]:
        text = string(message.get("result")).strip("\r\n")
        if text.strip() and text != self._said:
            yield _Block(text, apart=True)
        self._said = ""
        subtype = string(message.get("subtype"))
        if message.get("is_error") is True or subtype not in ("", "success"):
            closing, look = _failure(message, subtype, text), _BAD
        else:
            closing, look = _success(message), _GOOD
        if members(message.get("origin")).get("kind") == "task-notification":
            closing += " (background task)"
        yield _Block(closing, look, apart=True)


def _asked(request: Members, width: int) -> Iterator[_Block]:
    """What the session wants to know and waits for."""
    if request.get("subtype") == "can_use_tool":
        yield _Block("\n".join(asked(request, width)), _QUESTION)
    elif string(request.get("subtype")):
        yield _Block("\n".join(asked(request, width)), _DIM)


def _note(message: Members) -> str:
    """A system message in words; empty for one that tells a reader nothing."""
    match message.get("subtype"):
        case "api_retry":
            return _retry(message)
        case "compact_boundary":
            return "(the conversation was compacted)"
        case "permission_denied":
            reason = string(message.get("decision_reason")) or string(message.get("message"))
            denied = f"{string(message.get('tool_name')) or 'a tool'} was denied"
            return f"({denied}: {reason})" if reason else f"({denied})"
        case "task_started":
            description = string(message.get("description"))
            return f"(task started: {description})" if description else "(task started)"
        case "task_notification":
            what = string(message.get("summary")) or string(message.get("description"))
            return f"({what})" if what else f"(task {string(message.get('status')) or 'ended'})"
    return ""


def _retry(message: Members) -> str:
    status = _number(message.get("error_status"))
    attempt, most = _number(message.get("attempt")), _number(message.get("max_retries"))
    delay = _number(message.get("retry_delay_ms"))
    words = "the API did not answer" if status is None else f"the API answered {status:.0f}"
    if attempt is not None:
        words += f"; try {attempt:.0f}" + (f" of {most:.0f}" if most is not None else "")
        words += f" in {_seconds(delay)}" if delay is not None else ""
    return f"({words})"


def _success(message: Members) -> str:
    duration, turns = _number(message.get("duration_ms")), _number(message.get("num_turns"))
    cost = _number(message.get("total_cost_usd"))
    facts = [
        f"in {_seconds(duration)}" if duration is not None else "",
        _count(int(turns), "turn") if turns is not None else "",
        f"${cost:.4f}" if cost is not None else "",
    ]
    told = ", ".join(filter(None, facts))
    return f"-- done {told}".rstrip()


def _failure(message: Members, subtype: str, text: str) -> str:
    # An API error is a "success" of a turn that was "completed" or not, depending on the release.
    reasons = (string(message.get("terminal_reason")), subtype)
    reason = next((reason for reason in reasons if reason not in ("", "completed", "success")), "")
    errors = [error for error in map(string, items(message.get("errors"))) if error.strip()]
    first = (errors[0] if errors else text).strip().partition("\n")[0]
    return ": ".join(filter(None, ("-- failed", flat(reason), flat(first))))


def _decode(line: bytes) -> Members | None:
    """The JSON object on a line; None if it holds none, empty if it holds one that cannot be had."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        try:
            return _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _decoder.decode(repair_json(line))
    except (msgspec.ValidationError, RecursionError):
        return {}  # a number out of range, or nested too deeply
    except msgspec.DecodeError:
        return None


def _number(value: object) -> float | None:
    """A number that a quantity can be, as a float."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    return None


def _content(value: object) -> list[Members]:
    """The blocks of a message's or result's content, which may also be a plain string."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return [block for block in items(value) if isinstance(block, dict)]


def _words(blocks: list[Members]) -> str:
    """What can be read of a content's blocks."""
    parts = []
    for block in blocks:
        if block.get("type") == "image":
            parts.append("(image)")
        elif block.get("type") == "text" and isinstance(text := block.get("text"), str):
            parts.append(text)
    return "\n".join(parts)


def _preview(text: str, width: int, *, failed: bool) -> list[str]:
    """The first lines of what a tool returned, each shortened to ``width``, and how many there are beyond."""
    text = _without_notes(text).replace("\r\n", "\n").strip("\n")
    if failed:
        text = f"error: {text}" if text else "error"
    if not text:
        return []
    lines = text.split("\n", _PREVIEW)
    more = lines.pop().count("\n") + 1 if len(lines) > _PREVIEW else 0
    shown = [cut(harmless(line), width) for line in lines]
    return [*shown, f"… {_count(more, 'more line')}"] if more else shown


def _without_notes(text: str) -> str:
    """``text`` without the notes in it; the beginning of a note that has no end is text like any other."""
    for name in _NOTES:
        first, *pieces = text.split(f"<{name}>")
        parts = [first]
        for piece in pieces:
            _, end, rest = piece.partition(f"</{name}>")
            parts.append(rest if end else f"<{name}>{piece}")
        text = "".join(parts)
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _seconds(milliseconds: float) -> str:
    """A span of time: ``24 ms``, ``1.7 s``, ``2 min 5 s``, ``3 h 4 min``."""
    if milliseconds < 100:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
