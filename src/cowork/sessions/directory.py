"""One session's directory: its files by name, made and removed as a whole.

session.json    what was asked for            exit.json      how it ended (absent while it runs)
spool/          what it printed               readers        the page of read positions
child.json      pids, against leftovers       lifecycle.log  what happened to it, in words
stop.json       who asks for its end          progress.json  how far its conversation has come (supervisor/progress.py)
covers.json     placeholders in the user's folders, if it has a sandbox; network.log: what it reached and did not
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cowork.errors import NotFound
from cowork.holder import files
from cowork.holder.page import Page
from cowork.holder.spec import Cover
from cowork.sessions import record
from cowork.sessions.record import ChildRecord, ExitRecord, SessionRecord, StopRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = re.compile(r"[a-z][a-z2-7]{11}")


class SessionDirectory:
    """The files of one session below ``root`` (``Paths.sessions``)."""

    def __init__(self, root: Path, session_id: str) -> None:
        self.id = session_id
        self.path = root / session_id

    def __repr__(self) -> str:
        return f"SessionDirectory({self.path})"

    @property
    def spool(self) -> Path:
        """Folder of the spool's segments."""
        return self.path / "spool"

    @property
    def readers(self) -> Path:
        """The page of read positions."""
        return self.path / "readers"

    @property
    def lifecycle_log(self) -> Path:
        """Written by the holder."""
        return self.path / "lifecycle.log"

    @property
    def network_log(self) -> Path:
        """Written by the session's proxy; what was before it is in ``network.log.1``."""
        return self.path / "network.log"

    def create(self, asked: SessionRecord) -> Page:
        """Make the directory (0700) with session.json and an empty page.

        A directory without session.json is no session, so it is written last.

        Raises:
            OSError: nothing is left behind.
        """
        self.path.mkdir(mode=0o700)
        try:
            page = Page(self.readers, create=True)
            try:
                self.write_record(asked)
            except OSError:
                page.close()
                raise
        except OSError:
            _remove_tree(self.path, ignore_errors=True)
            raise
        return page

    def write_record(self, asked: SessionRecord) -> None:
        """Write session.json. The holder syncs it once the program runs, so that the start need not wait for a disk."""
        files.write_whole(str(self.path / "session.json"), record.encode(asked), sync=False)

    def record(self) -> SessionRecord:
        """What was asked for.

        Raises:
            NotFound: there is no such session.
            RecordError: session.json is damaged or of a newer release.
        """
        try:
            return record.load(self.path / "session.json", SessionRecord)
        except FileNotFoundError:
            raise NotFound(f"no session {self.id}") from None

    def exit(self) -> ExitRecord | None:
        """How it ended, None as long as that is not known."""
        try:
            return record.load(self.path / "exit.json", ExitRecord)
        except FileNotFoundError:
            return None

    def write_exit(self, ended: ExitRecord) -> None:
        """Write exit.json on behalf of a holder that was killed."""
        files.write_whole(str(self.path / "exit.json"), record.encode(ended))

    def stop(self) -> StopRecord | None:
        """Who has asked for its end, None if nobody has."""
        try:
            return record.load(self.path / "stop.json", StopRecord)
        except (FileNotFoundError, record.RecordError):
            return None

    def write_stop(self, asked: StopRecord) -> None:
        """Write stop.json, before the signal: how it ends is then known to be meant."""
        files.write_whole(str(self.path / "stop.json"), record.encode(asked), sync=False)

    def child(self) -> ChildRecord | None:
        """Who was started, None if the holder did not get that far."""
        try:
            return record.load(self.path / "child.json", ChildRecord)
        except (FileNotFoundError, record.RecordError):
            return None

    def covers(self) -> list[Cover]:
        """The placeholders that it may have left in the user's folders; none for a session without a sandbox."""
        try:
            return msgspec.json.decode((self.path / "covers.json").read_bytes(), type=list[Cover])
        except (FileNotFoundError, msgspec.MsgspecError):
            return []

    def log(self, text: str) -> None:
        """Add a line to the session's lifecycle log."""
        files.LifecycleLog(str(self.lifecycle_log))(text)

    def remove(self) -> None:
        """Remove the directory with all that is in it; no symbolic link is followed, a missing one is no error.

        It is renamed first, so that a removal cut short leaves no half session behind.
        """
        doomed = self.path.with_name(f".{self.id}.removed")
        try:
            self.path.rename(doomed)
        except FileNotFoundError:
            return
        except OSError:
            doomed = self.path
        _remove_tree(doomed)

    def size(self) -> int:
        """Bytes of its files, links not followed."""
        return tree_size(self.path)


def list_sessions(root: Path) -> Iterator[SessionDirectory]:
    """All session directories below ``root``, in order of their ids; leftovers of removals are swept."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(".") and name.endswith(".removed"):
            _remove_tree(root / name, ignore_errors=True)
        elif ID.fullmatch(name) and (root / name / "session.json").exists():
            yield SessionDirectory(root, name)


def _remove_tree(path: Path, *, ignore_errors: bool = False) -> None:
    # Imported when it is needed: it brings three decompressors along, which a daemon's start should not wait for.
    import shutil

    shutil.rmtree(path, ignore_errors=ignore_errors)


def tree_size(path: Path) -> int:
    """Sum of the sizes of regular files below ``path`` in bytes; links and unreadable parts count nothing."""
    total = 0
    stack = [os.fspath(path)]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(info.st_mode):
                        stack.append(entry.path)
                    elif stat.S_ISREG(info.st_mode):
                        total += info.st_size
        except OSError:
            continue
    return total
