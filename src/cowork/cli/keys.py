r"""The keys that detach a person's terminal from a session.

A key arrives as a plain byte or, where the session's program has asked the terminal for it, as an escape sequence:
``CSI code:shifted ; modifiers:event u`` (kitty's, and one of xterm's) or ``CSI 27 ; modifiers ; code ~`` (xterm's).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cowork.errors import ConfigError

DEFAULT = "ctrl-\\ d"

_MOST = 4
_HINT = r'1 to 4 keys such as "ctrl-\ d": each a character, or ctrl- with a letter or one of @ \ ] ^ _'
_NAME = re.compile(r"(?:(?:ctrl|c)-|\^)(?P<ctrl>[@-_a-z])|(?P<plain>[!-~])", re.ASCII | re.IGNORECASE)

_SHIFT, _CTRL, _LOCKS = 1, 4, 64 | 128
_PRESS, _REPEAT, _RELEASE = range(1, 4)
# What Shift makes of a key, on the keyboard that is assumed if the terminal does not say: the American one.
_UNSHIFTED_KEYS = b"abcdefghijklmnopqrstuvwxyz`1234567890-=[]\\;',./"
_SHIFTED_KEYS = b'ABCDEFGHIJKLMNOPQRSTUVWXYZ~!@#$%^&*()_+{}|:"<>?'
_SHIFTED = dict(zip(_UNSHIFTED_KEYS, _SHIFTED_KEYS, strict=True))

_CODED = re.compile(
    rb"\x1b\[(?:"
    rb"([0-9]{1,7})(?::([0-9]{0,7}))?(?::[0-9]*)?(?:;([0-9]{0,3})(?::([1-3]?))?(?:;[0-9:]*)?)?u"
    rb"|27;([0-9]{1,3});([0-9]{1,7})~)"
)
# The mouse, the window's focus, and keys such as Shift and Caps Lock by themselves.
_NO_KEY = re.compile(rb"\x1b\[(?:<[0-9;]*[Mm]|[IO]|57(?:35[89]|360|44[1-9]|45[0-4])[0-9:;]*u)")
_UNFINISHED = re.compile(rb"\x1b\[([0-9]*)([:;][0-9:;]*)?")

_PASTE, _PASTE_END = b"\x1b[200~", b"\x1b[201~"


class Key(NamedTuple):
    """A key by the character that it types (``code``), with or without Ctrl."""

    code: int
    ctrl: bool = False

    def __str__(self) -> str:
        return f"ctrl-{chr(self.code)}" if self.ctrl else chr(self.code)

    @property
    def byte(self) -> bytes:
        """How it arrives when nothing else has been asked for."""
        return bytes([self.code & 0x1F if self.ctrl else self.code])

    @property
    def numbers(self) -> tuple[bytes, ...]:
        """What an escape sequence for it begins with."""
        unshifted = (code for code, shifted in _SHIFTED.items() if shifted == self.code)
        return (b"27", *(b"%d" % code for code in (self.code, *unshifted)))


def parse(text: str) -> tuple[Key, ...]:
    r"""The keys that ``text`` names, separated by blanks or commas: ``ctrl-\ d``, ``C-a d``, ``^P,^Q``.

    Raises:
        ConfigError: there are none or too many, or one is no key that can be told from others.
    """
    names = re.findall(r"[^\s,]+", text)
    if not 1 <= len(names) <= _MOST:
        raise ConfigError(f"the detach sequence {text!r} has {len(names)} keys", hint=_HINT)
    return tuple(_parse_key(name) for name in names)


def _parse_key(name: str) -> Key:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(f"{name!r} in the detach sequence is no key", hint=_HINT)
    if found["plain"]:
        return Key(ord(name))
    if found["ctrl"] == "[":
        raise ConfigError(f"{name!r} in the detach sequence is Esc, with which other keys begin", hint=_HINT)
    return Key(ord(found["ctrl"].lower()), ctrl=True)


class Detector:
    """Finds ``keys`` (at least one) in what a person types, but not in what they paste.

    How far a sequence has come does not depend on how its bytes are cut into chunks, nor on whether they were held
    back. That matters where an Esc was passed on at once and turns out to have begun a key.
    """

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self._typed: list[bytes] = []
        """One entry for each key of the sequence typed so far: bytes that have not been passed on."""
        self._rest = b""
        """The beginning of an escape sequence whose end has not come."""
        self._gone = 0
        """How many bytes of it have been passed on."""
        self._pasting = False
        self._dropped: int | None = None
        """The code of a key whose press was not passed on, so that its release is not either."""
        self._plain = {key.byte: key for key in keys}
        self._token = re.compile(
            rb"\x1b\[[0-?]*+[ -/]*+[@-~]|(?P<rest>\x1b(?:\[[0-?]*+[ -/]*+)?\Z)|\x1b(?:\[[0-?]*+[ -/]*+)?|[^\x1b%b]+|."
            % re.escape(b"".join(key.byte for key in keys)),
            re.DOTALL,
        )

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What of ``data`` and of what was held back is passed on now, and whether to detach.

        Bytes behind the sequence are dropped. Its first key typed twice is passed on once, unless it is the second
        key as well; an Esc that is the last byte is passed on at once.
        """
        if not data:
            return b"", False
        data, gone = self._rest + data, self._gone
        out, at = [], 0
        if self._rest == b"\x1b" and data[1:2] != b"[" and not self._pasting:
            self._typed, at = [], 1  # Nothing went on with it, so it was the key.
        self._rest, self._gone = b"", 0
        while at < len(data):
            start = max(at, gone)
            if self._pasting:
                at = self._paste(data, at)
                out.append(data[start:at])
                continue
            found = self._token.match(data, at)
            assert found is not None, "every byte is a token"
            at = found.end()
            if found["rest"]:
                out.append(self._keep(found[0], data[start:], gone=start > found.start()))
            else:
                out.append(self._take(found[0], data[start:at]))
            if len(self._typed) == len(self._keys):
                self._typed = []
                return b"".join(out), True
        return b"".join(out), False

    def _paste(self, data: bytes, at: int) -> int:
        """Where the paste in which ``at`` lies ends, or ``data`` does. All of it is passed on."""
        end = data.find(_PASTE_END, at)
        if end >= 0:
            self._pasting = False
            return end + len(_PASTE_END)
        size = next(size for size in range(len(_PASTE_END) - 1, -1, -1) if data.endswith(_PASTE_END[:size]))
        self._rest, self._gone = _PASTE_END[:size], size
        return len(data)

    def _keep(self, sequence: bytes, new: bytes, *, gone: bool) -> bytes:
        """Keep an unfinished ``sequence``, of which ``new`` has not been passed on. Returns what is passed on.

        It is held back only if it may become the next key. Esc may be a key by itself, and what follows one that was
        passed on is more likely to have been typed.
        """
        self._rest = sequence
        if not gone and _may_become(self._keys[len(self._typed)], sequence):
            return b""
        self._gone = len(sequence)
        held = b"".join(self._typed)
        self._typed = [b""] * len(self._typed)
        return held + new

    def _take(self, token: bytes, new: bytes) -> bytes:
        """Take one key, or bytes that are none of ours. Returns what is passed on of what was held and of ``new``."""
        if token == _PASTE:
            self._pasting = True
        key, event = (self._plain[token], _PRESS) if token in self._plain else _read(token)
        if event == _RELEASE and key is not None and key.code == self._dropped:
            self._dropped = None
            return b""
        again = event == _REPEAT and bool(self._typed) and key == self._keys[len(self._typed) - 1]
        if event == _RELEASE or again or _NO_KEY.fullmatch(token):
            # No key has been pressed, so this does not interrupt the sequence. It keeps its place behind what is held.
            if not self._typed:
                return new
            self._typed[-1] += new
            return b""
        return self._press(key, new)

    def _press(self, key: Key | None, new: bytes) -> bytes:
        """Take the press of ``key``, or of one that is none of ours. Returns what is passed on."""
        first, second = self._keys[0], self._keys[1:2]
        self._dropped = None
        if len(self._typed) == 1 and key == first and second != (first,):
            self._dropped = first.code
            return self._typed.pop()
        pressed = (*self._keys[: len(self._typed)], key)
        self._typed.append(new)
        # What was typed last may be the sequence's beginning, also where it is not the way the sequence goes on.
        kept = next(n for n in range(len(pressed), -1, -1) if pressed[len(pressed) - n :] == self._keys[:n])
        passed = len(pressed) - kept
        out = b"".join(self._typed[:passed])
        del self._typed[:passed]
        return out


def _read(token: bytes) -> tuple[Key | None, int]:
    """The key that an escape sequence stands for (None if it cannot be one of ours), and what happened to it."""
    found = _CODED.fullmatch(token)
    if found is None:
        return None, _PRESS
    code, shifted, modifiers, event = (int(number or 0) for number in found.groups()[:4])
    if found[5]:
        modifiers, code = int(found[5]), int(found[6])
    held = (max(modifiers, 1) - 1) & ~_LOCKS
    if held & _SHIFT:
        code = shifted or _SHIFTED.get(code, code)
    key = Key(code, bool(held & _CTRL)) if not held & ~(_SHIFT | _CTRL) else None
    return key, event or _PRESS


def _may_become(key: Key, sequence: bytes) -> bool:
    """Whether ``key`` may be what the unfinished ``sequence`` begins."""
    found = _UNFINISHED.fullmatch(sequence)
    if found is None:
        return False
    return any(number == found[1] if found[2] else number.startswith(found[1]) for number in key.numbers)
