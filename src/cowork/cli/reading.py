"""From runs of a session's output to a readable conversation: lines are put together, and handed to the transcript."""

from __future__ import annotations

import shutil

from cowork.cli.transcript import Transcript
from cowork.holder.spool import STDERR


class Reading:
    """One reader's place in a conversation. ``midline``: it begins where a line may have begun before."""

    def __init__(self, *, color: bool, midline: bool = False) -> None:
        self._transcript = Transcript(color=color, width=shutil.get_terminal_size((100, 24)).columns)
        self._begun: list[bytes] = []
        self._cut = midline

    def gap(self) -> None:
        """Bytes of stdout are missing here: no half line is shown."""
        self._cut = True

    def rest(self) -> str:
        """Text to print for a line without an end, of a session that has ended."""
        line = b"".join(self._begun)
        self._begun.clear()
        return self._transcript.feed(line) if line and not self._cut else ""

    def feed(self, stream: int, data: bytes) -> str:
        """Text to print for the next bytes of a stream: stdout by lines, stderr as it comes."""
        if stream == STDERR:
            return self._transcript.stderr(data)
        *ends, rest = data.split(b"\n")
        out = []
        for part in ends:
            if not self._cut:
                out.append(self._transcript.feed(b"".join([*self._begun, part])))
            self._begun.clear()
            self._cut = False
        if rest:
            self._begun.append(rest)
        return "".join(out)
