"""How what a session asks and does is put into words: short, whole where it matters, and harmless to a terminal.

Values come from a session's stream, so any of them may be of any type: one that is not understood counts as absent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

import msgspec

from cowork.wire.text import REPLACEMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    Members: TypeAlias = dict[str, object]

QUESTION = "AskUserQuestion"
"""The tool by which the model asks the user something."""
_TELLING = ("command", "file_path", "pattern", "url", "prompt", "description", "query", "plan")
"""Arguments of tools that say what a call is about, the most telling first."""
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_VISIBLE = {chr(code): chr(0x2400 + code) for code in range(0x20)} | {"\x7f": "\N{SYMBOL FOR DELETE}"}
# ECMA-48 5.3: a C1 function is also ESC and the character 0x40 below, and that is how it is shown.
_VISIBLE |= {chr(code): f"\N{SYMBOL FOR ESCAPE}{chr(code - 0x40)}" for code in range(0x80, 0xA0)}


def harmless(text: str) -> str:
    """``text`` without anything that drives a terminal; line breaks and tabs stay, CR LF becomes a line break.

    Other control characters become visible (``␛`` for ESC); bidirectional overrides and halves of surrogate pairs
    become U+FFFD.
    """
    return _UNSAFE.sub(lambda found: _VISIBLE.get(found[0], REPLACEMENT), text.replace("\r\n", "\n"))


def summary(tool: str, input: object, width: int) -> str:
    """What a call of ``tool`` is about, on one line of at most ``width`` columns: ``Bash: touch a``.

    ``input`` is a decoded JSON value. An ellipsis stands for what does not fit, ``␊`` for a line break.
    """
    telling = argument(input)
    return cut(flat(f"{tool or 'a tool'}: {telling}" if telling else tool or "a tool"), width)


def suggestion(entry: object) -> str:
    """A permission update as the CLI suggests it (a decoded JSON value), in words and on one line.

    ``allow Bash(touch a *) from now on (localSettings)``; a kind that is not known is shown as JSON.
    """
    update = members(entry)
    behavior = string(update.get("behavior")) or "allow"
    rules = ", ".join(_rule(rule) for rule in items(update.get("rules")))
    folders = ", ".join(filter(None, map(string, items(update.get("directories")))))
    mode = string(update.get("mode"))
    match update.get("type"):
        case "addRules" if rules:
            words = f"{behavior} {rules}"
        case "replaceRules" if rules:
            words = f"{behavior} nothing but {rules}"
        case "removeRules" if rules:
            words = f"no longer {behavior} {rules}"
        case "addDirectories" if folders:
            words = f"add folder {folders}"
        case "removeDirectories" if folders:
            words = f"remove folder {folders}"
        case "setMode" if mode:
            words = f"mode {mode}"
        case _:
            return flat(compact(entry))
    return flat(f"{words} {_duration_of(update)}")


def _rule(rule: object) -> str:
    named = members(rule)
    tool, content = string(named.get("toolName")), string(named.get("ruleContent"))
    if not tool:
        return compact(rule)
    return f"{tool}({content})" if content else tool


def _duration_of(update: Members) -> str:
    destination = string(update.get("destination"))
    if destination == "session":
        return "for this session"
    return f"from now on ({destination})" if destination else ""


def asked(request: Members, width: int) -> Iterator[str]:
    """The lines of a control request: what the session wants to know or to do, and what may be answered.

    What is to be allowed stands there whole, whatever the width: nobody should allow what they cannot see.
    """
    if request.get("subtype") != "can_use_tool":
        yield f"? the session asks: {flat(string(request.get('subtype')))}"
        return
    questions = []
    if request.get("tool_name") == QUESTION:
        questions = list(map(members, items(members(request.get("input")).get("questions"))))
    if questions and all(string(each.get("question")) for each in questions):
        for each in questions:
            yield from _question(each)
    else:
        yield from _permission(request, width)


def _permission(request: Members, width: int) -> Iterator[str]:
    tool = flat(string(request.get("tool_name"))) or "a tool"
    given = request.get("input")
    telling = argument(given)
    yield f"? {tool} wants to run: {indent(telling, '    ')}" if telling else f"? {tool} wants to run"
    others = {
        key: value for key, value in members(given).items() if key != "description" and string(value).strip() != telling
    }
    if others and telling != compact(given):
        yield f"  with {flat(compact(others))}"
    if description := string(request.get("description")):
        yield f"  {cut(flat(description), width - 2)}"
    if path := string(request.get("blocked_path")):
        yield f"  blocked path: {flat(path)}"
    for number, entry in enumerate(items(request.get("permission_suggestions")), 1):
        yield f"  option {number}: {suggestion(entry)}"


def _question(asked: Members) -> Iterator[str]:
    several = " (several may be chosen)" if asked.get("multiSelect") is True else ""
    yield f"? {indent(string(asked.get('question')).strip())}{several}"
    for number, option in enumerate(map(members, items(asked.get("options"))), 1):
        parts = (string(option.get("label")), string(option.get("description")))
        yield f"  {number}. {': '.join(filter(None, map(flat, parts)))}".rstrip()


def argument(value: object) -> str:
    """The most telling of a tool's arguments, else all of them as JSON; empty if there are none."""
    given = members(value)
    for name in _TELLING:
        if telling := string(given.get(name)).strip():
            return telling
    for each in map(members, items(given.get("questions"))[:1]):
        if telling := string(each.get("question")).strip():
            return telling
    return compact(value) if value else ""


def compact(value: object) -> str:
    """A value as JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except (RecursionError, UnicodeEncodeError):
        return "…"  # almost as deep as can be decoded, or decoded by somebody less strict


def flat(text: str) -> str:
    """``text`` on one line. Line breaks stay visible: behind one, a ``#`` hides no more."""
    lines = (" ".join(line.split()) for line in harmless(text).split("\n"))
    return " \N{SYMBOL FOR LINE FEED} ".join(filter(None, lines))


def indent(text: str, by: str = "  ") -> str:
    """``text`` with each line but the first moved to the right; a line of nothing stays so."""
    first, *lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join([first, *(line and by + line for line in lines)])


def cut(line: str, width: int) -> str:
    """A line, shortened to ``width`` columns with an ellipsis (which is there even if there is room for nothing)."""
    if len(line) <= width and line.isascii():
        return line
    used = kept = 0
    for at, character in enumerate(line, 1):
        if east_asian_width(character) in "WF":
            used += 2
        elif category(character) not in ("Mn", "Me", "Cf"):
            used += 1
        if used > width:
            return f"{line[:kept]}…"
        if used < width:
            kept = at
    return line


def string(value: object) -> str:
    """The value, if it is a text; else an empty one."""
    return value if isinstance(value, str) else ""


def members(value: object) -> Members:
    """The value, if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """The value, if it is a list; else an empty one."""
    return value if isinstance(value, list) else []
