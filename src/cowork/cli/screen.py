"""What a person's terminal is sent so that it shows the screen of a session's program, and what puts it right again.

Output is taken apart as terminals do it (Williams' parser for the VT500 series, text in UTF-8): control characters
within a sequence are obeyed and it goes on, CAN and SUB end it, and ESC begins another one wherever it stands. So
single sequences can be looked for without reading everything in front of them.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache

_LONGEST = 4096
"""Longest sequence that may change a mode, bytes. Only titles come anywhere near."""
_KEYBOARDS = 16
"""Most kitty keyboard modes on one stack; terminals forget the oldest, too."""

_SWITCHES = {
    b"?1": False, b"?5": False, b"?7": True, b"?9": False, b"?12": False, b"?25": True, b"?1000": False,
    b"?1002": False, b"?1003": False, b"?1004": False, b"?1005": False, b"?1006": False, b"?1015": False,
    b"?1016": False, b"?2004": False, b"?2031": False, b"?2048": False, b"4": False, b"20": False,
}  # fmt: skip
"""Modes that are just on or off, and what they are at first."""
_ANSWERED = (b"?1004", b"?2048")
"""Those of them that terminals answer when they are set: with the focus, and with the size."""

_FINALS = b"@ABCDEFGHIJKLMPSTXZ^`abdefghlmrsu"
"""What control sequences end with that change the screen or a mode, and that no terminal answers."""
# What may stand in a sequence without ending it, in an operating system command (OSC), and in the other strings.
_PARTS = {
    b"CONTROLS": rb"\x00-\x17\x19\x1c-\x1f\x7f", b"IN_OSC": rb"[^\x07\x18\x1a\x1b]",
    b"IN_STRING": rb"[^\x18\x1a\x1b]", b"FINALS": _FINALS,
}  # fmt: skip


def _compile(pattern: bytes) -> re.Pattern[bytes]:
    """A verbose pattern in which the names of ``_PARTS`` stand for what they mean."""
    for name, meant in _PARTS.items():
        pattern = pattern.replace(name, meant)
    return re.compile(pattern, re.VERBOSE)


_UNFINISHED = _compile(
    rb"""
    \x1b [CONTROLS]*+ (?: \[[CONTROLS -?]*+ | [ -/][CONTROLS -/]*+ | \]IN_OSC*+\x1b? | [PX^_]IN_STRING*+\x1b? )? \Z
    """
)
_UNFINISHED_CHARACTER = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
_LASTING = _compile(
    rb"""
    \x1b (?! \[[0-9;]*+[A-Km] ) (?:
        [78=>c]
        | (?P<set>[()]) (?P<charset>[ -/]?[0-~])
        | \[ (?P<csi> [?<=>]?+[0-9;]*+(?:[hlrsu]|\x20q|!p) | >[0-9;]*+[mn] )
        | \] (?: [02];(?P<title>IN_OSC*+)(?:\x07|\x1b\\) | IN_OSC*+ )
        | [PX^_]IN_STRING*+
    )
    """
)
"""What changes a mode, and strings, lest something in them be taken for that.

The most frequent sequences are passed over at once. Those with control characters in them are, too: nobody writes them.
"""
_SEQUENCE = _compile(
    rb"""
    \x1b (?! \[[0-9;:]*+[FINALS] ) (?P<controls>[CONTROLS]*+) (?:
        (?P<csi> \[[CONTROLS -?]*+[@-~] )
        | (?P<osc> \]IN_OSC*+(?:\x07|\x1b\\) )
        | (?P<dcs> P IN_STRING*+\x1b\\ )
        | (?P<string> \]IN_OSC*+ | [PX^_]IN_STRING*+(?:\x1b\\)? )
        | (?P<escape> [ -/][CONTROLS -/]*+[0-~] | [0-OQ-WYZ\\`-~] )
        | (?P<aborted> \[[CONTROLS -?]*+ | [ -/][CONTROLS -/]*+ )
    )?
    """
)
"""Every sequence that is not harmless at first sight, also one that is broken off by something else."""
_CLEAR = re.compile(rb"\x1b(?:c|\[[0-9;]*+[HJf](?:\x1b\[[0-9;]*+[HJf])*+)")
"""A full reset, or moves to a place and erasures one behind the other."""
_TO_MAIN = re.compile(rb"\x1b\[\?(?=[0-9;]*+l)(?:[0-9]*;)*(?:47|1047|1049)(?:;[0-9]*)*l")
_SURE = re.compile(rb"\r\n?|\n|\x1b\\|(?=\x1b)")
"""The first place that is within no sequence and no character, whatever stood in front of it."""
_C1 = re.compile(rb"\xc2([\x90\x98\x9a-\x9f])")
"""Characters that begin or end a sequence like ESC and a letter."""

_ATTRIBUTES = re.compile(rb"\x1b\[([0-9;:]{0,1000}+)m")
_ATTRIBUTE = re.compile(rb"(?:\A|;)([345]8;(?:5;[0-9]*|2;[0-9]*;[0-9]*;[0-9]*)|[0-9:]*)")
# Attributes that replace each other go by one code; colours by that of their long form.
_PLACES = {
    1: 1, 2: 2, 3: 3, 20: 3, 4: 4, 21: 4, 5: 5, 6: 5, 7: 7, 8: 8, 9: 9, 51: 51, 52: 51, 53: 53, 58: 58, 73: 73, 74: 73,
    **dict.fromkeys((*range(30, 39), *range(90, 98)), 38), **dict.fromkeys((*range(40, 49), *range(100, 108)), 48),
}  # fmt: skip
_ENDS = {
    22: (1, 2), 23: (3,), 24: (4,), 25: (5,), 27: (7,), 28: (8,), 29: (9,),
    39: (38,), 49: (48,), 54: (51,), 55: (53,), 59: (58,), 75: (73,),
}  # fmt: skip

# Control sequences without their numbers.
_HARMLESS = frozenset(
    {b"[%c" % final for final in _FINALS}
    | {b"[?h", b"[?l", b"[?J", b"[?K", b"[?W", b"[>m", b"[>n", b"[>u", b"[<u", b"[=u", b"[!p", b"[ q", b"[ @", b"[ A"}
    | {b'["q', b"['}", b"['~", b"[$r", b"[$t", b"[$v", b"[$x", b"[$z", b"[${", b"[*x", b"[#p", b"[#q", b"[#{", b"[#}"}
)
_HARMLESS_OSC = re.compile(rb"\](?:(?:[0128]|66);|(?:[45]|1[0-9]|10[45]|11[0-9])[;\x07\x1b][^?]*\Z)")
"""Titles, links and sized text; colours that are set rather than asked for."""
_SIXEL = re.compile(rb"P[0-9;]*q")
_LEFT_OUT = (b"1004", b"2048", b"2026")
"""Modes that are answered, and synchronised updates."""
_NOT_OBEYED = bytes(byte for byte in range(256) if not 0x08 <= byte <= 0x0F)
"""All but the control characters that have an effect, of which BEL and ENQ are left out."""
_IGNORED = bytes((*range(0x20), 0x7F))

_CLEARED = b"\x1b[m\x1b[H\x1b[2J"
_PLAIN = b"\x1b[?6l\x1b(B\x1b)B\x0f\x1b[m"
"""What makes a terminal write like a fresh one."""


@dataclass(slots=True)
class _Pen:
    """How text is written; with the cursor's place, what ESC 7 saves."""

    attributes: dict[int, bytes] = field(default_factory=dict)
    charsets: dict[bytes, bytes] = field(default_factory=lambda: {b"(": b"B", b")": b"B"})
    shifted: bool = False
    origin: bool = False

    def copy(self) -> _Pen:
        return replace(self, attributes=self.attributes.copy(), charsets=self.charsets.copy())

    def restore(self) -> bytes:
        """What makes a fresh terminal write like this."""
        parts = [
            b"\x1b[?6h" if self.origin else b"",
            *(b"\x1b%b%b" % (name, charset) for name, charset in self.charsets.items() if charset != b"B"),
            b"\x0e" if self.shifted else b"",
            b"\x1b[%bm" % b";".join(self.attributes.values()) if self.attributes else b"",
        ]
        return b"".join(parts)

    def paint(self, data: bytes) -> None:
        """Take over the colours and other attributes that ``data`` sets."""
        reset = max(data.rfind(b"\x1b[m"), data.rfind(b"\x1b[0m"), 0)
        # Of those that come again and again only the last matters, and there are few different ones.
        for codes in reversed(dict.fromkeys(reversed(_ATTRIBUTES.findall(data, reset)))):
            for code, item in _parsed(codes):
                if code == 0:
                    self.attributes.clear()
                elif code in _PLACES and item not in (b"38", b"48", b"58"):
                    self.attributes[_PLACES[code]] = item
                for place in _ENDS.get(code, ()):
                    self.attributes.pop(place, None)


@dataclass(slots=True)
class Modes:
    """The modes that the output fed so far has left a terminal in, colours among them.

    Neither what the screen shows nor the cursor's place is known here, so what ESC 7 saved of it is not restored.
    """

    _alternate: bool = False
    _pen: _Pen = field(default_factory=_Pen)
    _saved: dict[bool, _Pen] = field(default_factory=dict)
    """By screen: whether it is the alternate one."""
    _switches: dict[bytes, None] = field(default_factory=dict)
    """Those that are not as they were at first. The newest is last: of two kinds of mouse reports it is in force."""
    _keypad: bool = False
    _region: tuple[int, int] = (1, 0)
    """The lines that scroll; 0 is the screen's last."""
    _keyboards: dict[bool, list[int]] = field(default_factory=lambda: {False: [0], True: [0]})
    """Kitty's keyboard modes by screen, the one in force last."""
    _other_keys: int = 0
    _shape: int = 0
    _title: bytes = b""
    _held: bytes = b""
    """An unfinished sequence or character at the end."""

    def feed(self, data: bytes) -> None:
        """Take the next output, which may be cut off anywhere."""
        data = _seven_bit(self._held + data)
        end = _finished(data)
        data, self._held = data[:end], data[end:]
        if len(self._held) > _LONGEST:
            self._held = self._held[:2] + b"?<"  # Whatever follows, it means nothing.
        painted = 0
        lasting = _lasting_or_shift() if b"\x0e" in data or b"\x0f" in data else _LASTING
        for found in lasting.finditer(data):
            if found.end() - found.start() <= _LONGEST:
                self._pen.paint(data[painted : found.start()])
                painted = found.end()
                self._obey(found)
        self._pen.paint(data[painted:])

    def restore(self) -> bytes:
        """What puts a fresh terminal in these modes."""
        top, bottom = self._region
        region = b"\x1b[%d;%dr" % (top, bottom) if bottom else b"\x1b[%dr" % top if top > 1 else b""
        main, saved = (self._saved.get(screen, _Pen()).restore() for screen in (False, self._alternate))
        parts = [region, _stacked(self._keyboards[False])]
        if self._alternate:
            parts += [main, b"\x1b[?1049h", _PLAIN if main else b"", _stacked(self._keyboards[True])]
        if saved:
            parts += [saved, b"\x1b7", _PLAIN]
        parts += [
            self._pen.restore(),
            *(b"\x1b[%b%c" % (mode, b"hl"[_SWITCHES[mode]]) for mode in self._switches),
            b"\x1b=" if self._keypad else b"",
            b"\x1b[>4;%dm" % self._other_keys if self._other_keys else b"",
            b"\x1b[%d q" % self._shape if self._shape else b"",
            b"\x1b]2;%b\x1b\\" % self._title if self._title else b"",
        ]
        return b"".join(parts)

    def undo(self) -> bytes:
        """What puts a terminal that is in these modes, and in whatever colours, back to what a shell expects.

        The cursor stays where it is, or goes where it was before the alternate screen. The title stays.
        """
        main = deepcopy(self)
        parts = [b"\x18\x1b\\" if self._held else b"", b"\x1b[?2026l"]
        if self._alternate:
            parts += [_unstacked(self._keyboards[True]), b"\x1b[?1049l"]
            main._switch(b"?1049", on=False)
        parts += [
            _unstacked(self._keyboards[False]),
            b"\x1b(B\x0f\x1b[m",
            b"\x1b)B" if main._pen.charsets[b")"] != b"B" else b"",
            # Both move the cursor, which can be saved, but origin mode with it: then the last line must do.
            b"\x1b[?6l\x1b[r\x1b[999H\x1b7" if main._pen.origin else b"\x1b7\x1b[r\x1b8",
            *(b"\x1b[%b%c" % (mode, b"lh"[on]) for mode, on in _SWITCHES.items() if mode != b"?12"),
            b"\x1b>",
            # What people set otherwise is left alone, unless the program changed it.
            b"\x1b[?12l" if b"?12" in self._switches else b"",
            b"\x1b[>4m" if self._other_keys else b"",
            b"\x1b[0 q" if self._shape else b"",
        ]
        return b"".join(parts)

    def _obey(self, found: re.Match[bytes]) -> None:
        match found.lastgroup, found[0]:
            case "csi", _:
                kind = found["csi"].translate(None, b"0123456789;")
                numbers = found["csi"].translate(None, b"?<=>hlrsumn q!p").split(b";")
                self._control(kind, [int(number or 0) for number in numbers])
            case "title", _:
                self._title = found["title"]
            case "charset", _:
                self._pen.charsets[found["set"]] = found["charset"]
            case _, (b"\x0e" | b"\x0f") as shift:
                self._pen.shifted = shift == b"\x0e"
            case _, (b"\x1b=" | b"\x1b>") as keypad:
                self._keypad = keypad == b"\x1b="
            case _, b"\x1b7":
                self._save()
            case _, b"\x1b8":
                self._recall()
            case _, b"\x1bc":
                self._reset(keep=())

    def _control(self, kind: bytes, numbers: list[int]) -> None:
        """Obey a control sequence; ``kind`` is all of it but the numbers, such as ``?h``."""
        match kind, numbers:
            case ((b"?h" | b"?l" | b"h" | b"l"), _):
                for number in numbers:
                    self._switch(b"%b%d" % (kind[:-1], number), on=kind.endswith(b"h"))
            case b"r", [top, *rest]:
                bottom = rest[0] if rest else 0
                if bottom == 0 or max(top, 1) < bottom:
                    self._region = max(top, 1), bottom
            case b"s", [0]:
                self._save()
            case b"u", [0]:
                self._recall()
            case ((b">u" | b"<u" | b"=u"), [number, *rest]):
                self._keyboard(kind, number, rest[0] if rest else 1)
            case b">m", ([0] | [4]):
                self._other_keys = 0
            case b">m", [4, value, *_]:
                self._other_keys = value
            case b">n", [4, *_]:
                self._other_keys = 0
            case b" q", [shape, *_]:
                self._shape = shape
            case b"!p", _:
                self._reset(keep=("_alternate", "_title"))

    def _switch(self, mode: bytes, *, on: bool) -> None:
        if mode in _SWITCHES:
            self._switches.pop(mode, None)
            if on != _SWITCHES[mode]:
                self._switches[mode] = None
        elif mode == b"?6":
            self._pen.origin = on
        elif mode == b"?66":
            self._keypad = on
        elif mode in (b"?47", b"?1047"):
            self._alternate = on
        elif mode in (b"?1048", b"?1049"):
            if on:
                self._save()
            if mode == b"?1049":
                self._alternate = on
            if not on:
                self._recall()

    def _keyboard(self, kind: bytes, number: int, how: int) -> None:
        stack = self._keyboards[self._alternate]
        if kind == b">u":
            stack.append(number)
            del stack[:-_KEYBOARDS]
        elif kind == b"<u":
            del stack[-max(number, 1) :]
            stack.extend(() if stack else (0,))
        else:
            stack[-1] = {2: stack[-1] | number, 3: stack[-1] & ~number}.get(how, number)

    def _save(self) -> None:
        self._saved[self._alternate] = self._pen.copy()

    def _recall(self) -> None:
        self._pen = self._saved.get(self._alternate, _Pen()).copy()

    def _reset(self, *, keep: tuple[str, ...]) -> None:
        fresh = Modes()
        for name in (each.name for each in fields(self)):
            if name not in keep and name != "_held":
                setattr(self, name, getattr(fresh, name))


def replay(tail: bytes, modes_before: Modes | None, *, complete: bool) -> bytes:
    """What a terminal is sent, in front of live output, so that it shows what the program showed.

    ``tail`` is the newest output. ``modes_before`` was fed what is known of the output in front of it, up to its first
    byte, and is left as it is. ``complete``: there was none.

    The terminal is cleared, and put in the modes in force where the replay begins. That is the last place in front of
    which nothing can be seen any more, nor scrolled back to: behind a full reset (ESC c), or at a clear of the main
    screen and its history (CSI 2J and 3J and a move). Failing that, it is where ``tail`` begins, or the first place in
    it that is sure to be within no sequence. A clear that leaves the history is no such place, and the beginning of
    an alternate screen is none either, as the main screen comes back. But if there is nothing of the main screen up to
    the last clear of the alternate one, then this clear is. What is shown is right if ``tail`` is complete or has a
    clear of the screen that is shown, but for a cursor or tab stop that was saved before.

    Left out is what a terminal answers, since the answer would be typed into the session; what does more than show
    something (bells, notifications, the clipboard, changes of the window); synchronised updates; pictures other than
    sixels; and all that is not known. A sequence that the end has cut off stays, as its rest comes live.
    """
    modes = Modes() if modes_before is None else deepcopy(modes_before)
    if not complete and modes == Modes():  # Nothing is known, or as good as nothing.
        sure = _SURE.search(tail)
        tail = tail[sure.end() :] if sure else b""
    data, modes._held = _seven_bit(modes._held + tail), b""
    end = _finished(data)
    begin = _beginning(data[:end], deepcopy(modes))
    modes.feed(data[:begin])
    shown = _SEQUENCE.sub(_harmless, modes.restore() + data[begin:end])
    modes.feed(data[begin:end])
    # A program that has set these expects the answers at any time.
    asked = b"".join(b"\x1b[%bh" % mode for mode in _ANSWERED if mode in modes._switches)
    return (_CLEARED + shown + asked + data[end:]).translate(None, b"\x05\x07")


def _beginning(data: bytes, modes: Modes) -> int:
    """Where in ``data`` a replay begins; ``modes`` are those in front of it, and are changed."""
    begin = fed = 0
    main = _TO_MAIN.search(data) if modes._alternate else None
    only_alternate = 0 if not modes._alternate else main.start() if main else len(data)
    for found in _CLEAR.finditer(data):
        start, cleared = found.start(), found[0]
        if cleared == b"\x1bc":
            begin, only_alternate = found.end(), 0
        elif b"\x1b[2J" in cleared and (b"H" in cleared or b"f" in cleared):
            modes.feed(data[fed:start])
            fed = start
            if start < only_alternate or (b"\x1b[3J" in cleared and not modes._alternate):
                begin = start
    return begin


def _harmless(found: re.Match[bytes]) -> bytes:
    """What is sent of a sequence: all of it or nothing, and the control characters that were within it."""
    kind = found.lastgroup or "controls"
    sequence, controls, sent = found[kind], found["controls"], b""
    if kind == "osc" and _HARMLESS_OSC.match(sequence):
        # It may end with BEL, which is taken out everywhere.
        sent = b"\x1b%b\x1b\\" % sequence.removesuffix(b"\x07").removesuffix(b"\x1b\\")
    elif kind == "dcs" and _SIXEL.match(sequence):
        sent = b"\x1b" + sequence
    elif kind in ("csi", "escape", "aborted"):
        controls += sequence
        plain = sequence.translate(None, _IGNORED)
        if kind == "csi":
            sent = _harmless_csi(plain)
        elif kind == "escape" and plain[:1] not in (b"Z", b"%", b"c"):
            sent = b"\x1b" + plain
    return controls.translate(None, _NOT_OBEYED) + sent


def _harmless_csi(plain: bytes) -> bytes:
    """What is sent of a control sequence, which is given without its ESC."""
    kind = plain.translate(None, b"0123456789:;")
    if kind in (b"[?h", b"[?l"):
        modes = [mode for mode in plain[2:-1].split(b";") if mode.lstrip(b"0") not in _LEFT_OUT]
        return b"\x1b[?%b%b" % (b";".join(modes), plain[-1:]) if modes else b""
    # Saving and restoring the title is the one thing about windows that is harmless.
    title = kind == b"[t" and plain[1:-1].partition(b";")[0] in (b"22", b"23")
    return b"\x1b" + plain if title or kind in _HARMLESS else b""


@cache
def _lasting_or_shift() -> re.Pattern[bytes]:
    # Apart, because a pattern that begins with one certain byte is searched for twenty times as fast; and only when
    # it is wanted, because it takes milliseconds to compile.
    return _compile(rb"[\x0e\x0f]|" + _LASTING.pattern)


@lru_cache(maxsize=1024)
def _parsed(codes: bytes) -> tuple[tuple[int, bytes], ...]:
    """The codes for attributes in one sequence, each with what belongs to it."""
    items = _ATTRIBUTE.findall(codes)
    return tuple((int(re.split(rb"[;:]", item, maxsplit=1)[0] or 0), item) for item in items)


def _finished(data: bytes) -> int:
    """How much of ``data`` is in front of a sequence or character that its end has cut off."""
    last = data.rfind(b"\x1b")
    if last >= 0:
        # The last ESC may be the first half of a string's end. The string began at the one before it.
        before = max(data.rfind(b"\x1b", 0, last), 0)
        for start in (before, last):
            if _UNFINISHED.match(data, start):
                return start
    cut = _UNFINISHED_CHARACTER.search(data, max(len(data) - 3, 0))
    return cut.start() if cut else len(data)


def _seven_bit(data: bytes) -> bytes:
    """``data`` with the characters U+0080 to U+009F that begin or end sequences as ESC and a letter."""
    if b"\xc2" not in data:
        return data
    return _C1.sub(lambda found: b"\x1b%c" % (found[1][0] - 0x40), data)


def _stacked(keyboards: list[int]) -> bytes:
    first = b"\x1b[=%d;1u" % keyboards[0] if keyboards[0] else b""
    return first + b"".join(b"\x1b[>%du" % keyboard for keyboard in keyboards[1:])


def _unstacked(keyboards: list[int]) -> bytes:
    rest = b"\x1b[<%du" % (len(keyboards) - 1) if len(keyboards) > 1 else b""
    return rest + (b"\x1b[=0;1u" if keyboards[0] else b"")
