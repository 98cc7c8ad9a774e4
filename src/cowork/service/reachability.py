"""Probing the model's API for clients that want to know whether it can be reached."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cowork.linux import tasks
from cowork.wire.events import PROBABLY_UNREACHABLE, REACHABLE, UNKNOWN, UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 30.0
"""Seconds from one probe to the next."""
TIMEOUT = 10.0
"""Seconds after which a probe has failed."""

_log = logging.getLogger(__name__)


class Prober:
    """Probes ``url`` now and every ``PERIOD`` seconds; ``tell`` is called with the status whenever it has changed."""

    def __init__(self, url: str, tell: Callable[[str], object], *, period: float = PERIOD) -> None:
        self._url = url
        self._tell = tell
        self._period = period
        self.status = UNKNOWN
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = tasks.start(self._run(), "api probe")

    def stop(self) -> None:
        """End; nothing is told any more, not even by a probe under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            self.note(await tasks.in_thread(lambda: answers(self._url)))
            await asyncio.sleep(self._period)

    def note(self, reachable: bool) -> None:
        """Take one probe's result: the first failure is a doubt, the second one is believed."""
        self._failures = 0 if reachable else self._failures + 1
        status = (REACHABLE, PROBABLY_UNREACHABLE, UNREACHABLE)[min(self._failures, 2)]
        if status != self.status:
            self.status = status
            self._tell(status)


def answers(url: str) -> bool:
    """Whether a HEAD request to ``url`` gets any HTTP answer; an error status is one."""
    # Imported here: it brings TLS with it, which most daemons never need.
    import http.client
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        _log.warning("apiProbeURL is neither http nor https")
        return False
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return True
    except urllib.error.HTTPError as e:
        e.close()
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False
