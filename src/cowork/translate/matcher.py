r"""Guest paths inside text become host paths, and the other way round: on bytes, in one pass.

What is replaced is the beginning of a path, up to the mount it lies in. Where such a beginning may stand is decided
by the bytes around it:

* Before it: no character of a file name, so that ``/home/x/sessions/otter`` is left alone. Up to two more slashes may
  stand there (``Edit(//sessions/otter/**)``, ``file:///sessions/otter``), but ``http://sessions/otter`` names a
  machine.
* After it: a slash, a quote, a blank, punctuation that ends a path, a dot that ends a sentence, or the end.

Both hold inside JSON text as well, where the ``n`` of ``\n`` is not a letter. Bytes that are no UTF-8 stay as they are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from json import dumps

from cowork.translate.sessionmap import SessionMap

# Of a file name, when it stands before a path. Closing brackets because of "${HOME}/sessions" and "$(pwd)/sessions".
_NAME = rb"\w.~%+)}\x80-\xff-"
_PLAIN_ENDING = re.compile(rb"[\w.~%+-]\Z")

# Not letters although their bytes are 0x80 and above: non-breaking space and guillemets; general punctuation and
# arrows; CJK punctuation; full-width forms and U+FFFD.
_TYPOGRAPHY = (
    rb"\xc2[\xa0\xab\xbb]", rb"\xe2[\x80\x81\x86\x87][\x80-\xbf]",
    rb"\xe3\x80[\x80-\xbf]", rb"\xef[\xbc-\xbf][\x80-\xbf]",
)  # fmt: skip
# Escapes in JSON text that stand for blanks, quotes and the signs that some encoders escape.
_ESCAPES = (rb"\\[bfnrt]", rb"\\u(?:00(?:[01][0-9A-Fa-f]|2[267]|3[CEce])|20[0-9A-Fa-f]{2})")

_END = rb"\x00-\x20\x7f\"'`\\:|,;)\]}<>&=!?*"
_STOP = rb"[%b]|\Z|%b" % (_END, rb"|".join(_TYPOGRAPHY))
_AFTER = rb"(?=[/%b]|\.*+(?:%b))" % (_END, _STOP)


class _Matcher:
    """Replaces the keys of a table in text; one table for plain text, one for JSON text."""

    def __init__(self, bases: Mapping[str, str]) -> None:
        plain = {_encode(old): _encode(new) for old, new in bases.items() if old != "/"}
        quoted = {form: _quoted(new) for old, new in bases.items() if old != "/" for form in _spellings(old)}
        self._plain = _Table(plain)
        self._quoted = self._plain if plain == quoted else _Table(quoted)
        self.needles = tuple({*self._plain.heads, *self._quoted.heads})
        """Text that holds none of these holds no path: a search that can be done before bytes are copied."""

    def __call__(self, data: bytes, *, json: bool) -> bytes:
        """``data`` with every path replaced; the same object when there is none.

        With ``json`` the data is JSON text: paths are looked for as JSON spells them, and replaced likewise, so that
        text that is valid stays valid.
        """
        return (self._quoted if json else self._plain).replace(data)


class GuestToHost(_Matcher):
    """Guest paths of ``session`` become host paths. Below a mount of ``/`` they begin with two slashes."""

    def __init__(self, session: SessionMap) -> None:
        super().__init__(session.guest_bases)
        self.session = session


class HostToGuest(_Matcher):
    """Host paths that ``session`` sees become its guest paths. A mount of ``/`` is left out: it would be any path."""

    def __init__(self, session: SessionMap) -> None:
        super().__init__(session.host_bases)
        self.session = session


class _Table:
    """What is replaced by what, and the pattern that finds it."""

    def __init__(self, table: Mapping[bytes, bytes]) -> None:
        groups: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for old in table:
            groups[old.split(b"/", 2)[1]].append(old)
        # One common beginning for each top folder: together they are the cheap test, and each is a literal that
        # the regular expression engine looks for at the speed of a plain search.
        heads = {_common(group): group for group in groups.values()}
        self.heads = tuple(heads)
        branches = (_branch(head, group, table.values()) for head, group in heads.items())
        self._split = re.compile(rb"(%b)%b" % (b"|".join(branches), _AFTER), re.DOTALL).split
        self._new = dict(table).__getitem__

    def replace(self, data: bytes) -> bytes:
        for head in self.heads:
            if head in data:
                break
        else:
            return data
        # Text and keys take turns in the pieces: no function of ours is called for a match, which would take three
        # times as long, and nothing that was put in is looked at again.
        pieces = self._split(data)
        if len(pieces) == 1:
            return data
        pieces[1::2] = map(self._new, pieces[1::2])
        replaced = b"".join(pieces)
        return data if replaced == data else replaced


def _branch(head: bytes, olds: Iterable[bytes], news: Iterable[bytes]) -> bytes:
    """The pattern of all ``olds``, which begin with ``head``: the longest first."""
    tails = sorted((old[len(head) :] for old in olds), key=len, reverse=True)
    return re.escape(head) + _before(head, news) + _any_of(tails)


def _any_of(tails: list[bytes]) -> bytes:
    """A pattern of ``tails`` in their order, their common beginning written once; the last one may be empty."""
    named = [tail for tail in tails if tail]
    head = _common(named)
    names = b"|".join(re.escape(tail[len(head) :]) for tail in named)
    # An empty branch, because the engine is much slower at an optional group.
    return b"(?:%b(?:%b)%b)" % (re.escape(head), names, b"|" if len(named) < len(tails) else b"")


def _before(head: bytes, news: Iterable[bytes]) -> bytes:
    """Assertions about what stands before ``head``. They follow it, because only a pattern that begins with a
    literal is searched for quickly, and so they skip it backwards."""
    back = b".{%d}" % len(head)
    after_slashes = rb"(?<=/%b)(?<![%b]/%b)(?<![%b]//%b)(?<!///%b)(?<!:/%b)" % (
        back, _NAME, back, _NAME, back, back, back,
    )  # fmt: skip
    allowed = [rb"(?<![%b/]%b)" % (_NAME, back), after_slashes]
    allowed += [rb"(?<=%b%b)" % (sign, back) for sign in (*_ESCAPES, *_TYPOGRAPHY)]
    guards = {rb"(?<!%b%b)" % (re.escape(place), back) for new in news for place in _places(head, new)}
    return rb"(?:%b)%b" % (b"|".join(allowed), b"".join(sorted(guards)))


def _places(head: bytes, new: bytes) -> Iterator[bytes]:
    """Beginnings of ``new`` behind which ``head`` may stand and would be mistaken for a path of its own.

    A replacement that holds what is looked for, as in ``/data (old)/sessions/otter``, must never be replaced again
    when the same text comes a second time.
    """
    for end in range(1, len(new) + 1):
        rest = new[end : end + len(head)]
        if head.startswith(rest) and (b"\\" in new or not _PLAIN_ENDING.search(new[:end])):
            yield new[:end]
            if not rest:
                yield from (new + b"/", new + b"//")


def _common(paths: list[bytes]) -> bytes:
    """The beginning that all ``paths`` share, byte by byte: not necessarily whole names."""
    if not paths:
        return b""
    first, last = min(paths), max(paths)
    size = next((at for at, byte in enumerate(first) if byte != last[at]), len(first))
    return first[:size]


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _quoted(path: str) -> bytes:
    """``path`` as it stands inside a JSON string; bytes that are no UTF-8 cannot be escaped and stay."""
    return _encode(dumps(path, ensure_ascii=False)[1:-1])


def _spellings(path: str) -> set[bytes]:
    """``path`` as encoders write it into a JSON string: with all but ASCII escaped, or with only what must be."""
    return {_quoted(path), dumps(path)[1:-1].encode()}
