"""Log lines on stderr: one line each, with time, level and place. Secrets never get as far as here."""

from __future__ import annotations

import logging
import os
import sys
import time

_JOURNAL_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z info service.listeners listening on ...``.

    Under systemd's journal, which has its own time, the line begins with ``<level>`` instead (sd-daemon(3)).
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line; an exception's traceback follows on lines of its own."""
        place = record.name.removeprefix("cowork.")
        text = record.getMessage().replace("\n", "\\n")
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        if self._journal:
            return f"<{_JOURNAL_LEVELS.get(record.levelno, 6)}>{place} {text}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{stamp}.{int(record.msecs):03d}Z {record.levelname.lower()} {place} {text}"


def set_up(*, debug: bool) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(journal=is_journal()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("cowork").setLevel(logging.DEBUG if debug else logging.INFO)


def is_journal() -> bool:
    """Whether stderr goes to the journal (``JOURNAL_STREAM``, systemd.exec(5))."""
    try:
        info = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}"
