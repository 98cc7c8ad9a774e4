"""Edits of the command line of ``claude``. Arguments come and go as lists without the program's name.

Flags are read as the CLI reads them: ``--flag value``, ``--flag=value``, and for those that take several values every
argument up to the next one that begins with a dash. Behind ``--`` there are no flags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json import loads
from typing import Final, NamedTuple

from cowork.translate.matcher import GuestToHost
from cowork.translate.paths import GUEST_ROOT
from cowork.translate.sessionmap import SessionMap

VM_TOOLS: Final = frozenset({
    "AskUserQuestion",
    "mcp__cowork__allow_cowork_file_delete",
    "mcp__cowork__create_artifact",
    "mcp__cowork__launch_code_session",
    "mcp__cowork__present_files",
    "mcp__cowork__propose_skills",
    "mcp__cowork__update_artifact",
    "mcp__cowork-onboarding__show_onboarding_role_picker",
})  # fmt: skip
"""Tools that clients disallow because the runtime inside their virtual machine brings its own. Full names, as the CLI
compares them: ``present_files`` or ``AskUserQuestion(x)`` is somebody else's entry."""

_ONE, _ANY, _MANY = "one", "any", "many"
"""How many values a flag takes: one that does not begin with a dash, one of whatever kind, one or more."""

_DIRECTORIES = {"--add-dir": _MANY, "--plugin-dir": _ONE}
_DISALLOWED = {"--disallowedTools": _MANY, "--disallowed-tools": _MANY}
_TOOL_LISTS = {"--allowedTools": _MANY, "--allowed-tools": _MANY, **_DISALLOWED}
_RESUME = {"--resume": _ONE, "-r": _ONE}
_UNTOUCHED = {"--mcp-config": _MANY, **_RESUME}
_MAPPED = {**_DIRECTORIES, **_TOOL_LISTS, **_UNTOUCHED}
_PROMPT = "--append-system-prompt"

_RULE = re.compile(r"[^()]*\((.*)\)", re.DOTALL)
_KNOWN_TYPES = frozenset(f"lam_session_type:{kind}" for kind in ("agent", "chat", "dispatch_child", "scheduled"))

_GUIDANCE = (
    "The user is not at this computer and reads your messages on another device. To hand over a file, call "
    "present_files for it first, then SendUserMessage with the absolute path of the file in `attachments`. Do not "
    "refer to files by computer:// links or markdown links: they open nothing where the user is."
)
_OUTPUTS = (
    "Save files that are meant for the user in {folder} and attach them by that path. Paths below /sessions do not "
    "exist on this computer."
)


class _Part(NamedTuple):
    """A flag with its values, or one argument that is none of the flags that were looked for (``flag`` is empty)."""

    flag: str
    values: list[str]
    joined: bool = False

    def arguments(self) -> list[str]:
        if self.joined:
            return [f"{self.flag}={self.values[0]}"]
        return [self.flag, *self.values] if self.flag else self.values

    def keep(self, values: list[str]) -> list[str]:
        """The arguments with ``values`` instead; none at all when the flag lost every value that it had."""
        return self._replace(values=values).arguments() if values or not self.values else []


def map_arguments(args: Sequence[str], to_host: GuestToHost) -> list[str]:
    """``args`` with the guest paths of ``to_host.session`` as host paths, wherever they stand.

    Left alone: the values of ``--mcp-config``, byte by byte, and the ids of ``--resume`` and ``-r``. A value of
    ``--add-dir`` or ``--plugin-dir`` and an entry of a tool list that name a guest path with no host path (one of
    another session) are dropped, and with the last of them the flag: the CLI takes no empty list.
    """
    mapped: list[str] = []
    for part in _parts(args, _MAPPED):
        if part.flag in _DIRECTORIES:
            mapped += part.keep([v for value in part.values if (v := _map_directory(value, to_host)) is not None])
        elif part.flag in _TOOL_LISTS:
            mapped += part.keep(_edit_lists(part.values, lambda entry: _map_rule(entry, to_host)))
        elif part.flag:
            mapped += part.arguments()
        else:
            mapped += [map_text(value, to_host) for value in part.values]
    return mapped


def map_text(text: str, to_host: GuestToHost) -> str:
    """``text``, an argument or the value of a variable, with guest paths as host paths; JSON stays valid JSON."""
    if f"{GUEST_ROOT}/" not in text:
        return text
    flag, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    if any(character.isspace() or character == "/" for character in flag):
        flag, equals, value = "", "", text
    data = value.encode("utf-8", "surrogateescape")
    return flag + equals + to_host(data, json=_is_json(value)).decode("utf-8", "surrogateescape")


def allowed_disallowed_tools(args: Sequence[str], env: Mapping[str, str | None]) -> list[str]:
    """``args`` without the ``VM_TOOLS`` among the disallowed tools: here the client itself answers for them.

    Every other entry is somebody's policy and stays; a flag that has none left goes. What kind of session it is, is
    told by ``CLAUDE_CODE_TAGS``: a scheduled one has nobody to ask and keeps ``AskUserQuestion`` disallowed, one of a
    kind that we do not know may be locked down on purpose and keeps its list.
    """
    tags = set(filter(None, re.split(r"[\s,;|]+", env.get("CLAUDE_CODE_TAGS") or "")))
    if tags and (not tags & _KNOWN_TYPES or any(_is_special(tag) for tag in tags)):
        return list(args)
    removed = VM_TOOLS - {"AskUserQuestion"} if "lam_session_type:scheduled" in tags else VM_TOOLS
    edited: list[str] = []
    for part in _parts(args, _DISALLOWED):
        if part.flag:
            edited += part.keep(_edit_lists(part.values, lambda entry: None if entry in removed else entry))
        else:
            edited += part.values
    return edited


def brief(args: Sequence[str], env: Mapping[str, str | None], outputs_host: str | None) -> list[str]:
    """``args`` for a session whose user is remote, which ``CLAUDE_CODE_BRIEF=1`` says; else a copy of them.

    ``--brief`` stands there exactly once, and so does ``--append-system-prompt``: of several the CLI takes the last
    one only, so what the client appends and how to hand over files, with the host path of the outputs folder where
    there is one, become one value.
    """
    if env.get("CLAUDE_CODE_BRIEF") != "1":
        return list(args)
    parts = list(_parts(args, {_PROMPT: _ANY, "--brief": ""}))
    texts = [value for part in parts if part.flag == _PROMPT for value in part.values if value]
    texts.append(_GUIDANCE if outputs_host is None else f"{_GUIDANCE} {_OUTPUTS.format(folder=outputs_host)}")
    # In front, where no flag with several values can take them for its own.
    edited = ["--brief", _PROMPT, "\n\n".join(texts)]
    for part in parts:
        edited += [] if part.flag else part.values
    return edited


def resume_id(args: Sequence[str]) -> str | None:
    """The id of the session to go on with: of the first ``--resume`` or ``-r``; None where it has none.

    An id becomes a file's name, so one that could name a file elsewhere is none.
    """
    for part in _parts(args, _RESUME):
        if part.flag:
            value = part.values[0] if part.values else ""
            bad = value in ("", ".", "..") or value.startswith("-") or not value.isprintable()
            return None if bad or "/" in value or "\\" in value else value
    return None


def _parts(args: Sequence[str], flags: Mapping[str, str]) -> Iterator[_Part]:
    """``args`` in order, the flags named in ``flags`` together with their values."""
    at = 0
    while at < len(args):
        name, equals, value = args[at].partition("=")
        takes = flags.get(name)
        at += 1
        if args[at - 1] == "--":
            yield from (_Part("", [arg]) for arg in args[at - 1 :])
            return
        if takes is None or (equals and not (takes and name.startswith("--"))):
            yield _Part("", [args[at - 1]])
        elif equals:
            yield _Part(name, [value], joined=True)
        else:
            values = list(_values(args[at:], takes))
            at += len(values)
            yield _Part(name, values)


def _values(args: Sequence[str], takes: str) -> Iterator[str]:
    for arg in args if takes == _MANY else args[:1] if takes else ():
        if takes != _ANY and arg.startswith("-") and arg != "-":
            return
        yield arg


def _map_directory(value: str, to_host: GuestToHost) -> str | None:
    session = to_host.session
    if not _is_guest(value, session) or value.count(f"{GUEST_ROOT}/") > 1:
        return map_text(value, to_host)
    return session.to_host(value)


def _map_rule(entry: str, to_host: GuestToHost) -> str | None:
    """A tool list's entry, such as ``Edit(//sessions/otter/mnt/proj/**)``: two slashes begin an absolute path."""
    rule = _RULE.fullmatch(entry)
    if rule is not None and _is_guest(rule[1], to_host.session) and to_host.session.to_host(rule[1]) is None:
        return None
    return map_text(entry, to_host)


def _is_guest(path: str, session: SessionMap) -> bool:
    """Whether ``path`` is a guest path of any session, and no host path that this session sees."""
    is_below_root = path.startswith("/") and path.lstrip("/").startswith(f"{GUEST_ROOT[1:]}/")
    return is_below_root and session.to_guest(path) is None


def _edit_lists(values: Iterable[str], edit: Callable[[str], str | None]) -> list[str]:
    """Tool lists with ``edit`` applied to each entry; without the lists that became empty by it."""
    edited = []
    for value in values:
        entries = list(_entries(value))
        kept = [new for entry in entries if (new := edit(entry)) is not None]
        if kept == entries:
            edited.append(value)
        elif kept:
            edited.append(",".join(kept))
    return edited


def _entries(value: str) -> Iterator[str]:
    """The entries of a tool list: separated by commas or blanks outside parentheses, which may be nested."""
    depth, start = 0, 0
    for at, character in enumerate(value):
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(depth - 1, 0)
        elif depth == 0 and (character == "," or character.isspace()):
            if start < at:
                yield value[start:at]
            start = at + 1
    if start < len(value):
        yield value[start:]


def _is_special(tag: str) -> bool:
    return "radar" in tag.lower() or (tag.startswith("lam_session_type:") and tag not in _KNOWN_TYPES)


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return False
    try:
        loads(text)
    except (ValueError, RecursionError):
        return False
    return True
