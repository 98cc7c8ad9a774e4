"""How far a conversation has come, without reading all of it each time: the state is kept beside the spool.

``progress.json`` is a cache of what was read up to a position: thrown away, it is made again from what is still in the
spool. Whoever looks goes on from it, so every line is read once, by whichever command is the first to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cowork.holder import files
from cowork.sessions.lines import LineReader
from cowork.sessions.spool import SpoolReader
from cowork.supervisor.conversation import Conversation

if TYPE_CHECKING:
    from cowork.sessions.directory import SessionDirectory

VERSION = 1
"""Of the file; another one's is not used."""


class _Kept(msgspec.Struct):
    version: int
    position: int
    conversation: Conversation


class Progress:
    """The conversation of one session, read on whenever it is asked for; a context manager."""

    def __init__(self, directory: SessionDirectory) -> None:
        self._path = str(directory.path / "progress.json")
        self._reader = SpoolReader(directory.spool)
        kept = self._load()
        self.conversation = kept.conversation
        self._lines = LineReader(self._reader, kept.position)
        self._saved = kept.position

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, head: int | None = None) -> Conversation:
        """The state after all whole lines before ``head``, or before what is on the disk."""
        feed = self.conversation.feed
        for _, line in self._lines.lines(self._reader.end() if head is None else head):
            feed(line)
        return self.conversation

    def save(self) -> None:
        """Keep it for the next look; a full disk only costs that one time."""
        if self._lines.position == self._saved:
            return
        kept = _Kept(VERSION, self._lines.position, self.conversation)
        try:
            files.write_whole(self._path, msgspec.json.encode(kept), sync=False)
        except OSError:
            return
        self._saved = self._lines.position

    def close(self) -> None:
        """Close the spool; keeps the state."""
        self.save()
        self._reader.close()

    def _load(self) -> _Kept:
        try:
            with open(self._path, "rb") as f:
                kept = _decoder.decode(f.read())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Also a question that was just not too deep when it was read, and is in here by some levels deeper.
            return _Kept(VERSION, 0, Conversation())
        return kept if kept.version == VERSION else _Kept(VERSION, 0, Conversation())


_decoder = msgspec.json.Decoder(_Kept)
