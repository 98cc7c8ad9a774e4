"""Where a stream-json conversation stands: a state machine over the lines that Claude Code prints.

Pure, and small enough to be kept on the disk between two looks (progress.py). Facts: nothing is printed before the
first message or request; ``system/init`` comes with every turn; a ``result`` ends a turn and not the session, and may
belong to a turn that nobody asked for; with ``--replay-user-messages`` what was written to stdin is said on stdout,
too, the answers to permission prompts among it, so all that must be known is in the spool.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from cowork.supervisor.wording import harmless, summary
from cowork.wire.text import repair_json

_WIDTH = 100
_SKIPPED = (b'{"type":"stream_event"', b'{"type":"keep_alive"')
"""Beginnings of lines that say nothing about the state, and that there are many of."""
_TERMINAL = frozenset({"completed", "cancelled", "failed"})


class Prompt(msgspec.Struct, omit_defaults=True):
    """A question that the session waits with: a tool that wants permission, or any other control request.

    ``input`` is the tool's, as it was printed. ``asked``: seconds since the epoch, 0.0 if that is not known.
    """

    request: str
    subtype: str
    tool: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    use: str = ""
    description: str = ""
    reason: str = ""
    blocked_path: str = ""
    suggestions: msgspec.Raw = msgspec.Raw(b"[]")
    asked: float = 0.0

    @property
    def given(self) -> object:
        """The tool's input; see ``decoded``."""
        return decoded(self.input)


class Conversation(msgspec.Struct, omit_defaults=True):
    """What is known after the lines that were fed.

    ``turns`` and ``cost`` (US dollars) are sums; ``failure`` is why the last turn failed, empty if it did not;
    ``doing`` what it did last, in words; ``tasks`` what runs in its background; ``said`` the last answer's first line.
    ``open``: the user's messages that have not been dealt with, by their uuids. ``busy``: what the CLI itself says of
    its state, None as long as it says nothing.
    """

    begun: bool = False
    in_turn: bool = False
    busy: bool | None = None
    open: dict[str, str] = {}
    prompts: dict[str, Prompt] = {}
    tasks: list[str] = []
    session: str = ""
    model: str = ""
    doing: str = ""
    said: str = ""
    failure: str = ""
    results: int = 0
    turns: int = 0
    cost: float | None = None
    clock: float = 0.0

    @property
    def phase(self) -> str:
        """ "starting", "blocked", "working" or "idle"."""
        if self.prompts:
            return "blocked"
        if not self.begun:
            return "starting"
        if self.busy is not None:
            # A turn that is being wound up says "idle" last; one that waits in the queue keeps it busy.
            return "working" if self.busy else "idle"
        return "working" if self.in_turn or self.open else "idle"

    @property
    def settled(self) -> bool:
        """Whether its work is done: idle, after at least one turn, with nothing left running in its background."""
        return self.phase == "idle" and self.results > 0 and not self.tasks

    def feed(self, line: bytes) -> None:
        """Take one line of stdout. What cannot be understood changes nothing."""
        if line.startswith(_SKIPPED) or not line.startswith(b"{"):
            return
        # A text that was cut in the middle of a character (half of an emoji, as JavaScript counts) is no reason not
        # to see a prompt, or the end of a turn.
        if not self._take(line) and (repaired := repair_json(line)) != line:
            self._take(repaired)

    def _take(self, line: bytes) -> bool:
        """Whether the line was understood as far as it had to be."""
        try:
            head = _head.decode(line)
            take = _TAKERS.get(head.type)
            if take is not None:
                take(self, head, line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        return True

    def _control_request(self, head: _Head, line: bytes) -> None:
        self.begun = True
        asked = _request.decode(line)
        body = asked.request
        for raw in (body.input, body.permission_suggestions):
            bytes(raw).decode()  # raises here and not for whoever looks at it
        self.prompts[asked.request_id] = Prompt(
            asked.request_id, body.subtype, body.tool_name, body.input, _text(body.tool_use_id),
            _text(body.description) or _text(body.title), _text(body.decision_reason), _text(body.blocked_path),
            body.permission_suggestions, self.clock,
        )  # fmt: skip

    def _control_response(self, head: _Head, line: bytes) -> None:
        """An answer of the CLI's to us (as it does to ``initialize``, when it has yet to begin), or one of ours, said
        again."""
        self.prompts.pop(_response.decode(line).response.request_id, None)

    def _control_cancel(self, head: _Head, line: bytes) -> None:
        self.prompts.pop(_request.decode(line).request_id, None)

    def _system(self, head: _Head, line: bytes) -> None:
        self.begun = True
        match head.subtype:
            case "init":
                found = _init.decode(line)
                self.session, self.model = found.session_id, found.model
                self.in_turn = True
            case "session_state_changed":
                state = _state.decode(line).state
                self.busy = state != "idle"
                if state == "idle":
                    self.in_turn = False
                    # Nothing waits then; what answered it may be in a part of the spool that was never read.
                    self.prompts.clear()
            case "background_tasks_changed":
                self.tasks = [task.description or task.task_id for task in _tasks.decode(line).tasks]

    def _user(self, head: _Head, line: bytes) -> None:
        """A message of the user's, or what tools gave back, which also shows that their prompts are answered."""
        self._date(head)
        self.begun = self.in_turn = True
        content = _user.decode(line).message.content
        uses = {block.tool_use_id for block in content} if isinstance(content, list) else set()
        for key in [key for key, prompt in self.prompts.items() if prompt.use and prompt.use in uses]:
            del self.prompts[key]

    def _assistant(self, head: _Head, line: bytes) -> None:
        self._date(head)
        self.begun = self.in_turn = True
        for block in _assistant.decode(line).message.content:
            if block.type == "tool_use":
                self.doing = summary(block.name, msgspec.json.decode(block.input), _WIDTH)
            elif block.type == "text" and block.text.strip():
                self.doing = ""
                self.said = first_line(block.text)

    def _lifecycle(self, head: _Head, line: bytes) -> None:
        found = _lifecycle.decode(line)
        if found.state in _TERMINAL:
            self.open.pop(found.command_uuid, None)
        else:
            self.begun = True
            self.open[found.command_uuid] = found.state

    def _result(self, head: _Head, line: bytes) -> None:
        found = _result.decode(line)
        self.in_turn = False
        self.results += 1
        self.doing = ""
        if type(found.num_turns) is int:
            self.turns += found.num_turns
        if isinstance(found.total_cost_usd, int | float):
            self.cost = float(found.total_cost_usd)
        self.failure = _failure(head.subtype, found)
        uuids = found.user_message_uuids if isinstance(found.user_message_uuids, list) else []
        for uuid in (found.user_message_uuid, *uuids):
            self.open.pop(_text(uuid), None)
        if not self.failure and _text(found.result).strip():
            self.said = first_line(_text(found.result))

    def _date(self, head: _Head) -> None:
        if head.timestamp:
            try:
                self.clock = datetime.fromisoformat(head.timestamp).timestamp()
            except ValueError:
                pass


def decoded(raw: msgspec.Raw) -> object:
    """The value; None if it is nested too deep for whoever looks."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        return None


def first_line(text: str) -> str:
    """The first line with something in it, shortened, and harmless to a terminal."""
    line = harmless(next((line.strip() for line in text.splitlines() if line.strip()), ""))
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _failure(subtype: str, found: _Result) -> str:
    if found.is_error is not True and subtype == "success":
        return ""
    reason = subtype if subtype != "success" else _text(found.terminal_reason) or "error"
    errors = found.errors if isinstance(found.errors, list) and found.errors else [found.result]
    words = first_line(_text(errors[0]))
    return f"{reason}: {words}" if words else reason


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# -- what is read of each kind of line; everything else is skipped unseen


class _Head(msgspec.Struct):
    type: str = ""
    subtype: str = ""
    timestamp: str = ""


class _Body(msgspec.Struct):
    """What is not needed to answer may be of any type: a prompt that is not seen would never be answered."""

    subtype: str = ""
    tool_name: str = ""
    tool_use_id: object = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    permission_suggestions: msgspec.Raw = msgspec.Raw(b"[]")
    description: object = ""
    title: object = ""
    decision_reason: object = ""
    blocked_path: object = ""


class _Request(msgspec.Struct):
    request_id: str
    request: _Body = msgspec.field(default_factory=_Body)


class _Answer(msgspec.Struct):
    request_id: str = ""


class _Response(msgspec.Struct):
    response: _Answer = msgspec.field(default_factory=_Answer)


class _Init(msgspec.Struct):
    session_id: str = ""
    model: str = ""


class _State(msgspec.Struct):
    state: str = ""


class _Task(msgspec.Struct):
    task_id: str = ""
    description: str = ""


class _Tasks(msgspec.Struct):
    tasks: list[_Task] = []


class _Block(msgspec.Struct):
    type: str = ""
    tool_use_id: str = ""
    name: str = ""
    text: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _UserMessage(msgspec.Struct):
    content: list[_Block] | str = ""


class _User(msgspec.Struct):
    message: _UserMessage = msgspec.field(default_factory=_UserMessage)


class _AssistantMessage(msgspec.Struct):
    content: list[_Block] = []


class _Assistant(msgspec.Struct):
    message: _AssistantMessage = msgspec.field(default_factory=_AssistantMessage)


class _Lifecycle(msgspec.Struct):
    command_uuid: str = ""
    state: str = ""


class _Result(msgspec.Struct):
    is_error: object = False
    result: object = ""
    errors: object = None
    terminal_reason: object = ""
    num_turns: object = 0
    total_cost_usd: object = None
    user_message_uuid: object = ""
    user_message_uuids: object = None


_head = msgspec.json.Decoder(_Head)
_request = msgspec.json.Decoder(_Request)
_response = msgspec.json.Decoder(_Response)
_init = msgspec.json.Decoder(_Init)
_state = msgspec.json.Decoder(_State)
_tasks = msgspec.json.Decoder(_Tasks)
_user = msgspec.json.Decoder(_User)
_assistant = msgspec.json.Decoder(_Assistant)
_lifecycle = msgspec.json.Decoder(_Lifecycle)
_result = msgspec.json.Decoder(_Result)

_TAKERS = {
    "control_request": Conversation._control_request,
    "control_response": Conversation._control_response,
    "control_cancel_request": Conversation._control_cancel,
    "system": Conversation._system,
    "user": Conversation._user,
    "assistant": Conversation._assistant,
    "command_lifecycle": Conversation._lifecycle,
    "result": Conversation._result,
}
