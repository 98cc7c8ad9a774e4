"""The machine that clients believe in: started or not, and what it tells while it starts.

On the host there is nothing to boot, so everything that clients wait for is told at once, in the order of a boot.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from cowork.holder import files
from cowork.service.reachability import Prober
from cowork.wire import events as e

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.service.delivery import Delivery


_log = logging.getLogger(__name__)


class _State(msgspec.Struct):
    """``machine.json`` in the runtime folder: it is true as long as the host has not been restarted."""

    started: bool = False
    name: str = ""
    probe_url: str = ""
    told: int = 0


class Machine:
    """Whether the machine runs, and telling so."""

    def __init__(self, path: Path, delivery: Delivery) -> None:
        self._path = path
        self._delivery = delivery
        self._prober: Prober | None = None
        self._state = self._load()

    @property
    def started(self) -> bool:
        """Between startVM and stopVM, whichever daemon served them."""
        return self._state.started

    def resume(self) -> None:
        """Go on probing for a machine that an earlier daemon started."""
        if self.started and self._state.probe_url:
            self._probe(self._state.probe_url)

    def start(self, name: str, probe_url: str) -> None:
        """Start, and tell so. A machine that runs already is told of again only to clients that were not there."""
        only: list[int] | None = None
        if self.started:
            only = self._delivery.missed(self._state.told)
            if only == []:
                return
        for event in boot_events(name):
            told = self._delivery.publish(event, only=only)
        status = self._prober.status if self._prober is not None else e.REACHABLE
        # What the probe has not found out yet it will tell everybody itself.
        if (not probe_url or only) and status != e.UNKNOWN:
            told = self._delivery.publish(e.ApiReachability(status), only=only)
        self._state = _State(True, name, probe_url, told)
        self._save()
        if probe_url and not only:
            self._stop_probing()
            self._probe(probe_url)

    def stop(self) -> None:
        """Stop; the caller tells so once all processes have ended."""
        self._stop_probing()
        self._state = _State()
        self._save()

    def close(self) -> None:
        """The daemon ends; the machine does not."""
        self._stop_probing()

    def _probe(self, url: str) -> None:
        self._prober = Prober(url, lambda status: self._delivery.publish(e.ApiReachability(status)))
        self._prober.start()

    def _stop_probing(self) -> None:
        if self._prober is not None:
            self._prober.stop()
            self._prober = None

    def _load(self) -> _State:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.MsgspecError):
            return _State()

    def _save(self) -> None:
        try:
            files.write_whole(str(self._path), msgspec.json.encode(self._state), sync=False)
        except OSError as e:
            # Only the next daemon would miss it.
            _log.error("cannot write %s: %s", self._path, e.strerror)


def boot_events(name: str) -> list[e.Event]:
    """What clients wait for, in the order in which they expect it; ``apiReachability`` follows."""
    return [
        e.StartupStep(e.CERTIFICATE, e.STARTED),
        e.StartupStep(e.CERTIFICATE, e.COMPLETED),
        e.VmStarted(name),
        e.StartupStep(e.VIRTUAL_DISK_ATTACHMENTS, e.STARTED),
        e.StartupStep(e.VIRTUAL_DISK_ATTACHMENTS, e.COMPLETED),
        e.NetworkStatus(e.CONNECTED),
    ]
