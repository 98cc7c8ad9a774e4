"""The machine, the subscription and the switches: everything that is about no single process and no file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cowork.service.answer import Answer
from cowork.service.slots import profile_of
from cowork.wire import replies
from cowork.wire.codec import result_suffix

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from cowork.service.answer import Handler
    from cowork.service.connection import Connection
    from cowork.service.service import Service
    from cowork.wire import requests as r

_log = logging.getLogger(__name__)

# Polled several times a second by every client, so they are encoded once.
_RUNNING = {flag: result_suffix(replies.Running(flag)) for flag in (False, True)}
_CONNECTED = {flag: result_suffix(replies.GuestConnected(flag)) for flag in (False, True)}


def configure(service: Service, caller: Connection, p: r.Configure) -> None:
    """Sizes and tools are for a virtual machine; here they are only noted."""
    _log.debug("configure %r", p)


def create_vm(service: Service, caller: Connection, p: r.CreateVM) -> None:
    """Nothing has to be made before the start."""


def start_vm(service: Service, caller: Connection, p: r.StartVM) -> Answer:
    """Reply at once; the events of the start follow the reply."""
    name = p.name or p.bundle_path.rstrip("/").rpartition("/")[2]

    def begin() -> None:
        service.machine.start(name, p.api_probe_url)

    return Answer(after=begin)


def stop_vm(service: Service, caller: Connection, p: r.StopVM) -> Awaitable[None]:
    """End all processes; the reply comes when they have ended."""
    return service.stop_machine(p.name)


def is_running(service: Service, caller: Connection, p: r.IsRunning) -> bytes:
    """Whether the machine is started."""
    return _RUNNING[service.machine.started]


def is_guest_connected(service: Service, caller: Connection, p: r.IsGuestConnected) -> bytes:
    """True once the machine is started; clients 2.x wait until they give up if it is not true from the start."""
    return _CONNECTED[service.machine.started or caller.dialect == "service"]


def subscribe_events(service: Service, caller: Connection, p: r.SubscribeEvents) -> replies.Subscribed:
    """The acknowledgement first, then events on the same connection."""
    caller.subscribe(profile_of(p.user_data_name, p.user_data_root))
    return replies.Subscribed(True)


def set_debug_logging(service: Service, caller: Connection, p: r.SetDebugLogging) -> None:
    """One switch for the whole daemon."""
    service.debug = p.enabled


def is_debug_logging_enabled(service: Service, caller: Connection, p: r.IsDebugLoggingEnabled) -> replies.DebugLogging:
    """The switch."""
    return replies.DebugLogging(service.debug)


def get_download_status(service: Service, caller: Connection, p: r.GetDownloadStatus) -> replies.DownloadStatus:
    """There is nothing to download."""
    return replies.DownloadStatus("ready")


def create_disk_image(service: Service, caller: Connection, p: r.CreateDiskImage) -> None:
    """Only a virtual machine has disks."""


def send_guest_response(service: Service, caller: Connection, p: r.SendGuestResponse) -> None:
    """Only a virtual machine's guest asks."""


def get_network_drives(service: Service, caller: Connection, p: r.GetNetworkDrives) -> replies.NetworkDrives:
    """There are none."""
    return replies.NetworkDrives([])


HANDLERS: dict[str, Handler] = {
    "configure": configure,
    "createVM": create_vm,
    "startVM": start_vm,
    "stopVM": stop_vm,
    "isRunning": is_running,
    "isGuestConnected": is_guest_connected,
    "subscribeEvents": subscribe_events,
    "setDebugLogging": set_debug_logging,
    "isDebugLoggingEnabled": is_debug_logging_enabled,
    "getDownloadStatus": get_download_status,
    "createDiskImage": create_disk_image,
    "sendGuestResponse": send_guest_response,
    "getNetworkDrives": get_network_drives,
}
